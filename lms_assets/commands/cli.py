"""The `lms` command: each verb a few lines over the same definitions.

Exit codes: 0 success; 1 the work failed; 2 wrong usage or settings, nothing was begun.
"""

import csv
import json
import os
import shlex
import subprocess
import sys
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from lms_assets.commands.progress import BatchProgress
from lms_assets.days import days_between, yesterday
from lms_assets.faults import Fault, TemporaryFault
from lms_assets.settings import (
    Settings,
    SettingsError,
    load_settings,
    project_folder,
)

if TYPE_CHECKING:
    import dagster as dg

    from lms_assets.commands.health import Finding
    from lms_assets.commands.installation import Platform

FAILED = 1
USAGE = 2
err = Console(stderr=True, highlight=False)


class Day(click.ParamType[date]):
    """A day as ``2025-07-24``."""

    name = "day"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        """The day, or a usage error that says how to write one."""
        try:
            return value if isinstance(value, date) else date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a day: write it as 2025-07-24.", param, ctx)


DAY = Day()


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with ./lms demo. Days are written as 2025-07-24. Settings: .env.example.",
)
def lms() -> None:
    """Students' attempts: from the grader's API to PostgreSQL, Google Sheets and a letter."""


def main() -> None:
    """The console script: settings that are wrong end it before anything is begun."""
    try:
        lms(prog_name="lms", standalone_mode=False)
    except (SettingsError, Fault) as error:
        err.print(f"lms: {error}", style="red", markup=False)
        # What passes by itself is no wrong setting: the same call may work later.
        sys.exit(FAILED if isinstance(error, TemporaryFault) else USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE)
    except (click.Abort, KeyboardInterrupt):
        err.print("lms: stopped.")
        sys.exit(130)


@contextmanager
def ready(settings: Settings) -> Iterator[tuple["Platform", "dg.DagsterInstance"]]:
    """The platform is prepared and Dagster's instance open."""
    from lms_assets.commands.installation import open_instance, prepare
    from lms_assets.faults.logs import configure_logging

    platform = prepare(settings)
    configure_logging(settings)
    with open_instance(settings) as instance:
        yield platform, instance


COUNTERS = ("received", "inserted", "updated", "unchanged", "duplicates", "outside_window")


@lms.command()
@click.option(
    "--days",
    default=3,
    show_default=True,
    type=click.IntRange(1, 3660),
    help="How many of the newest days that are over.",
)
@click.option(
    "--records",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A JSON array of recorded API records, instead of made-up ones: all days in it.",
)
def demo(days: int, records: Path | None) -> None:
    """A trial on this machine alone, with made-up students.

    Fills a database, a workbook and an outbox from a demo API; nothing configured is touched.
    """
    from lms_assets.commands.demo import demo_days, demo_settings

    settings = demo_settings(records)
    wanted = demo_days(settings, days=days, now=datetime.now(UTC))
    from lms_assets.settings import remember_demo

    settings = remember_demo(settings, wanted[0])
    err.print(f"Demo in {settings.lms_home}: starting the embedded PostgreSQL …")
    with ready(settings) as (platform, instance):
        from lms_assets.commands.history import run_batch

        err.print(f"Materializing with the real job: {wanted[0]} to {wanted[-1]} …")
        with BatchProgress(len(wanted)) as progress:
            outcome = run_batch(
                platform, instance, wanted, kind="demo", tell=progress.tell, workers=1
            )
        _show_loads(outcome.loads)
        if not any(load.changed for load in outcome.loads):
            click.echo("Nothing changed: the table already held all of it.")
        _show_places(settings)
        others = platform.warehouse.rows(
            "select count(distinct day) as n from load_ledger where not day = any(:days)",
            days=wanted,
        )[0]["n"]
        if others:
            click.echo(
                f"{others} other days are here from before: remove {settings.lms_home} for none."
            )
    sys.exit(FAILED if outcome.failed else 0)


def _show_loads(loads: Any) -> None:  # noqa: ANN401
    table = Table("day", *(c.replace("_window", "") for c in COUNTERS), "rejected")
    for column in table.columns[1:]:
        column.justify = "right"
    for load in loads:
        numbers = [f"{getattr(load, name):,}" for name in COUNTERS]
        table.add_row(load.day, *numbers, f"{sum(load.rejected.values()):,}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _show_places(settings: Settings) -> None:
    home = settings.lms_home
    places = {
        "table": './lms query "select * from daily_statistics"',
        "workbook": str(home / "statistics.xlsx"),
        "letters": str(home / "outbox"),
        "page": str(home / "report.html"),
        "Dagster": "./lms up",
    }
    for name, place in places.items():
        click.echo(f"{name:>9}  {place}")


@lms.command()
@click.argument("day", type=DAY, required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
@click.option("--mirror", is_flag=True, help="Delete attempts that the API no longer has.")
@click.option("--force", is_flag=True, help="With --mirror: however many they are.")
def run(day: date | None, as_json: bool, mirror: bool, force: bool) -> None:
    """Loads one DAY now, in this process; yesterday if left out."""
    settings = load_settings()
    if force and not mirror:
        raise click.UsageError("--force goes with --mirror.")
    wanted = _ended_day(day, settings)
    with ready(settings) as (platform, instance):
        from lms_assets.commands.history import run_alone

        result = run_alone(platform, instance, wanted, mirror=mirror, force=force)
    if as_json:
        click.echo(json.dumps(result.as_json()))
    else:
        click.echo(f"{result.day}  {result.summary}")
    sys.exit(0 if result.succeeded else FAILED)


def _ended_day(day: date | None, settings: Settings) -> date:
    """A day that is over and that has a partition.

    Raises:
        click.UsageError: It has not ended, or is before the first day.
    """
    newest = yesterday(datetime.now(UTC), settings.zone)
    wanted = day or newest
    if wanted > newest:
        raise click.UsageError(f"{wanted} is not over yet: the newest whole day is {newest}.")
    if wanted < settings.lms_first_day:
        earlier = "./lms demo --days N makes it" if settings.is_demo else "set it"
        raise click.UsageError(
            f"{wanted} is before LMS_FIRST_DAY ({settings.lms_first_day}): {earlier} earlier."
        )
    return wanted


@lms.command()
@click.argument("first", type=DAY)
@click.argument("last", type=DAY)
@click.option("--again", is_flag=True, help="Also the days that are loaded already.")
def backfill(first: date, last: date, again: bool) -> None:
    """Loads every day from FIRST to LAST, both included.

    Days that are loaded already are left out: called again after a stop, it goes on.
    """
    settings = load_settings()
    days = _range(first, last, settings)
    with ready(settings) as (platform, instance):
        from lms_assets.automation.catch_up import finished_days

        loaded = set() if again else finished_days(instance, platform.warehouse, first, last)
        left = [day for day in days if day not in loaded]
        held = "all once more" if again else f"of which {len(days) - len(left)} are loaded already"
        err.print(f"{len(days)} days, {held}.")
        sys.exit(_run_days(platform, instance, left, kind="backfill"))


@lms.command()
@click.argument("first", type=DAY)
@click.argument("last", type=DAY)
def reclean(first: date, last: date) -> None:
    """Loads days again from the lake, without the API.

    Every day from FIRST to LAST, both included, of which the lake has an answer; by today's rules.
    """
    settings = load_settings()
    with ready(settings) as (platform, instance):
        from lms_assets.commands.amending import replay_quarantine
        from lms_assets.systems import resources

        lake = resources(settings)["lake"]
        wanted = [day for day in _range(first, last, settings) if lake.newest_raw(day)]
        err.print(f"{len(wanted)} of these days have an answer in the lake.")
        status = _run_days(platform, instance, wanted, kind="reclean", from_lake=True)
        replay_quarantine(platform, instance, first=first, last=last)
        sys.exit(status)


def _range(first: date, last: date, settings: Settings) -> list[date]:
    if first > last:
        raise click.UsageError(f"{first} is after {last}: give the earlier day first.")
    _ended_day(first, settings)
    return days_between(first, _ended_day(last, settings))


def _run_days(
    platform: "Platform",
    instance: "dg.DagsterInstance",
    days: list[date],
    *,
    kind: str,
    from_lake: bool = False,
) -> int:
    """The days were run side by side; those that failed are listed, and are the exit code."""
    from lms_assets.commands.history import finish_left_open, run_batch

    if not days:
        finish_left_open(platform, instance)
        click.echo("Nothing to do.")
        return 0
    with BatchProgress(len(days)) as progress:
        outcome = run_batch(
            platform,
            instance,
            days,
            kind=kind,
            tell=progress.tell,
            workers=platform.settings.api_concurrency,
            from_lake=from_lake,
        )
    for failed in outcome.failed:
        click.echo(f"{failed.day}  {failed.summary}")
    click.echo(f"{len(outcome.days) - len(outcome.failed)} done, {len(outcome.failed)} failed.")
    return FAILED if outcome.failed else 0


@lms.command()
@click.argument("sql")
@click.option("--csv", "as_csv", is_flag=True, help="A heading row, then rows.")
def query(sql: str, as_csv: bool) -> None:
    """Shows the rows of a SQL query, in a session that cannot write."""
    from lms_assets.commands.installation import prepare

    warehouse = prepare(load_settings()).warehouse
    try:
        with warehouse.read_only(sql) as (columns, rows):
            _write_csv(columns, rows) if as_csv else _write_table(columns, rows)
    except Fault as fault:
        reason = str(fault.facts.get("reason", fault))
        if "as cursor" in reason or "multi-query" in reason:
            reason = "Only one statement that gives rows (SELECT, WITH, VALUES): this is read-only."
        err.print(reason, markup=False)
        sys.exit(FAILED)


def _write_csv(columns: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)


def _write_table(columns: list[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """A table, or a record under the other where its columns do not fit side by side."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    texts = [["" if value is None else _short(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    if sum(min(width, 40) + 3 for width in widths) < console.width:
        table = Table(*columns)
        for row in texts:
            table.add_row(*row)
        console.print(table, markup=False)
        return
    left = max(map(len, columns))
    for number, row in enumerate(texts, 1):
        click.echo(f"-[ {number} ]-")
        for column, text in zip(columns, row, strict=True):
            click.echo(f"{column:<{left}}  {text}")


def _short(value: object) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


@lms.command()
@click.option(
    "--from",
    "config",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="config.ini of ETL-Project: prints the .env that says the same.",
)
@click.option("--stop", is_flag=True, help="Stop the embedded PostgreSQL that was left running.")
def env(config: Path | None, stop: bool) -> None:
    """Prints what bare Dagster tools need.

    eval "$(./lms env)", then dg, dagster, dagster-webserver, dagster-daemon. The embedded
    PostgreSQL is left running for them, until ./lms env --stop.
    """
    if config is not None:
        from lms_assets.commands.switching import env_from_config_ini

        click.echo(env_from_config_ini(config), nl=False)
        return
    from lms_assets.commands.installation import embedded_postgres, prepare

    settings = load_settings()
    postgres = embedded_postgres(settings)
    if stop:
        if postgres:
            postgres.stop()
        return
    if postgres:
        postgres.keep_running()
    variables = prepare(settings).environment
    path = f"{Path(sys.executable).parent}{os.pathsep}$PATH"
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
    click.echo(f"export VIRTUAL_ENV={shlex.quote(sys.prefix)}")
    click.echo(f'export PATH="{path}"')


@lms.command(context_settings={"ignore_unknown_options": True})
@click.option("--all", "everything", is_flag=True, help="The slow tests too.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(everything: bool, arguments: tuple[str, ...]) -> None:
    """Runs the tests; other arguments are pytest's."""
    chosen = [] if everything else ["-m", "not slow"]
    command = [sys.executable, "-m", "pytest", *chosen, *arguments]
    # The tests make their own settings: nobody's configured systems are theirs.
    ours = {name.upper() for name in Settings.model_fields}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    sys.exit(subprocess.run(command, cwd=project_folder(), env=kept, check=False).returncode)


@lms.command()
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
def up(port: int) -> None:
    """Serves Dagster's page on 127.0.0.1 and runs the daemon.

    The daemon pulls each day by itself, catches up on missed ones and sends the letters. Ctrl-C
    ends all that it started.
    """
    from lms_assets.commands.up import serve

    settings = load_settings()
    with ready(settings) as (platform, instance):
        sys.exit(serve(platform, instance, port=port, tell=click.echo))


@lms.command()
def gaps() -> None:
    """Lists the days since LMS_FIRST_DAY that are not loaded."""
    from lms_assets.attempts.ledger import loaded_days
    from lms_assets.automation.gaps import missing_days
    from lms_assets.commands.installation import prepare

    settings = load_settings()
    newest = yesterday(datetime.now(UTC), settings.zone)
    with prepare(settings).warehouse.begin() as connection:
        loaded = loaded_days(connection, settings.lms_first_day, newest)
    missing = missing_days(settings.lms_first_day, newest, loaded)
    for day in missing:
        click.echo(day.isoformat())
    err.print(f"{len(missing)} days are missing since {settings.lms_first_day}.")


@lms.command()
@click.option("--alive", is_flag=True, help="For a monitor: daemon, letters and yesterday's day.")
def doctor(alive: bool) -> None:
    """Tries each outside system: works, or what to do."""
    from lms_assets.commands import health

    settings = load_settings()
    if alive:
        with ready(settings) as (platform, instance):
            findings = health.signs_of_life(
                settings, instance, platform.warehouse, now=datetime.now(UTC)
            )
            _show_findings(findings)
    else:
        findings = []
        for finding in health.systems(settings):
            findings.append(finding)
            _show_findings([finding])
    sys.exit(0 if all(finding.is_well for finding in findings) else FAILED)


def _show_findings(findings: "list[Finding]") -> None:
    for finding in findings:
        mark = "works" if finding.is_well else "FAILS"
        click.echo(f"{finding.system:<11} {mark}  {finding.says}")


@lms.group(invoke_without_command=True)
@click.pass_context
def letters(context: click.Context) -> None:
    """Lists the letters: sent, waiting, given up."""
    if context.invoked_subcommand is not None:
        return
    from lms_assets.commands.installation import prepare

    rows = prepare(load_settings()).warehouse.rows(
        """
        select id, kind, day, status, tries, due_at, sent_at, subject, last_error
        from letters order by id desc limit 50
        """
    )
    _write_table(
        ["id", "kind", "day", "status", "tries", "due", "sent", "subject", "why"],
        iter([tuple(_brief(value) for value in row.values()) for row in rows]),
    )


def _brief(value: object) -> object:
    return f"{value:%Y-%m-%d %H:%M}" if isinstance(value, datetime) else value


@letters.command()
@click.argument("letter", type=int)
def resend(letter: int) -> None:
    """Sends the LETTER with this id again, to everybody."""
    settings = load_settings()
    with ready(settings) as (platform, instance):
        from lms_assets.commands.history import messenger_of
        from lms_assets.letters.outbox import resend as make_due

        now = datetime.now(UTC)
        with platform.warehouse.begin() as connection:
            if not make_due(connection, letter, now=now):
                raise click.UsageError(f"There is no letter {letter}: see ./lms letters.")
        sent = messenger_of(platform, instance).send(now=now)
    click.echo(f"{sent} letters sent.")
    sys.exit(0 if sent else FAILED)


@lms.group(invoke_without_command=True)
@click.pass_context
def quarantine(context: click.Context) -> None:
    """Counts the refused records by day and reason."""
    if context.invoked_subcommand is not None:
        return
    from lms_assets.attempts.quarantine import counts
    from lms_assets.commands.installation import prepare

    with prepare(load_settings()).warehouse.begin() as connection:
        refused = counts(connection)
    _write_table(["day", "reason", "records"], iter(refused))


@quarantine.command()
@click.option("--reason", help="Only records refused for this reason.")
@click.option("--from", "first", type=DAY, help="Only days from this one on.")
@click.option("--to", "last", type=DAY, help="Only days up to this one, included.")
def replay(reason: str | None, first: date | None, last: date | None) -> None:
    """Cleans refused records again by today's rules and loads what is now good."""
    settings = load_settings()
    with ready(settings) as (platform, instance):
        from lms_assets.commands.amending import replay_quarantine

        total = replay_quarantine(platform, instance, reason=reason, first=first, last=last).total
    click.echo(
        f"{total.tried} records tried: {total.inserted} inserted, {total.duplicates} duplicates, "
        f"{total.outside_window} outside their day, "
        f"{sum(total.still_rejected.values())} still refused."
    )


@lms.command()
@click.argument("user_id")
def erase(user_id: str) -> None:
    """Removes one student for good: tables, lake, figures.

    USER_ID as in attempts.user_id. Later pulls and replays drop the student's records.
    """
    settings = load_settings()
    with ready(settings) as (platform, instance):
        from lms_assets.commands.amending import erase_student

        receipt = erase_student(platform, instance, user_id, tell=lambda _: None)
    if not (receipt.attempts or receipt.rejected_records or receipt.raw_records):
        click.echo("Nothing of this id was found; what comes of it later is dropped all the same.")
    click.echo(
        f"Receipt {receipt.id}: {receipt.attempts} attempts, {receipt.rejected_records} refused "
        f"records, {receipt.raw_records} raw records in {receipt.raw_objects} answers removed."
    )


@lms.command()
@click.option("--zone", help="The zone of the sessions that wrote the old table, as Europe/Moscow.")
def adopt(zone: str | None) -> None:
    """Takes over the tables of the two earlier systems.

    Every row is kept, or set aside with a reason; the old table stays under another name.
    """
    from lms_assets.commands.amending import adopt_earlier

    def told(done: int, total: int) -> None:
        err.print(f"{done:,} of {total:,} rows")

    adopted = adopt_earlier(load_settings(), zone=zone, progress=told)
    for one in adopted:
        aside = ", ".join(f"{reason} {n:,}" for reason, n in one.set_aside.items())
        click.echo(
            f"{one.source}: {one.rows_before:,} rows, {one.kept:,} kept, "
            f"set aside: {aside or 'none'}; {one.days} days; the old table is now "
            f"{one.old_table_now}."
        )
        if one.last_day:
            click.echo(
                f"The earlier system may have stopped in the middle of {one.last_day}: "
                f"./lms backfill {one.last_day} {one.last_day} --again"
            )
    if not adopted:
        click.echo("There is nothing to adopt.")


@lms.command()
def page() -> None:
    """Opens the page of figures in the browser; prints where it is."""
    file = load_settings().lms_home / "report.html"
    if not file.exists():
        err.print("There is no page yet: ./lms run or ./lms demo makes it.")
        sys.exit(FAILED)
    click.echo(str(file))
    webbrowser.open(file.as_uri())


@lms.command()
@click.argument("first", type=DAY)
@click.argument("last", type=DAY)
@click.option(
    "--to",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder, made if it is not there.",
)
def export(first: date, last: date, to: Path) -> None:
    """Writes attempts and figures as Parquet and CSV.

    Attempts and figures by day from FIRST to LAST, both included; the other figures as of the
    newest loaded day. Files of an earlier export in the folder are replaced.
    """
    if first > last:
        raise click.UsageError(f"{first} is after {last}: give the earlier day first.")
    from lms_assets.commands.installation import prepare
    from lms_assets.statistics.export import export as write_files

    settings = load_settings()
    try:
        for path in write_files(prepare(settings).warehouse, first, last, to, zone=settings.zone):
            click.echo(str(path))
    except OSError as error:
        err.print(f"lms: {error}", style="red", markup=False)
        sys.exit(FAILED)
