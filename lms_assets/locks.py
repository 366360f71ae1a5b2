"""PostgreSQL's advisory locks by name: each names work that one session at a time may do.

A lock ends with its transaction or session, however the process died. So a process can also
see by a lock that another process is alive. All installations in one database share these
locks; where each needs a lock of its own, the argument ``of`` tells them apart.
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from threading import Event, Thread
from zlib import crc32

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

KEPT_EVERY_S = 5
# With these the server notices within a minute that a machine has vanished, and frees its locks.
KEPT_SESSION = """
    set idle_session_timeout = 0;
    set tcp_keepalives_idle = 30;
    set tcp_keepalives_interval = 10;
    set tcp_keepalives_count = 3
"""

log = logging.getLogger("lms.locks")


class Lock(IntEnum):
    """The work that a lock guards; the number is the first of the lock's two keys."""

    SCHEMA = 7_041_001
    """Changing the schema."""
    DAY = 7_041_002
    """Changing a day's attempts; ``of`` the day's ordinal."""
    PUBLICATION = 7_041_003
    """Writing the sheet and the page."""
    SENDER = 7_041_004
    """Sending the letters that are due."""
    REFRESH = 7_041_005
    """Computing the figures."""
    BATCH = 7_041_006
    """Going through a batch's days; ``of`` the batch."""
    ERASURE = 7_041_007
    """Erasing a student."""
    RUN = 7_041_008
    """Being the process of a run; ``of`` the run's id."""
    API = 7_041_009
    """Asking the API; ``of`` the API and the number of the turn."""
    TOMBSTONES = 7_041_010
    """Adding an erased student; those who store records share it, so that none joins meanwhile."""


def hold(connection: Connection, lock: Lock, of: int | str = 0) -> None:
    """This transaction alone holds the lock until its end; waits for other holders."""
    connection.execute(text("select pg_advisory_xact_lock(:lock, :of)"), _keys(lock, of))


def share(connection: Connection, lock: Lock, of: int | str = 0) -> None:
    """This transaction shares the lock until its end; waits for a sole holder."""
    connection.execute(text("select pg_advisory_xact_lock_shared(:lock, :of)"), _keys(lock, of))


def share_in_session(connection: Connection, lock: Lock, of: int | str = 0) -> None:
    """This session shares the lock until its end; waits for a sole holder."""
    connection.execute(text("select pg_advisory_lock_shared(:lock, :of)"), _keys(lock, of))


def hold_in_session(connection: Connection, lock: Lock, of: int | str = 0) -> None:
    """This session alone holds the lock until its end; waits for other holders."""
    connection.execute(text("select pg_advisory_lock(:lock, :of)"), _keys(lock, of))


def try_in_session(connection: Connection, lock: Lock, of: int | str = 0) -> bool:
    """Whether the lock was free; if so, this session holds it until its end."""
    taken = connection.scalar(text("select pg_try_advisory_lock(:lock, :of)"), _keys(lock, of))
    return bool(taken)


def is_held(connection: Connection, lock: Lock, of: int | str = 0) -> bool:
    """Whether some session alone holds the lock; concurrent callers do not disturb each other."""
    free = text("select pg_try_advisory_xact_lock_shared(:lock, :of)")
    return not connection.scalar(free, _keys(lock, of))


def name_session(connection: Connection, name: str) -> None:
    """``pg_stat_activity`` shows the session under this name, its first 63 bytes."""
    connection.execute(text("select set_config('application_name', :name, false)"), {"name": name})


def holders(connection: Connection, lock: Lock, of: Iterable[int | str]) -> list[str]:
    """The application names of the sessions that hold any of the locks, in order."""
    statement = """
        select distinct a.application_name from pg_locks l join pg_stat_activity a using (pid)
        where l.locktype = 'advisory' and l.granted and l.classid::bigint = :lock
            and l.objid::bigint = any(:of) and l.database =
                (select oid from pg_database where datname = current_database())
        order by 1
    """
    # pg_locks shows the keys as unsigned integers.
    numbers = [_keys(lock, key)["of"] & 0xFFFFFFFF for key in of]
    names = connection.scalars(text(statement), {"lock": int(lock), "of": numbers})
    # PostgreSQL hides the application names of other roles' sessions.
    return [name or "another session" for name in names]


# The locks that this process keeps: a second session of it would wait for the first for ever.
_KEPT: set[tuple[Lock, int | str]] = set()


@contextmanager
def kept(engine: Engine, lock: Lock, of: int | str, *, name: str) -> Iterator[None]:
    """A separate session holds the lock until the block ends or this process dies.

    If the server restarts meanwhile, the session takes the lock again within seconds. If this
    process keeps the lock already, that session's lock covers the block too.

    Args:
        name: The session's name in ``pg_stat_activity``.
    """
    if (lock, of) in _KEPT:
        yield
        return
    with _under(_holding(engine, lock, of, name), engine, lock, of, name):
        yield


@contextmanager
def kept_if_free(engine: Engine, lock: Lock, of: int | str, *, name: str) -> Iterator[bool]:
    """As :func:`kept` where nobody holds the lock; else the block is told False and has no lock."""
    connection = _session(engine, name)
    if not try_in_session(connection, lock, of):
        connection.close()
        yield False
        return
    with _under(connection, engine, lock, of, name):
        yield True


@contextmanager
def _under(
    connection: Connection, engine: Engine, lock: Lock, of: int | str, name: str
) -> Iterator[None]:
    """A thread sees to it that the session, which holds the lock, is there during the block."""
    ended = Event()
    _KEPT.add((lock, of))
    keeper = Thread(
        target=_keep, args=(connection, engine, lock, of, name, ended), daemon=True, name="lock"
    )
    keeper.start()
    try:
        yield
    finally:
        _KEPT.discard((lock, of))
        ended.set()
        keeper.join()


def _holding(engine: Engine, lock: Lock, of: int | str, name: str) -> Connection:
    connection = _session(engine, name)
    hold_in_session(connection, lock, of)
    return connection


def _session(engine: Engine, name: str) -> Connection:
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    name_session(connection, name)
    for setting in KEPT_SESSION.split(";"):
        connection.execute(text(setting))
    return connection


def _keep(
    connection: Connection, engine: Engine, lock: Lock, of: int | str, name: str, ended: Event
) -> None:
    while not ended.wait(KEPT_EVERY_S):
        try:
            connection.execute(text("select 1"))
        except SQLAlchemyError as error:
            log.warning("The session of %s was lost: %s", name, type(error).__name__)
            with suppress(SQLAlchemyError):
                connection.close()
            with suppress(SQLAlchemyError):
                connection = _holding(engine, lock, of, name)
    with suppress(SQLAlchemyError):
        connection.close()


def wait_for(connection: Connection, limit: str, *, in_session: bool = False) -> None:
    """Statements wait for a lock at most ``limit``, until this transaction or session ends.

    Args:
        limit: A time in PostgreSQL's notation, such as ``15min``.
        in_session: Until the session ends; needed where each statement is its own transaction.
    """
    statement = text("select set_config('lock_timeout', :limit, :is_local)")
    connection.execute(statement, {"limit": limit, "is_local": not in_session})


def _keys(lock: Lock, of: int | str) -> dict[str, int]:
    """The lock's two keys, as signed 32-bit integers of PostgreSQL."""
    number = of if isinstance(of, int) else crc32(of.encode()) - (1 << 31)
    return {"lock": int(lock), "of": number}
