"""The table ``zone_offsets``: how far the zone's clocks are ahead of UTC, and when.

PostgreSQL's edition of the zone database may differ from the ``tzdata`` package. So SQL reads
this table and no zone's name.
"""

from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from lms_assets.days import OffsetSpan, Window, midnight, offset_spans


def write_offsets(connection: Connection, zone: ZoneInfo, first: date, last: date) -> None:
    """``zone_offsets`` covers the years from ``first`` to ``last``, and one more year."""
    start = datetime(first.year - 1, 12, 1)  # noqa: DTZ001
    spans = offset_spans(Window(start, datetime(last.year + 2, 1, 1)), zone)  # noqa: DTZ001
    connection.execute(text("delete from zone_offsets"))
    connection.execute(
        text("insert into zone_offsets (starts, ends, ahead) values (:starts, :ends, :ahead)"),
        [{"starts": s.start, "ends": s.end, "ahead": s.ahead} for s in spans],
    )
    # Without statistics PostgreSQL takes it for a larger table, and looks by the index for each
    # attempt.
    connection.execute(text("analyze zone_offsets"))


def offsets_hold(connection: Connection, zone: ZoneInfo, as_of: date) -> bool:
    """Whether ``zone_offsets`` agrees with ``tzdata`` up to the beginning of ``as_of``."""
    rows = connection.execute(text("select starts, ends, ahead from zone_offsets order by starts"))
    written = [OffsetSpan(row.starts, row.ends, row.ahead) for row in rows]
    if not written:
        return False
    window = Window(written[0].start, midnight(as_of, zone))
    return _changes(written, window) == _changes(offset_spans(window, zone), window)


def _changes(spans: list[OffsetSpan], within: Window) -> list[tuple[datetime, object]]:
    return [(span.start, span.ahead) for span in spans if span.start < within.end]
