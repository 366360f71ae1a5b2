"""Marks of figures that changed but are not yet on the sheet or the page.

The refresh marks both places in its own transaction. A publication reads the marks before the
figures, and removes them after it has written. So the marks of a failed or killed publication
stay.
"""

from collections.abc import Collection

from sqlalchemy import Connection, text

SHEET = "sheet"
PAGE = "page"
PLACES = (SHEET, PAGE)


def mark_unpublished(connection: Connection) -> None:
    """Both places are marked, once the caller's transaction commits."""
    mark = text("insert into unpublished_changes (place) select unnest(cast(:places as text[]))")
    connection.execute(mark, {"places": list(PLACES)})


def is_anything_unpublished(connection: Connection) -> bool:
    """Whether the sheet or the page lags behind the figures."""
    return bool(connection.scalar(text("select exists(select from unpublished_changes)")))


def marks_of(connection: Connection, place: str) -> list[int]:
    """The marks of a place; read them before the figures, in the same transaction."""
    statement = text("select id from unpublished_changes where place = :place")
    return list(connection.scalars(statement, {"place": place}))


def remove_marks(connection: Connection, marks: Collection[int]) -> None:
    """The marks are removed: their place shows the figures."""
    statement = text("delete from unpublished_changes where id = any(:marks)")
    connection.execute(statement, {"marks": list(marks)})
