"""The commands about letters."""

import sys
from datetime import UTC, datetime

import click

from lms_assets.commands.installation import opened, prepare
from lms_assets.commands.publishing import COMMAND_SENDS_S, messenger_of
from lms_assets.commands.terminal import FAILED, counted, show_rows
from lms_assets.letters.outbox import resend as make_due
from lms_assets.settings import load_settings

NEWEST_LETTERS = """
select id, kind, day, status, tries, due_at as due, sent_at as sent, subject, last_error as why
from letters order by id desc limit 50
"""


@click.group(invoke_without_command=True)
@click.pass_context
def letters(context: click.Context) -> None:
    """Lists the letters: sent, waiting, given up."""
    if context.invoked_subcommand is not None:
        return
    with prepare(load_settings()).warehouse.read_only(NEWEST_LETTERS) as (columns, rows):
        show_rows(columns, rows)


@letters.command()
@click.argument("letter", type=int)
def resend(letter: int) -> None:
    """Sends the LETTER with this id again, to everybody."""
    settings = load_settings()
    now = datetime.now(UTC)
    with opened(settings) as (installation, instance):
        with installation.warehouse.begin() as connection:
            if not make_due(connection, letter, now=now):
                raise click.UsageError(f"There is no letter {letter}: see ./lms letters.")
        sent = messenger_of(installation, instance).send(now=now, begin_within_s=COMMAND_SENDS_S)
    click.echo(f"{counted(sent, 'letter')} sent.")
    sys.exit(0 if sent else FAILED)
