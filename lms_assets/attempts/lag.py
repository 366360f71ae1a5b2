"""Marks on lagging days: their attempts changed after their figures were computed.

The transaction that changes a day's attempts marks the day. The transaction that refreshes the
figures deletes the marks. If a run is interrupted between the two, the mark stays and the next
refresh computes the day's figures.
"""

from collections.abc import Iterable
from datetime import date

from sqlalchemy import Connection, text


def mark_lagging(connection: Connection, days: Iterable[date]) -> None:
    """The days are marked as lagging, in the caller's transaction.

    Each call inserts its own rows, so it never waits for a lock. A refresh that runs at the same
    time deletes only the marks that it sees.
    """
    mark = text("insert into lagging_days (day) select unnest(cast(:days as date[]))")
    connection.execute(mark, {"days": sorted(set(days))})


def lagging_days(connection: Connection) -> set[date]:
    """The marked days: their figures are older than their attempts."""
    return set(connection.scalars(text("select distinct day from lagging_days")))


def take_marks(connection: Connection) -> set[date]:
    """The lagging days; their marks are deleted in the caller's transaction.

    Call it before the attempts are read. At READ COMMITTED, the reading then includes each change
    whose mark was deleted, and a later change keeps its own mark.
    """
    return set(connection.scalars(text("delete from lagging_days returning day")))
