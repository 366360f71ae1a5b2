"""The commands that load days: one day, a range, or a range again from the lake."""

import json
import sys
from datetime import date
from functools import partial

import click
import dagster as dg

from lms_assets.automation.catch_up import finished_days
from lms_assets.commands.amending import replay_quarantine
from lms_assets.commands.arguments import DAY, ended_day, ended_days
from lms_assets.commands.history import (
    finish_killed_commands,
    run_alone,
    run_batch,
    tell_of_orphans,
)
from lms_assets.commands.installation import Installation, opened
from lms_assets.commands.progress import BatchProgress
from lms_assets.commands.publishing import publish_changes, status_of
from lms_assets.commands.terminal import FAILED, counted, err
from lms_assets.settings import Settings, load_settings
from lms_assets.systems import resources


@click.command()
@click.argument("day", type=DAY, required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON object on the last line.")
@click.option("--mirror", is_flag=True, help="Delete attempts that the API no longer has.")
@click.option("--force", is_flag=True, help="With --mirror: without a limit to their number.")
def run(day: date | None, as_json: bool, mirror: bool, force: bool) -> None:
    """Loads one DAY now, in this process; yesterday if left out."""
    settings = load_settings()
    if force and not mirror:
        raise click.UsageError("--force goes with --mirror.")
    ended = ended_day(day, settings)
    with opened(settings) as (installation, instance):
        tell = partial(err.print, markup=False, soft_wrap=True)
        result = run_alone(installation, instance, ended, tell=tell, mirror=mirror, force=force)
    click.echo(json.dumps(result.as_json()) if as_json else f"{result.day}  {result.summary}")
    sys.exit(0 if result.succeeded else FAILED)


@click.command()
@click.argument("first", type=DAY)
@click.argument("last", type=DAY)
@click.option("--again", is_flag=True, help="Also the days that are loaded already.")
def backfill(first: date, last: date, again: bool) -> None:
    """Loads every day from FIRST to LAST, both included.

    Days that are loaded already are left out, so after a stop the same call goes on.
    """
    settings = load_settings()
    days = ended_days(first, last, settings)
    with opened(settings) as (installation, instance):
        tell_of_orphans(installation, instance)
        loaded = set() if again else finished_days(instance, installation.warehouse, first, last)
        missing = [day for day in days if day not in loaded]
        note = (
            "all once more" if again else f"of which {len(days) - len(missing)} are loaded already"
        )
        err.print(f"{counted(len(days), 'day')}, {note}.")
        if days and not missing:
            sys.exit(_publish_loaded_days(installation, instance, last))
        sys.exit(_run_days(installation, instance, missing, kind="backfill", again=again))


@click.command()
@click.argument("first", type=DAY)
@click.argument("last", type=DAY)
def reclean(first: date, last: date) -> None:
    """Loads days again from the lake, without the API.

    Cleans each day from FIRST to LAST, both included, that has an answer in the lake, by the
    present rules.
    """
    settings = load_settings()
    days = ended_days(first, last, settings)
    with opened(settings) as (installation, instance):
        lake = resources(settings)["lake"]
        stored_days = [day for day in days if lake.newest_raw(day)]
        err.print(f"{len(stored_days)} of these days have an answer in the lake.")
        status = _run_days(
            installation, instance, stored_days, kind="reclean", from_lake=True, again=True
        )
        replay_quarantine(installation, first=first, last=last)
        published = publish_changes(installation, instance)
        sys.exit(status_of(published) or status)


def _publish_loaded_days(
    installation: Installation, instance: dg.DagsterInstance, day: date
) -> int:
    """All days are loaded already; figures that an earlier call did not publish are published."""
    finish_killed_commands(installation, instance)
    published = publish_changes(installation, instance, day)
    if published is None:
        click.echo("Nothing to do.")
    elif published.succeeded:
        click.echo("Published.")
    return status_of(published)


def _run_days(
    installation: Installation,
    instance: dg.DagsterInstance,
    days: list[date],
    *,
    kind: str,
    from_lake: bool = False,
    again: bool = False,
) -> int:
    """The days have been run in parallel, and failed days have been listed; the exit code."""
    if not days:
        finish_killed_commands(installation, instance)
        click.echo("Nothing to do.")
        return 0
    with BatchProgress(len(days)) as progress:
        outcome = run_batch(
            installation,
            instance,
            days,
            kind=kind,
            tell=progress.tell,
            workers=_workers(installation.settings, from_lake=from_lake),
            from_lake=from_lake,
            again=again,
        )
    for failed in outcome.failed:
        click.echo(f"{failed.day}  {failed.summary}")
    click.echo(f"{len(outcome.days) - len(outcome.failed)} done, {len(outcome.failed)} failed.")
    return status_of(outcome.publication) or (FAILED if outcome.failed else 0)


def _workers(settings: Settings, *, from_lake: bool) -> int:
    """As many as may ask the API, and one: while the others ask, it loads what it was answered."""
    return settings.api_concurrency + (0 if from_lake else 1)
