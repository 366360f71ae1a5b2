"""Commands that mend what is loaded: the quarantine, one student's erasure, old tables."""

from datetime import date

import click

from lms_assets.amends.adoption import Adoption
from lms_assets.attempts.quarantine import counts
from lms_assets.commands.amending import adopt_earlier, erase_student, replay_quarantine
from lms_assets.commands.arguments import DAY
from lms_assets.commands.installation import opened, prepare
from lms_assets.commands.terminal import counted, err, show_rows
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
    """Cleans refused records again by today's rules and loads what is now good."""
    with opened(load_settings()) as (installation, instance):
        done = replay_quarantine(installation, instance, reason=reason, first=first, last=last)
    total = done.total
    click.echo(
        f"{counted(total.received, 'record')} tried: {total.inserted} inserted, "
        f"{counted(total.duplicates, 'duplicate')}, {total.outside_window} outside their day, "
        f"{total.rejected_in_all} still refused."
    )


@click.command()
@click.argument("user_id")
def erase(user_id: str) -> None:
    """Removes one student for good: tables, lake, figures.

    USER_ID as in attempts.user_id. Later pulls and replays drop the student's records.
    """
    with opened(load_settings()) as (installation, instance):
        receipt = erase_student(installation, instance, user_id, tell=lambda _: None)
    if not (receipt.attempts or receipt.rejected_records or receipt.raw_records):
        click.echo("Nothing of this id was found; what comes of it later is dropped all the same.")
    click.echo(
        f"Receipt {receipt.id}: {counted(receipt.attempts, 'attempt')}, "
        f"{counted(receipt.rejected_records, 'refused record')}, "
        f"{counted(receipt.raw_records, 'raw record')} in "
        f"{counted(receipt.raw_objects, 'answer')} removed."
    )


@click.command()
@click.option("--zone", help="The zone of the sessions that wrote the old table, as Europe/Moscow.")
def adopt(zone: str | None) -> None:
    """Takes over the tables of the two earlier systems.

    Every row is kept, or set aside with a reason; the old table stays under another name.
    """
    adopted = adopt_earlier(load_settings(), zone=zone, progress=_tell_rows)
    for one in adopted:
        _show_adoption(one)
    if not adopted:
        click.echo("There is nothing to adopt.")


def _tell_rows(done: int, total: int) -> None:
    err.print(f"{done:,} of {total:,} rows")


def _show_adoption(one: Adoption) -> None:
    aside = ", ".join(f"{reason} {n:,}" for reason, n in one.set_aside.items())
    click.echo(
        f"{one.source}: {counted(one.rows_before, 'row')}, {one.kept:,} kept, "
        f"set aside: {aside or 'none'}; {counted(one.days, 'day')}; the old table is now "
        f"{one.old_table_now}."
    )
    if one.last_day:
        click.echo(
            f"The earlier system may have stopped in the middle of {one.last_day}: "
            f"./lms backfill {one.last_day} {one.last_day} --again"
        )
