"""Figures that changed and were not shown since: the sheet or the page lags behind them.

The refresh of the figures marks each place in its own transaction; whoever has written a place
takes away the marks that it saw before it read the figures. So a publication that failed, or that
was killed, is seen as not done.
"""

from collections.abc import Collection

from sqlalchemy import Connection, text

SHEET = "sheet"
PAGE = "page"
PLACES = (SHEET, PAGE)


def mark_unpublished(connection: Connection) -> None:
    """Each place lags behind the figures once the caller's transaction commits."""
    mark = text("insert into unpublished_changes (place) select unnest(cast(:places as text[]))")
    connection.execute(mark, {"places": list(PLACES)})


def is_anything_unpublished(connection: Connection) -> bool:
    """Whether the sheet or the page lags behind the figures."""
    return bool(connection.scalar(text("select exists(select from unpublished_changes)")))


def marks_of(connection: Connection, place: str) -> list[int]:
    """The marks of a place; read them before the figures, in the same transaction."""
    statement = text("select id from unpublished_changes where place = :place")
    return list(connection.scalars(statement, {"place": place}))


def take_away(connection: Connection, marks: Collection[int]) -> None:
    """The place shows all that was marked by these."""
    statement = text("delete from unpublished_changes where id = any(:marks)")
    connection.execute(statement, {"marks": list(marks)})
