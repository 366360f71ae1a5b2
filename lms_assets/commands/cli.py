"""The `lms` command: the module of each of its commands, and how a command ends.

Exit codes: 0 success; 1 the work failed; 2 wrong usage or settings, nothing was begun.

This module imports the commands' modules late, because Dagster takes a second to import and
`lms --help` does not need it. The commands' modules import all that they need at their top.
"""

import os
import sys
from dataclasses import dataclass
from importlib import import_module

import click

from lms_assets.commands.terminal import (
    FAILED,
    STOPPED,
    USAGE,
    accept_any_text,
    err,
    say_error,
)
from lms_assets.faults import Fault, TemporaryFault
from lms_assets.faults.folders import folder_errors_as_faults
from lms_assets.settings import SettingsError


@dataclass(frozen=True)
class Listed:
    """A command's line in the list of all commands.

    Attributes:
        group: The module of ``lms_assets.commands`` that defines the command under its name.
        help: The first sentence of the command's docstring, so that the list imports no module.
    """

    group: str
    help: str


COMMANDS = {
    "adopt": Listed("repairing", "Takes over the tables of the two earlier systems."),
    "backfill": Listed("running", "Loads every day from FIRST to LAST, both included."),
    "backup": Listed("backing_up", "Writes database, lake and keys into a new folder."),
    "bench": Listed("developing", "Measures how fast this is: all benchmarks, or those named."),
    "demo": Listed("trying", "A trial on this machine alone, with made-up students."),
    "doctor": Listed("looking", "Tries each outside system: works, or what to do."),
    "env": Listed("serving", "Prints what bare Dagster tools need."),
    "erase": Listed("repairing", "Removes one student for good: tables, lake, figures."),
    "export": Listed("looking", "Writes attempts and figures as Parquet and CSV."),
    "gaps": Listed("looking", "Lists the days since LMS_FIRST_DAY that are not loaded."),
    "letters": Listed("telling", "Lists the letters: sent, waiting, given up."),
    "page": Listed("looking", "Opens the page of figures in the browser; prints where it is."),
    "quarantine": Listed("repairing", "Counts the refused records by day and reason."),
    "query": Listed("looking", "Shows the rows of a SQL query, in a session that cannot write."),
    "reclean": Listed("running", "Loads days again from the lake, without the API."),
    "restore": Listed("backing_up", "Replaces all data here by a backup."),
    "run": Listed("running", "Loads one DAY now, in this process; yesterday if left out."),
    "test": Listed("developing", "Runs the tests; other arguments are pytest's."),
    "up": Listed("serving", "Serves Dagster's page on 127.0.0.1 and runs the daemon."),
    "worker": Listed("working", "Works the runs that ./lms up queues, here or elsewhere."),
}


class LateGroup(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """The names of all commands."""
        return sorted(COMMANDS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002
        cmd_name: str,
    ) -> click.Command | None:
        """The command; its module has been imported."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"lms_assets.commands.{COMMANDS[cmd_name].group}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The help shows the list of commands, taken from the table COMMANDS."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].help) for name in self.list_commands(ctx)])


@click.group(
    cls=LateGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Begin with ./lms demo. Days are written as 2025-07-24. Settings: .env.example.",
)
@click.version_option(package_name="lms_assets", message="lms_assets %(version)s")
def lms() -> None:
    """Students' attempts: from the grader's API to PostgreSQL, Google Sheets and a letter."""


def main() -> None:
    """The console script; with wrong settings it ends before any work is begun."""
    try:
        accept_any_text()
        # A command that returns has succeeded; a failed one calls sys.exit.
        with folder_errors_as_faults():
            lms(prog_name="lms", standalone_mode=False)
    except (SettingsError, Fault) as error:
        say_error(error)
        # Faults after the beginning of work are handled in `terminal.begun`. A temporary fault is
        # no wrong setting: the same call may work later.
        sys.exit(FAILED if isinstance(error, TemporaryFault) else USAGE)
    except click.ClickException as error:
        error.show()
        sys.exit(USAGE)
    except BrokenPipeError:
        # The reader of our output has ended, as `head` does; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(FAILED)
    except (click.Abort, KeyboardInterrupt):
        err.print("lms: stopped.")
        sys.exit(STOPPED)
