"""Days whose attempts changed and whose figures were not computed since: the figures lag there.

Whoever changes a day's attempts marks the day in the same transaction; the refresh of the
figures takes the marks away in its own. So a step that was interrupted between the two is seen
as not done, and the next refresh completes it, whoever asks for it.
"""

from collections.abc import Iterable
from datetime import date

from sqlalchemy import Connection, text


def mark_lagging(connection: Connection, days: Iterable[date]) -> None:
    """The figures of the days lag behind their attempts once the caller's transaction commits.

    Each call adds rows of its own and waits for nobody: a refresh that runs at the same time
    takes away only the marks that it has seen.
    """
    mark = text("insert into lagging_days (day) select unnest(cast(:days as date[]))")
    connection.execute(mark, {"days": sorted(set(days))})


def lagging_days(connection: Connection) -> set[date]:
    """The days whose figures lag behind their attempts."""
    return set(connection.scalars(text("select distinct day from lagging_days")))


def take_marks(connection: Connection) -> set[date]:
    """The lagging days; they lag no longer once the caller's transaction commits.

    Take the marks before the attempts are read. At READ COMMITTED, what was changed with a mark
    is then read too, and what is changed later keeps the mark of its own.
    """
    return set(connection.scalars(text("delete from lagging_days returning day")))
