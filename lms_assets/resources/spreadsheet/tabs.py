"""The content of a spreadsheet: tabs, their columns, cells and charts; pure.

A :class:`Tab` is what we publish, a :data:`Grid` is what a worksheet holds. ``layout.py`` decides
where each cell of a tab goes in the grid. Google Sheets and the workbook file carry that out.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Literal

Kind = Literal[
    "text", "number", "integer", "ratio", "probability", "percent", "date", "datetime", "value"
]
"""The format of a column; in a ``value`` column the type of each cell decides its format."""


class Percent(float):
    """A percentage, 0 to 100, in a column of kind ``value``."""


Cell = str | int | float | Decimal | date | None
"""A cell of a tab: percentages are 0 to 100, instants are in UTC."""

Plain = str | int | float | None
"""A cell as a spreadsheet stores it: text or number; a date is a number of days, 50 % is 0.5."""

Grid = Sequence[Sequence[Plain]]
"""All cells of a worksheet, from A1; rows may have different lengths."""

FORMATS: Mapping[Kind, str] = {
    "text": "@",
    "number": "#,##0.0",
    "integer": "#,##0",
    "ratio": "0.00",
    "probability": '[<0.0001]"< 0.0001";0.0000',
    "percent": "0.0%",
    "date": "yyyy-mm-dd",
    "datetime": "yyyy-mm-dd hh:mm",
}
WIDTHS_PX: Mapping[Kind, int] = {"text": 240, "date": 95, "datetime": 130, "value": 140}
LONGEST_TEXT = 1_000
SERIAL_EPOCH = datetime(1899, 12, 30, tzinfo=UTC)
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True)
class Column:
    """A column of a tab.

    Args:
        key: The figure's column in the database.
        heading: The heading, by which the column is found in a worksheet.
        kind: The format of its cells.
        width_px: The width; by default it depends on ``kind``.
        earlier: Its earlier headings, and those in other languages. If a worksheet has one of
            them but not ``heading``, that column is this one and gets the heading.
    """

    key: str
    heading: str
    kind: Kind = "text"
    width_px: int | None = None
    earlier: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """The width in pixels; by default it depends on the kind."""
        return self.width_px or WIDTHS_PX.get(self.kind, 110)


@dataclass(frozen=True)
class Chart:
    """A chart of a tab's columns, as lines or bars.

    Args:
        title: Unique in the spreadsheet; the chart is found by it.
        kind: ``line`` or ``column``.
        source: The title of the tab whose columns are drawn.
        x: The key of the column of the horizontal axis.
        series: The keys of the drawn columns.
        earlier: Its titles in other languages.
    """

    title: str
    kind: Literal["line", "column"]
    source: str
    x: str
    series: tuple[str, ...]
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tab:
    """The whole content of one of our worksheets.

    Args:
        title: The title, by which the worksheet is found.
        columns: The columns in our order; in the worksheet a person may have moved them.
        rows: The rows, each with one cell per column.
        note: The text of the last cell: when it was made, from how many attempts and days.
        charts: The charts on this worksheet.
        key: The keys of the columns that identify a row; by default the first column.
        made_if_missing: Whether the worksheet is made; if not, only an existing one is updated.
        series: For a tab per day: the title without its day.
        kept: The number of newest tabs of the series that stay.
        earlier: Its titles in other languages. If the spreadsheet has one of them but not
            ``title``, that worksheet is this one and gets the title.
        tints: The colour of each row as ``RRGGBB``; empty where rows have no colours.
    """

    title: str
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Cell]]
    note: str
    charts: tuple[Chart, ...] = ()
    key: tuple[str, ...] = field(default=())
    made_if_missing: bool = True
    series: str | None = None
    kept: int = 31
    earlier: tuple[str, ...] = ()
    tints: Sequence[str] = ()

    @property
    def key_places(self) -> tuple[int, ...]:
        """The numbers of the columns that identify a row; by default the first one."""
        keys = self.key or (self.columns[0].key,)
        return tuple(n for n, column in enumerate(self.columns) if column.key in keys)


def kind_of(cell: Cell) -> Kind:
    """The kind of a cell in a ``value`` column."""
    match cell:
        case Percent():
            return "percent"
        case datetime():
            return "datetime"
        case date():
            return "date"
        case int():
            return "integer"
        case float() | Decimal():
            return "number"
        case _:
            return "text"


def plain(cell: Cell, kind: Kind) -> Plain:
    """A cell as a spreadsheet stores it; a text is never stored as a formula."""
    match cell:
        case None:
            return None
        case str():
            text = _UNPRINTABLE.sub("\ufffd", cell)
            return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
        case date():
            return serial(cell)
    number = float(cell)
    if not math.isfinite(number):
        return None
    if (kind_of(cell) if kind == "value" else kind) == "percent":
        return number / 100
    return int(number) if number.is_integer() else number


def serial(moment: date) -> int | float:
    """A day or an instant as a spreadsheet's number: days since 1899-12-30, UTC."""
    if not isinstance(moment, datetime):
        return (moment - SERIAL_EPOCH.date()).days
    aware = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - SERIAL_EPOCH) / timedelta(days=1)


def content(tab: Tab, height: int) -> list[list[Plain]]:
    """The cells under the headings: the rows, an empty row, the note, then empty rows.

    When a person sorts or filters, a spreadsheet takes the rows up to an empty one as the table.
    So the empty row keeps the note out of it.
    """
    nothing: list[Plain] = [None] * len(tab.columns)
    kinds = [column.kind for column in tab.columns]
    rows = [[plain(c, kind) for c, kind in zip(row, kinds, strict=True)] for row in tab.rows]
    rows += [nothing, [tab.note, *nothing[1:]]]
    return rows + [nothing] * (height - len(rows))


def renamings(tabs: Sequence[Tab], titles: Sequence[str]) -> dict[str, str]:
    """Earlier title → new title, for our tabs that have an earlier title in the spreadsheet."""
    present = set(titles)
    return {
        earlier: tab.title
        for tab in tabs
        if tab.title not in present
        for earlier in [name for name in tab.earlier if name in present][:1]
    }


def newest_kept(tabs: Sequence[Tab], titles: Sequence[str]) -> tuple[list[Tab], list[str]]:
    """The tabs to publish, and the titles of the per-day worksheets to delete.

    Args:
        tabs: The tabs of this publication.
        titles: The titles of the existing worksheets.
    """
    expired: set[str] = set()
    for tab in tabs:
        if tab.series is not None:
            of_series = re.compile(re.escape(tab.series) + r"\d{4}-\d\d-\d\d")
            all_titles = {*titles, *(t.title for t in tabs)}
            dated = sorted(title for title in all_titles if of_series.fullmatch(title))
            expired.update(dated[: -tab.kept])
    return [tab for tab in tabs if tab.title not in expired], sorted(expired.intersection(titles))
