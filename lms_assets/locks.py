"""PostgreSQL's advisory locks by name: what only one session at a time may do.

A lock ends with its transaction or its session, however the process died, so it is also how
one process sees that another one still lives. Locks are the database's: what several
installations in one database must not share is told apart by ``of``.
"""

from enum import IntEnum
from zlib import crc32

from sqlalchemy import Connection, text


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


def hold(connection: Connection, lock: Lock, of: int | str = 0) -> None:
    """Nobody else holds the lock until this transaction ends; waits for it."""
    connection.execute(text("select pg_advisory_xact_lock(:lock, :of)"), _keys(lock, of))


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


def _keys(lock: Lock, of: int | str) -> dict[str, int]:
    """Both keys are PostgreSQL integers of 32 bits, with a sign."""
    number = of if isinstance(of, int) else crc32(of.encode()) - (1 << 31)
    return {"lock": int(lock), "of": number}
