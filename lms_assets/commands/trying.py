"""The command that shows everything on made-up students."""

import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import get_args

import click
from rich.console import Console
from rich.table import Table

from lms_assets.attempts.fates import Fate
from lms_assets.attempts.ledger import Load
from lms_assets.commands.arguments import EXISTING
from lms_assets.commands.demo import demo_days, demo_settings, left_out_days
from lms_assets.commands.history import run_batch
from lms_assets.commands.installation import Installation, opened
from lms_assets.commands.progress import BatchProgress
from lms_assets.commands.publishing import status_of
from lms_assets.commands.terminal import FAILED, err
from lms_assets.settings import Settings, api_is_configured, remember_demo

# They add up: received is the sum of all others (R63).
COUNTERS = ("received", *(fate for fate in get_args(Fate) if fate != "rejected"))


@click.command()
@click.option(
    "--days",
    default=3,
    show_default=True,
    type=click.IntRange(1, 3660),
    help="How many of the newest days that are over.",
)
@click.option(
    "--records",
    type=EXISTING,
    help="Recorded attempts instead of made-up ones: a JSON array of API records, or the folder "
    "of a ProgSnap2 dataset.",
)
def demo(days: int, records: Path | None) -> None:
    """A trial on this machine alone, with made-up students.

    Fills a database, a workbook and an outbox from a demo API; nothing configured is touched.
    """
    now = datetime.now(UTC)
    settings = demo_settings(records, now=now, tell=err.print)
    chosen = demo_days(settings, days=days, now=now)
    settings = remember_demo(settings, chosen[0], chosen[-1])
    for day in left_out_days(settings, now=now):
        err.print(f"Records of {day} are left out: that day cannot be loaded now.")
    err.print(f"Demo in {settings.lms_home}: starting the embedded PostgreSQL …")
    with opened(settings) as (installation, instance):
        err.print(f"Materializing with the real job: {chosen[0]} to {chosen[-1]} …")
        with BatchProgress(len(chosen)) as progress:
            outcome = run_batch(
                installation, instance, chosen, kind="demo", tell=progress.tell, workers=1
            )
        _show_loads(outcome.loads)
        _show_places(settings)
        _say_what_was_there(installation, chosen)
    sys.exit(status_of(outcome.publication) or (FAILED if outcome.failed else 0))


def _show_loads(loads: Sequence[Load]) -> None:
    table = Table("day", *(c.replace("_window", "") for c in COUNTERS), "rejected")
    for column in table.columns[1:]:
        column.justify = "right"
    for load in loads:
        numbers = [f"{getattr(load.fates, name):,}" for name in COUNTERS]
        table.add_row(str(load.day), *numbers, f"{load.fates.rejected_in_all:,}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    if not any(load.changed for load in loads):
        click.echo("Nothing changed: the table already held all of it.")


def _show_places(settings: Settings) -> None:
    home = settings.lms_home
    # Once an API is configured, commands are about that: the variable asks for the demo.
    lms = "LMS_DEMO=1 ./lms" if api_is_configured() else "./lms"
    places = {
        "table": f"{lms} query 'table daily_statistics'",
        "workbook": str(home / "statistics.xlsx"),
        "letters": str(home / "outbox"),
        "page": str(home / "report.html"),
        "Dagster": f"{lms} up",
    }
    for name, place in places.items():
        click.echo(f"{name:>9}  {place}")


def _say_what_was_there(installation: Installation, days: Sequence[date]) -> None:
    others = installation.warehouse.rows(
        "select count(distinct day) as n from load_ledger where not day = any(:days)",
        days=list(days),
    )[0]["n"]
    home = installation.settings.lms_home
    if others:
        click.echo(f"{others} other days are here from before: remove {home} for none.")
