"""The preparation of an installation: the home, the database, and Dagster's variables."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from glob import escape
from importlib.resources import files
from pathlib import Path

import dagster as dg

from lms_assets import systems
from lms_assets.attempts.ledger import zone_of_ledger
from lms_assets.commands.terminal import begun
from lms_assets.embedded.postgres import EmbeddedPostgres
from lms_assets.embedded.postgres_port import let_reader_in
from lms_assets.faults import PermanentFault
from lms_assets.faults.logs import configure_logging
from lms_assets.files import write_whole
from lms_assets.locks import Lock, hold
from lms_assets.resources.sessions import session_url, staying_open_in_runs
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.instance import DAGSTER_URL, open_instance
from lms_assets.settings import Settings, project_folder, running_as_root
from lms_assets.statistics.views import figure_views


@dataclass(frozen=True)
class Installation:
    """A prepared installation: a home and a migrated database. Dagster can start."""

    settings: Settings
    warehouse: Warehouse
    environment: dict[str, str]


def prepare(settings: Settings) -> Installation:
    """The home exists, the database runs with the present schema, Dagster's variables are set.

    Raises:
        Fault: The lake, the home or the database cannot be used, or the loaded days are of
            another zone.
    """
    systems.the_lake(settings).refuse_unusable()
    make_home(settings)
    warehouse = systems.warehouse(settings)
    warehouse.migrate(figure_views())
    _let_reader_in(warehouse, settings)
    _refuse_another_zone(warehouse, settings)
    warehouse.make_schema("dagster")
    environment = _environment(settings, warehouse.server_url)
    os.environ.update(environment)
    return Installation(settings, warehouse, environment)


@contextmanager
def opened(settings: Settings) -> Iterator[tuple[Installation, dg.DagsterInstance]]:
    """The installation is prepared, logging is on and Dagster's instance is open.

    A fault that leaves the block ends the command with exit code 1.
    """
    installation = prepare(settings)
    warehouse = installation.warehouse
    with warehouse.staying_open():
        warehouse.refuse_unwritable()
        configure_logging(settings)
        with begun(), warehouse.faults_by_name(), open_instance() as instance:
            yield installation, instance


def embedded_postgres(settings: Settings) -> EmbeddedPostgres | None:
    """The embedded server of this home; None if another server is configured."""
    if settings.db_host is not None:
        return None
    return EmbeddedPostgres(settings.lms_home / "postgres")


def make_home(settings: Settings) -> None:
    """The home exists and is private.

    For root the embedded server runs as another user, who must be able to enter the home. So the
    home itself stays open and each of its files and folders is closed. An existing folder that is
    no home keeps its mode.

    Raises:
        PermanentFault: The home cannot be made or written, or Dagster cannot use its path.
    """
    home = settings.lms_home
    # Dagster searches its dagster.yaml by glob. If it finds none, it keeps runs in SQLite files.
    if escape(str(home)) != str(home):
        raise PermanentFault("host.home_is_pattern", home=home)
    folders = [home.parent, home] if settings.is_demo else [home]
    mode = 0o711 if running_as_root() else 0o700
    try:
        for folder in folders:
            is_new = not folder.exists()
            folder.mkdir(parents=True, exist_ok=True)
            if is_new or any((folder / name).exists() for name in ("dagster", "demo", "demo.json")):
                folder.chmod(mode)
        (home / "dagster").mkdir(mode=0o700, exist_ok=True)
        (home / "lake").mkdir(mode=0o700, exist_ok=True)
        with tempfile.TemporaryFile(dir=home):
            pass
        _close_contents(home)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PermanentFault("host.home_unusable", home=home, reason=reason) from None


def _close_contents(home: Path) -> None:
    if not running_as_root():
        return
    shown = {"postgres", "report.html", "statistics.xlsx"}
    for inside in home.iterdir():
        if inside.name not in shown and not inside.is_symlink():
            inside.chmod(0o700 if inside.is_dir() else 0o600)


def _let_reader_in(warehouse: Warehouse, settings: Settings) -> None:
    if settings.lms_postgres_port is None or settings.db_host is not None:
        return
    with warehouse.begin() as connection:
        hold(connection, Lock.SCHEMA)
        let_reader_in(connection, settings.reader_password_file)


def _refuse_another_zone(warehouse: Warehouse, settings: Settings) -> None:
    with warehouse.begin() as connection:
        loaded = zone_of_ledger(connection)
    if loaded not in (None, settings.lms_timezone):
        raise PermanentFault("settings.zone_changed", zone=settings.lms_timezone, loaded=loaded)


def _environment(settings: Settings, url: str) -> dict[str, str]:
    home = settings.lms_home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    _write_if_other(home / "dagster.yaml", _dagster_yaml(settings))
    # Dagster's tables are in the schema `dagster`.
    dagster_url = session_url(url, schema="dagster")
    variables = {
        "DAGSTER_HOME": str(home),
        DAGSTER_URL: staying_open_in_runs(dagster_url.render_as_string(hide_password=False)),
        "LMS_RUNS_AT_ONCE": str(settings.api_concurrency),
        "DAGSTER_DISABLE_TELEMETRY": "1",
    }
    return variables | ({"LMS_DEMO": "1"} if settings.is_demo else {})


def _dagster_yaml(settings: Settings) -> str:
    """How Dagster starts runs is chosen here: on this machine, or on the workers of a cluster."""
    here = (project_folder() / "dagster.yaml").read_text(encoding="utf-8")
    if settings.lms_broker_url is None:
        return here
    return here + (files("lms_assets.cluster") / "dagster.yaml").read_text(encoding="utf-8")


def _write_if_other(target: Path, text: str) -> None:
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        # Without a whole one Dagster would keep its runs in files of SQLite.
        write_whole(target, text)
