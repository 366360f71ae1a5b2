"""The commands that repair loaded data: quarantine, erasure, adoption."""

import sys
from datetime import date

import click

from lms_assets.amends.adoption import Adoption
from lms_assets.amends.erasure import Erased, Trace
from lms_assets.attempts.quarantine import counts
from lms_assets.commands.amending import (
    adopt_earlier,
    erase_student,
    mend_lag,
    replay_quarantine,
    trace_of_student,
)
from lms_assets.commands.arguments import DAY
from lms_assets.commands.installation import opened, prepare
from lms_assets.commands.publishing import publish_changes, status_of
from lms_assets.commands.terminal import (
    FAILED,
    USAGE,
    begun,
    counted,
    err,
    say_error,
    show_rows,
)
from lms_assets.faults import Fault
from lms_assets.faults.folders import folder_errors_as_faults
from lms_assets.settings import load_settings


@click.group(invoke_without_command=True)
@click.pass_context
def quarantine(context: click.Context) -> None:
    """Counts the refused records by day and reason."""
    if context.invoked_subcommand is not None:
        return
    with prepare(load_settings()).warehouse.begin() as connection:
        refused = counts(connection)
    show_rows(["day", "reason", "records"], refused)


@quarantine.command()
@click.option("--reason", help="Only records refused for this reason.")
@click.option("--from", "first", type=DAY, help="Only days from this one on.")
@click.option("--to", "last", type=DAY, help="Only days up to this one, included.")
def replay(reason: str | None, first: date | None, last: date | None) -> None:
    """Cleans refused records again by the present rules and loads those that are now good."""
    with opened(load_settings()) as (installation, instance):
        result = replay_quarantine(installation, reason=reason, first=first, last=last)
        published = publish_changes(installation, instance)
    total = result.total
    click.echo(
        f"{counted(total.received, 'record')} tried: {total.inserted} inserted, "
        f"{counted(total.duplicates, 'duplicate')}, {total.outside_window} outside their day, "
        f"{total.rejected_in_all} still refused."
    )
    sys.exit(status_of(published))


@click.command()
@click.argument("user_id")
@click.option("--yes", is_flag=True, help="Asks nothing; needed where there is no terminal.")
def erase(user_id: str, yes: bool) -> None:
    """Removes one student for good: tables, lake, figures.

    USER_ID as in attempts.user_id. Later pulls and replays drop the student's records.
    """
    settings = load_settings()
    if not yes and not sys.stdin.isatty():
        raise click.UsageError("There is no terminal to ask: give --yes.")
    with opened(settings) as (installation, instance):
        traced = trace_of_student(installation, user_id)
        if not yes and not traced.is_known:
            raise click.UsageError(
                "Nothing of this id is here. If its records may still come, give --yes: "
                "they will then be dropped."
            )
        click.echo(_in_words(traced))
        if not traced.is_known:
            err.print("Nothing of this id is here. Records that come later will be dropped.")
        if not yes and not click.confirm("Remove all of it for good?"):
            err.print("Nothing was removed.")
            sys.exit(USAGE)
        try:
            with folder_errors_as_faults():
                erased = erase_student(installation, user_id)
        except Fault as fault:
            # A second call continues the erasure.
            say_error(f"{fault} Then erase the student again.")
            sys.exit(FAILED)
        _show_erased(erased)
        status = status_of(publish_changes(installation, instance))
    sys.exit(FAILED if erased.unreadable else status)


def _in_words(traced: Trace) -> str:
    tables = traced.tables
    sentence = (
        f"Of this student: {counted(tables.attempts, 'attempt')} and "
        f"{counted(tables.rejected_records, 'refused record')} on {counted(tables.days, 'day')}, "
        f"{counted(tables.adopted_rows, 'row')} of earlier systems' tables"
    )
    if traced.raw_records is not None:
        sentence += f", {counted(traced.raw_records, 'raw record')} in the lake"
    return sentence + (". An erasure was begun before." if traced.was_erased else ".")


def _show_erased(erased: Erased) -> None:
    receipt = erased.receipt
    click.echo(
        f"Receipt {receipt.id}: {counted(receipt.attempts, 'attempt')}, "
        f"{counted(receipt.rejected_records, 'refused record')}, "
        f"{counted(receipt.raw_records, 'raw record')} in "
        f"{counted(receipt.raw_objects, 'answer')} removed."
    )
    click.echo(
        "What is not reached from here: the database's write-ahead log, until the server has "
        "written it anew; backups, replicas and snapshots of database and lake; files of exports."
    )
    for key, reason in erased.unreadable.items():
        say_error(
            f"{key} in the lake cannot be read ({reason}) and may still hold the student. "
            "Remove it if it is of no use, then erase the student again."
        )


@click.command()
@click.option("--zone", help="The zone of the sessions that wrote the old table, as Europe/Moscow.")
def adopt(zone: str | None) -> None:
    """Takes over the tables of the two earlier systems.

    Every row is kept, or set aside with a reason; the old table is renamed and stays.
    """
    settings = load_settings()
    adopted = adopt_earlier(settings, zone=zone, progress=_tell_rows)
    for adoption in adopted:
        _show_adoption(adoption)
    if not adopted:
        click.echo("There is nothing to adopt.")
    # Even if there was nothing to adopt: an earlier call may have been interrupted here.
    with begun(), opened(settings) as (installation, instance):
        mend_lag(installation)
        published = publish_changes(installation, instance)
    sys.exit(status_of(published))


def _tell_rows(done: int, total: int) -> None:
    err.print(f"{done:,} of {total:,} rows")


def _show_adoption(adoption: Adoption) -> None:
    aside = ", ".join(f"{reason} {n:,}" for reason, n in adoption.set_aside.items())
    click.echo(
        f"{adoption.source}: {counted(adoption.rows_before, 'row')}, {adoption.kept:,} kept, "
        f"set aside: {aside or 'none'}; {counted(adoption.days, 'day')}; the old table is now "
        f"{adoption.renamed_to}."
    )
    if adoption.last_day:
        click.echo(
            f"The earlier system may have stopped in the middle of {adoption.last_day}: "
            f"./lms backfill {adoption.last_day} {adoption.last_day} --again"
        )
