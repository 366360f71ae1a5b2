"""The commands for the loss of a machine: a backup, and its restore."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from importlib.metadata import version
from pathlib import Path

import click
from filelock import Timeout

from lms_assets.amends import backup as backing_up
from lms_assets.amends import restore as restoring
from lms_assets.amends.backup_files import opened_manifest
from lms_assets.attempts.ledger import newest_loaded_day
from lms_assets.commands.amending import erase_student
from lms_assets.commands.arguments import FOLDER
from lms_assets.commands.installation import opened, prepare
from lms_assets.commands.publishing import publish_changes, status_of
from lms_assets.commands.terminal import USAGE, counted, err, say_error
from lms_assets.commands.up import lock_of_up
from lms_assets.faults import PermanentFault
from lms_assets.faults.masking import Mask
from lms_assets.settings import Settings, load_settings
from lms_assets.systems import erasure, the_lake


@click.command()
@click.argument("to", type=FOLDER)
def backup(to: Path) -> None:
    """Writes database, lake and keys into a new folder."""
    settings = load_settings()
    backing_up.refuse_used(to)
    with opened(settings) as (installation, _):
        manifest = backing_up.back_up(
            to,
            warehouse=installation.warehouse,
            lake=the_lake(settings),
            erasure=erasure(settings),
            settings=without_secrets(settings),
            version=version("lms_assets"),
            now=datetime.now(UTC),
        )
    click.echo(
        f"{to}: {counted(len(manifest.tables), 'table')}, "
        f"{counted(len(manifest.files), 'file')}. LMS_KEY and passwords are not in it."
    )


@click.command()
@click.argument("from_", metavar="FROM", type=FOLDER)
@click.option("--yes", is_flag=True, help="Asks nothing where days are loaded already.")
def restore(from_: Path, yes: bool) -> None:
    """Replaces all data here by a backup.

    The backup goes into the database that is set now, whichever one it was made from.
    """
    settings = load_settings()
    manifest = opened_manifest(from_)
    with prepare(settings).warehouse.begin() as connection:
        newest = newest_loaded_day(connection)
    if newest and not yes:
        _ask(newest)
    with _without_up(settings), opened(settings) as (installation, instance):
        warehouse, keys = installation.warehouse, erasure(settings)
        try:
            restoring.refuse_unfit(
                manifest, from_, warehouse=warehouse, erasure=keys, zone=settings.lms_timezone
            )
        except PermanentFault as fault:
            say_error(fault)
            sys.exit(USAGE)
        returned = restoring.restore(
            manifest, from_, warehouse=warehouse, lake=the_lake(settings), erasure=keys
        )
        for user_id in returned:
            erase_student(installation, user_id)
        published = publish_changes(installation, instance)
    click.echo(f"Restored: the backup of {manifest.made_at}.")
    if returned:
        click.echo(f"{counted(len(returned), 'student')} erased since then: erased again.")
    sys.exit(status_of(published))


@contextmanager
def _without_up(settings: Settings) -> Iterator[None]:
    """`lms up` does not run here, and does not begin during the block."""
    with ExitStack() as held:
        try:
            held.enter_context(lock_of_up(settings))
        except Timeout:
            raise click.UsageError("./lms up runs here: stop it first.") from None
        yield


def _ask(newest: date) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError("Days are loaded here, and there is no terminal to ask: give --yes.")
    if not click.confirm(f"Days up to {newest} are loaded here. Replace all of it?"):
        err.print("Nothing was changed.")
        sys.exit(USAGE)


def without_secrets(settings: Settings) -> str:
    """What is set, as a ``.env`` says it, one setting a line; of a secret only its name."""
    if settings.is_demo:
        return "# A demo: nothing is set.\n"
    values = {name: getattr(settings, name) for name in sorted(settings.model_fields_set)}
    unset = (None, (), "")
    return "".join(_line(name, value) for name, value in values.items() if value not in unset)


def _line(name: str, value: object) -> str:
    plain = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    # An address may hold a password.
    is_secret = "SecretStr" in str(Settings.model_fields[name].annotation)
    if is_secret or Mask([]).mask(plain) != plain:
        return f"# {name.upper()} is secret\n"
    quoted = plain.replace("\\", "\\\\").replace("'", "\\'")
    return f"{name.upper()}='{quoted}'\n"
