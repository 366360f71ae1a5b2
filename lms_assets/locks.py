"""PostgreSQL's advisory locks by name: what only one session at a time may do.

A lock ends with its transaction or its session, however the process died, so it is also how
one process sees that another one still lives. Locks are the database's: what several
installations in one database must not share is told apart by ``of``.
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
# A server notices within a minute that a machine has gone without a word: its locks are free then.
KEPT_SESSION = """
    set idle_session_timeout = 0;
    set tcp_keepalives_idle = 30;
    set tcp_keepalives_interval = 10;
    set tcp_keepalives_count = 3
"""

log = logging.getLogger("lms.locks")


class Lock(IntEnum):
    """What is locked; the number is the first of the lock's two keys."""

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
    """Adding to who was erased; shared by those who store records by what they know of it."""


def hold(connection: Connection, lock: Lock, of: int | str = 0) -> None:
    """Nobody else holds the lock until this transaction ends; waits for it."""
    connection.execute(text("select pg_advisory_xact_lock(:lock, :of)"), _keys(lock, of))


def share(connection: Connection, lock: Lock, of: int | str = 0) -> None:
    """Nobody holds the lock alone until this transaction ends; waits for whoever does."""
    connection.execute(text("select pg_advisory_xact_lock_shared(:lock, :of)"), _keys(lock, of))


def share_in_session(connection: Connection, lock: Lock, of: int | str = 0) -> None:
    """Nobody holds the lock alone until this session ends; waits for whoever does."""
    connection.execute(text("select pg_advisory_lock_shared(:lock, :of)"), _keys(lock, of))


def hold_in_session(connection: Connection, lock: Lock, of: int | str = 0) -> None:
    """Nobody else holds the lock until this session ends; waits for it."""
    connection.execute(text("select pg_advisory_lock(:lock, :of)"), _keys(lock, of))


def try_in_session(connection: Connection, lock: Lock, of: int | str = 0) -> bool:
    """Whether the lock could be had at once; then it is held until this session ends."""
    taken = connection.scalar(text("select pg_try_advisory_lock(:lock, :of)"), _keys(lock, of))
    return bool(taken)


def is_held(connection: Connection, lock: Lock, of: int | str = 0) -> bool:
    """Whether some session holds the lock alone; those who only look do not see each other."""
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
    # The keys are shown there without a sign.
    numbers = [_keys(lock, one)["of"] & 0xFFFFFFFF for one in of]
    names = connection.scalars(text(statement), {"lock": int(lock), "of": numbers})
    # What sessions of other roles are called is hidden from this one.
    return [name or "another session" for name in names]


# What this process keeps: a session of the same process would wait for itself.
_KEPT: set[tuple[Lock, int | str]] = set()


@contextmanager
def kept(engine: Engine, lock: Lock, of: int | str, *, name: str) -> Iterator[None]:
    """A session of its own holds the lock until the block ends or this process dies.

    When the server is restarted under it, the lock is taken again within seconds. Where this
    process keeps the lock already, the block is under that one.

    Args:
        name: What ``pg_stat_activity`` shows of the session.
    """
    if (lock, of) in _KEPT:
        yield
        return
    ended = Event()
    connection = _holding(engine, lock, of, name)
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
    connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
    name_session(connection, name)
    for setting in KEPT_SESSION.split(";"):
        connection.execute(text(setting))
    hold_in_session(connection, lock, of)
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
    """Locks are waited for so long, until this transaction ends or else this session.

    Args:
        limit: As PostgreSQL writes it, as ``15min``.
        in_session: Where each statement is a transaction of its own.
    """
    statement = text("select set_config('lock_timeout', :limit, :is_local)")
    connection.execute(statement, {"limit": limit, "is_local": not in_session})


def _keys(lock: Lock, of: int | str) -> dict[str, int]:
    """Both keys are PostgreSQL integers of 32 bits, with a sign."""
    number = of if isinstance(of, int) else crc32(of.encode()) - (1 << 31)
    return {"lock": int(lock), "of": number}
