"""What a spreadsheet shows of the figures: tabs, their columns, cells and charts.

Pure: a :class:`Tab` is what we publish, a :data:`Grid` is what a spreadsheet holds; ``layout.py``
says where each cell of the one goes in the other. Google Sheets and the workbook file only carry
a layout out.
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
"""How a column is shown; ``value`` is a column where each cell says it by its type."""


class Percent(float):
    """A percentage, 0 to 100, in a column of kind ``value``."""


Cell = str | int | float | Decimal | date | None
"""What a tab says: percentages as 0 to 100, dates as dates, instants in UTC."""

Plain = str | int | float | None
"""What a spreadsheet stores: text and numbers; a date is a number of days, 50 % is 0.5."""

Grid = Sequence[Sequence[Plain]]
"""All that a worksheet holds, from its first cell; rows may be of different lengths."""

FORMATS: Mapping[Kind, str] = {
    "text": "@",
    "number": "#,##0.0",
    "integer": "#,##0",
    "ratio": "0.00",
    "probability": "0.0000",
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
    """One figure: its key (the column of the table), its heading and how it is shown.

    Args:
        key: The figure's column in the database.
        heading: By which the column is found.
        kind: How its cells are shown.
        width_px: By the kind where nothing is said.
        earlier: Headings that it bore before, or bears in another language: where one of them
            stands and ``heading`` does not, that column is this one, and gets the heading.
    """

    key: str
    heading: str
    kind: Kind = "text"
    width_px: int | None = None
    earlier: tuple[str, ...] = ()

    @property
    def width(self) -> int:
        """Pixels, by the kind where nothing else was said."""
        return self.width_px or WIDTHS_PX.get(self.kind, 110)


@dataclass(frozen=True)
class Chart:
    """Figures of a tab as lines or columns over another of its columns.

    Args:
        title: Unique in the spreadsheet: the chart is found again by it.
        kind: As the spreadsheet draws it.
        source: Title of the tab whose columns are drawn.
        x: Key of the column under the horizontal axis.
        series: Keys of the columns that are drawn.
        earlier: Titles that it bears in another language.
    """

    title: str
    kind: Literal["line", "column"]
    source: str
    x: str
    series: tuple[str, ...]
    earlier: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tab:
    """A worksheet of ours, whole: what it must show after it was published.

    Args:
        title: By which it is found.
        columns: In our order; a person may have moved them.
        rows: One cell per column.
        note: Its last cell: when and from what it was made.
        charts: Drawn on this worksheet.
        key: Keys of the columns that say which row is which.
        made_if_missing: Else it is only brought up to date where it exists.
        series: Where there is a tab per day: the title without its day.
        kept: How many tabs of the series stay, the newest.
        earlier: Titles that it bears in another language: where one of them is there and
            ``title`` is not, that tab is this one, and gets the title.
        tints: Where rows are coloured: for each row its colour as ``RRGGBB``.
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
        """Which of our columns make up the key of a row; the first where nothing was said."""
        keys = self.key or (self.columns[0].key,)
        return tuple(n for n, column in enumerate(self.columns) if column.key in keys)


def kind_of(cell: Cell) -> Kind:
    """How a cell of a ``value`` column is shown."""
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
    """A cell as a spreadsheet stores it; never a formula, whatever the text begins with."""
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
    """A day or an instant as spreadsheets count it: days since 1899-12-30, UTC."""
    if not isinstance(moment, datetime):
        return (moment - SERIAL_EPOCH.date()).days
    aware = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - SERIAL_EPOCH) / timedelta(days=1)


def content(tab: Tab, height: int) -> list[list[Plain]]:
    """The cells under the headings: the rows, an empty one, the note, then empty ones.

    The empty row keeps the note out of what a spreadsheet takes for the table
    when a person sorts or filters it.
    """
    nothing: list[Plain] = [None] * len(tab.columns)
    kinds = [column.kind for column in tab.columns]
    rows = [[plain(c, kind) for c, kind in zip(row, kinds, strict=True)] for row in tab.rows]
    rows += [nothing, [tab.note, *nothing[1:]]]
    return rows + [nothing] * (height - len(rows))


def renamings(tabs: Sequence[Tab], titles: Sequence[str]) -> dict[str, str]:
    """The tabs of ours that bear an earlier title, and the title that each gets."""
    there = set(titles)
    return {
        earlier: tab.title
        for tab in tabs
        if tab.title not in there
        for earlier in [name for name in tab.earlier if name in there][:1]
    }


def newest_kept(tabs: Sequence[Tab], titles: Sequence[str]) -> tuple[list[Tab], list[str]]:
    """The tabs to publish, and the titles of the tabs per day that are old enough to go.

    Args:
        tabs: What is to be shown.
        titles: Of the worksheets that there are.
    """
    old: set[str] = set()
    for tab in tabs:
        if tab.series is not None:
            of_series = re.compile(re.escape(tab.series) + r"\d{4}-\d\d-\d\d")
            all_titles = {*titles, *(t.title for t in tabs)}
            dated = sorted(title for title in all_titles if of_series.fullmatch(title))
            old.update(dated[: -tab.kept])
    return [tab for tab in tabs if tab.title not in old], sorted(old.intersection(titles))
