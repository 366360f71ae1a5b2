"""Whether each outside system works, and whether the platform is alive: for `lms doctor`."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from lms_assets.automation.freshness import freshness
from lms_assets.automation.room import rooms
from lms_assets.commands.installation import prepare
from lms_assets.commands.misnamed import unknown_settings
from lms_assets.days import yesterday
from lms_assets.embedded.postgres_port import address, listens_on
from lms_assets.faults import Fault
from lms_assets.faults.folders import folder_errors_as_faults
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.instance import has_daemon, last_heartbeat
from lms_assets.settings import Settings
from lms_assets.systems import resources

LETTER_WITHIN = timedelta(hours=1)


@dataclass(frozen=True)
class Finding:
    """The state of one system.

    Attributes:
        system: The system's name in the output.
        is_well: Whether it works.
        says: How it works, or what to do.
        warns: It works, but a person must do something soon.
    """

    system: str
    is_well: bool
    says: str
    warns: bool = False


def systems(settings: Settings, *, now: datetime) -> Iterator[Finding]:
    """Findings about the settings, then about each outside system or its embedded double."""
    parts, unready = resources(settings), _fault_of_prepare(settings)
    # A cause is shown once, by the system that it belongs to.
    of_database = unready if unready and unready.stage == "database" else None
    yield _settings(settings, None if of_database else unready, now=now)

    def database() -> str:
        if of_database:
            raise of_database
        return str(parts["warehouse"].check())

    double = {
        "PostgreSQL": _is_double(parts["warehouse"]),
        "lake": settings.lms_lake is None,
        "grader API": _is_double(parts["grader_api"]),
        "sheet": _is_double(parts["google_sheets"]),
        "mail": _is_double(parts["mailer"]),
    }
    checks: list[tuple[str, Callable[[], object]]] = [
        ("PostgreSQL", database),
        ("lake", parts["lake"].check),
        ("grader API", parts["grader_api"].check),
        ("sheet", lambda: parts["google_sheets"].check() or parts["google_sheets"].url),
        *((channel.name, channel.check) for channel in parts["channels"]),
    ]
    for system, check in checks:
        yield _finding(system, check, "embedded: " if double.get(system) else "")
        if system == "PostgreSQL" and settings.lms_postgres_port and double[system]:
            yield _reading_port(settings, parts["warehouse"], settings.lms_postgres_port)
    if settings.lms_broker_url:
        yield _workers()
    yield from _disks(settings, None if of_database else parts["warehouse"])


def _is_double(part: object) -> bool:
    """Whether the settings chose what a laptop has instead of an outside system."""
    return type(part).__module__.startswith("lms_assets.embedded.")


def _workers() -> Finding:
    from lms_assets.cluster.launcher import workers_that_answer

    try:
        workers = workers_that_answer()
    except Fault as fault:
        return Finding("workers", False, str(fault))
    says = f"{workers} answer" if workers else "none answers: start ./lms worker on some machine"
    return Finding("workers", workers > 0, says)


def _fault_of_prepare(settings: Settings) -> Fault | None:
    """The fault with which every command would end before its work; None if there is none."""
    try:
        with folder_errors_as_faults():
            prepare(settings)
    except Fault as fault:
        return fault
    return None


def _disks(settings: Settings, warehouse: Warehouse | None) -> Iterator[Finding]:
    try:
        with folder_errors_as_faults():
            disks = rooms(settings, warehouse)
    except (Fault, OSError) as error:
        yield Finding("disk", False, str(error))
        return
    for room in disks:
        yield Finding("disk", True, room.says, warns=not room.is_enough)


def _settings(settings: Settings, unready: Fault | None, *, now: datetime) -> Finding:
    """The settings are usable, and no variable looks like a misspelt setting."""
    unknown = unknown_settings()
    if unknown:
        return Finding("settings", False, "; ".join(unknown))
    newest = yesterday(now, settings.zone)
    if settings.lms_first_day > newest:
        says = f"LMS_FIRST_DAY is {settings.lms_first_day}: no day is over yet, so none is loaded"
        return Finding("settings", False, says)
    mode = f"demo mode, since no API_URL is set; home {settings.lms_home}"
    says = mode if settings.is_demo else f"home {settings.lms_home}"
    return Finding("settings", unready is None, str(unready or says))


def _reading_port(settings: Settings, warehouse: Warehouse, port: int) -> Finding:
    """The address for Metabase and similar programs; the password stands only in its file."""
    try:
        with warehouse.begin() as connection:
            listens = listens_on(connection, port)
    except Fault as fault:
        return Finding("reading", False, str(fault))
    if not listens:
        says = (
            f"port {port} is not open: either another program has it, or PostgreSQL was started "
            "before LMS_POSTGRES_PORT was set: end ./lms up and call ./lms env --stop"
        )
        return Finding("reading", False, says)
    file = settings.reader_password_file
    says = f"{address(port)}, password in {file}"
    return Finding("reading", True, says if file.exists() else f"{says} after ./lms run")


def _finding(system: str, check: Callable[[], object], kind: str) -> Finding:
    try:
        with folder_errors_as_faults():
            says = check()
    except (Fault, OSError) as error:
        return Finding(system, False, str(error))
    words = f"answered in {says:.1f} s" if isinstance(says, float) else str(says or "ready")
    return Finding(system, True, f"{kind}{words}")


def signs_of_life(
    settings: Settings, instance: dg.DagsterInstance, warehouse: Warehouse, *, now: datetime
) -> list[Finding]:
    """Findings for a monitor: the daemon, the letters, yesterday, the workers of a cluster."""
    found = [_daemon(instance, now), _letters(warehouse, now), _yesterday(settings, warehouse, now)]
    return [*found, _workers()] if settings.lms_broker_url else found


def _daemon(instance: dg.DagsterInstance, now: datetime) -> Finding:
    beat, well = last_heartbeat(instance), has_daemon(instance, now=now)
    says = f"heartbeat {(now - beat).total_seconds():.0f} s ago" if beat else "never ran"
    return Finding("daemon", well, says if well else f"{says}: start it with ./lms up")


def _letters(warehouse: Warehouse, now: datetime) -> Finding:
    rows = warehouse.rows(
        "select count(*) as n from letters where status = 'waiting' and due_at < :since",
        since=now - LETTER_WITHIN,
    )
    waiting = rows[0]["n"]
    says = f"{waiting} letters have waited over an hour: ./lms letters shows why"
    return Finding("letters", waiting == 0, says if waiting else "none waits too long")


def _yesterday(settings: Settings, warehouse: Warehouse, now: datetime) -> Finding:
    state = freshness(settings, warehouse, now=now)
    return Finding("yesterday", state.is_loaded, state.says)
