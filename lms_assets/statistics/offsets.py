"""The zone's offsets in the database, where no zone's name is known.

PostgreSQL's edition of the zone database may be another one than the ``tzdata`` package, so
``zone_offsets`` says by how much the clocks were ahead of UTC, and when.
"""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from lms_assets.days import OffsetSpan, Window, midnight, offset_spans


def write_offsets(connection: Connection, zone: ZoneInfo, first: date, last: date) -> None:
    """``zone_offsets`` cover the years of all days from ``first`` to ``last``, and the next."""
    start = datetime(first.year - 1, 12, 1)  # noqa: DTZ001
    spans = offset_spans(Window(start, datetime(last.year + 2, 1, 1)), zone)  # noqa: DTZ001
    connection.execute(text("delete from zone_offsets"))
    connection.execute(
        text("insert into zone_offsets (starts, ends, ahead) values (:starts, :ends, :ahead)"),
        [{"starts": s.start, "ends": s.end, "ahead": s.ahead} for s in spans],
    )


def offsets_hold(connection: Connection, zone: ZoneInfo, as_of: date) -> bool:
    """Whether the offsets that are written, up to the end of ``as_of``, are those of tzdata."""
    rows = connection.execute(text("select starts, ends, ahead from zone_offsets order by starts"))
    written = [OffsetSpan(row.starts, row.ends, row.ahead) for row in rows]
    if not written:
        return False
    known = Window(written[0].start, midnight(as_of, zone))
    return _changes(written, known) == _changes(offset_spans(known, zone), known)


def _changes(spans: list[OffsetSpan], within: Window) -> list[tuple[datetime, object]]:
    return [(span.start, span.ahead) for span in spans if span.start < within.end]
