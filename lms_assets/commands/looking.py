"""The commands that only show or export data."""

import sys
import webbrowser
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path

import click

from lms_assets.attempts.keys import FILE, given_key, key_made_in
from lms_assets.attempts.ledger import loaded_days
from lms_assets.automation.gaps import missing_days
from lms_assets.commands import health
from lms_assets.commands.arguments import DAY, refuse_reversed
from lms_assets.commands.installation import make_home, opened, prepare
from lms_assets.commands.terminal import (
    FAILED,
    begun,
    counted,
    err,
    say_error,
    show_rows,
    write_csv,
)
from lms_assets.days import spans, yesterday
from lms_assets.faults import Fault
from lms_assets.files import write_whole
from lms_assets.settings import Settings, load_settings
from lms_assets.statistics.export import export as write_files
from lms_assets.statistics.names import read_names
from lms_assets.statistics.progsnap2 import export_progsnap2
from lms_assets.systems import presentation

# What PostgreSQL answers, in whatever language, to a cursor over something without rows.
NO_ROWS = "42P11"


@click.command()
@click.argument("sql")
@click.option("--csv", "as_csv", is_flag=True, help="A heading row, then rows.")
def query(sql: str, as_csv: bool) -> None:
    """Shows the rows of a SQL query, in a session that cannot write."""
    warehouse = prepare(load_settings()).warehouse
    show = write_csv if as_csv else show_rows
    try:
        with warehouse.read_only(sql) as (columns, rows):
            show(columns, rows)
    except Fault as fault:
        err.print(_query_error(fault), markup=False)
        sys.exit(FAILED)


def _query_error(fault: Fault) -> str:
    if fault.facts.get("state") == NO_ROWS:
        return "Only one statement that gives rows (SELECT, TABLE, VALUES, WITH): read-only."
    return str(fault.facts.get("reason", fault))


@click.command()
def gaps() -> None:
    """Lists the days since LMS_FIRST_DAY that are not loaded.

    A line is a day, or the first and the last day of a span, as ./lms backfill takes them.
    """
    settings = load_settings()
    newest = yesterday(datetime.now(UTC), settings.zone)
    with prepare(settings).warehouse.begin() as connection:
        loaded = loaded_days(connection, settings.lms_first_day, newest)
    missing = missing_days(settings.lms_first_day, newest, loaded)
    for first, last in spans(missing):
        size = counted((last - first).days + 1, "day")
        click.echo(f"{first}" if first == last else f"{first} {last}  {size}")
    verb = "is" if len(missing) == 1 else "are"
    err.print(f"{counted(len(missing), 'day')} {verb} missing since {settings.lms_first_day}.")


@click.command()
@click.option(
    "--alive", is_flag=True, help="For a monitor: daemon, letters, yesterday's day, workers."
)
def doctor(alive: bool) -> None:
    """Tries each outside system: works, or what to do."""
    settings, now = load_settings(), datetime.now(UTC)
    findings = _signs_of_life(settings, now) if alive else health.systems(settings, now=now)
    # Each finding is shown at once, and a failed one does not stop the others.
    well = [_shown(finding).is_well for finding in findings]
    sys.exit(0 if all(well) else FAILED)


def _signs_of_life(settings: Settings, now: datetime) -> Iterable[health.Finding]:
    with opened(settings) as (installation, instance):
        yield from health.signs_of_life(settings, instance, installation.warehouse, now=now)


def _shown(finding: health.Finding) -> health.Finding:
    mark = ("WARNS" if finding.warns else "works") if finding.is_well else "FAILS"
    click.echo(f"{finding.system:<11} {mark}  {finding.says}")
    return finding


@click.command()
def page() -> None:
    """Opens the page of figures in the browser; prints where it is."""
    settings = load_settings()
    objects, key = presentation(settings).page_place
    file = settings.lms_home / key
    if not objects.exists(key):
        err.print("There is no page yet: ./lms run or ./lms demo makes it.")
        sys.exit(FAILED)
    if settings.lms_broker_url:
        # It lies in the lake: what a browser opens is a copy.
        make_home(settings)
        write_whole(file, objects.read(key))
    click.echo(str(file))
    webbrowser.open(file.as_uri())


@click.command()
@click.argument("first", type=DAY)
@click.argument("last", type=DAY)
@click.option(
    "--to",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder, made if it is not there.",
)
@click.option(
    "--as",
    "form",
    type=click.Choice(["tables", "progsnap2"]),
    default="tables",
    help="Tables as Parquet and CSV, or a ProgSnap2 dataset of the attempts.",
)
@click.option(
    "--real-ids",
    is_flag=True,
    help="With progsnap2: students stand by their ids. Else by hashes with the key of LMS_KEY "
    "or of this home, the same in each export.",
)
def export(first: date, last: date, to: Path, form: str, *, real_ids: bool) -> None:
    """Writes attempts and figures as Parquet and CSV.

    Attempts and figures by day from FIRST to LAST, both included; the other figures as of the
    newest loaded day. Files of an earlier export in the folder are replaced.
    """
    refuse_reversed(first, last)
    settings = load_settings()
    if real_ids and form != "progsnap2":
        raise click.UsageError("--real-ids goes with --as progsnap2: the tables hold real ids.")
    try:
        warehouse = prepare(settings).warehouse
        with begun():
            if form == "tables":
                files = write_files(warehouse, first, last, to, zone=settings.zone)
            else:
                key = None if real_ids else _key(settings)
                names = read_names(settings.lms_names)
                files = export_progsnap2(
                    warehouse, first, last, to, zone=settings.zone, names=names, key=key
                )
            with warehouse.begin() as connection:
                loaded = loaded_days(connection, first, last)
        for path in files:
            click.echo(str(path))
        err.print(f"{counted((last - first).days + 1, 'day')}, of which {len(loaded)} are loaded.")
    except OSError as error:
        say_error(error)
        sys.exit(FAILED)


def _key(settings: Settings) -> bytes:
    """The key of the hashes: LMS_KEY, with which all machines agree, or else this home's key."""
    if settings.lms_key:
        return given_key(settings.lms_key.get_secret_value())
    return key_made_in(settings.lms_home / FILE)
