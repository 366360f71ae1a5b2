"""The double of Google Sheets: the same tabs in an ``.xlsx`` file.

The rules are those of the spreadsheet: tabs are found by title, columns by heading, and the cells
that people wrote stay with the key of their row. The file is replaced whole, so that no reader
sees a part of it, even after a crash.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, time, timedelta
from pathlib import Path, PurePosixPath
from textwrap import wrap
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile, ZipFile

import dagster as dg
from pydantic import Field

from lms_assets.faults import PermanentFault, TemporaryFault
from lms_assets.files import remove_abandoned_drafts, written_whole
from lms_assets.last_writing import hash_of, last_writing, remember_writing
from lms_assets.resources.spreadsheet.layout import Layout, layout, rearranged
from lms_assets.resources.spreadsheet.tabs import (
    FORMATS,
    SERIAL_EPOCH,
    Chart,
    Grid,
    Kind,
    Plain,
    Tab,
    content,
    kind_of,
    newest_kept,
    renamings,
    serial,
)

if TYPE_CHECKING:
    from openpyxl import Workbook
    from openpyxl.worksheet.worksheet import Worksheet

LOCK_TIMEOUT_S = 60
PIXELS_PER_CHARACTER = 7
LINE_POINTS = 15
# It may hold the ids of students who need help. The mode that people give it later stays.
NEW_FILE_MODE = 0o600
# Parts of a workbook that openpyxl drops silently: folder → mark in the part → its kind.
LOST_IN: Mapping[str, Mapping[bytes, str]] = {
    "xl/drawings": {
        b"<xdr:pic": "picture",
        b"<xdr:sp>": "text box or shape",
        b"<xdr:sp ": "text box or shape",
        b"<xdr:cxnSp": "line",
        b"<xdr:grpSp": "group of shapes",
    },
    "xl/worksheets": {b"sparklineGroup ": "sparkline", b"sparklineGroup>": "sparkline"},
    "xl/slicers": {b"<slicer": "slicer"},
    "xl/ctrlProps": {b"<formControlPr": "form control"},
}


class WorkbookFile(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The workbook that people open."""

    path: str = Field(description="The .xlsx file; made if it does not exist.")

    @property
    def url(self) -> str:
        """The address at which people open it."""
        return Path(self.path).resolve().as_uri()

    def publish(self, tabs: Sequence[Tab]) -> list[str]:
        """The workbook shows exactly ``tabs``; cells that people added are unchanged.

        A file that shows them already, and that nobody has changed since, is not written again:
        its note keeps the time of the last writing.

        Returns:
            The titles of our tabs in the workbook.

        Raises:
            PermanentFault: A person changed one of our headings, or the file is no workbook.
            TemporaryFault: Another run is writing the file.
        """
        path, source = Path(self.path), hash_of([replace(tab, note="") for tab in tabs])
        with self._locked():
            last = last_writing(path)
            if last is not None and last.source == source:
                return last.shown
            book = self._book()
            shown = _publish(book, tabs)
            self._replace(book)
            remember_writing(path, source, shown)
        return shown

    def read(self, title: str) -> Grid:
        """The worksheet's cells; empty if there is no such worksheet."""
        return self.read_all([title])[title]

    def read_all(self, titles: Sequence[str]) -> dict[str, Grid]:
        """Title → the worksheet's cells."""
        if not Path(self.path).exists():
            return {title: [] for title in titles}
        book = self._book(is_to_be_written=False)
        present = set(book.sheetnames)
        return {title: _grid(book[title]) if title in present else [] for title in titles}

    def check(self) -> None:
        """The workbook can be read, and files can be written in its folder.

        Raises:
            PermanentFault: The file is no workbook, or its folder cannot be written.
        """
        with self._locked():
            self._book()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """In the block no other process publishes to the workbook."""
        from filelock import FileLock, Timeout

        path = Path(self.path)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_name(f".{path.name}.lock"), timeout=LOCK_TIMEOUT_S):
                yield
        except Timeout:
            raise TemporaryFault("sheet.workbook_busy", path=self.path) from None
        except OSError as error:
            raise PermanentFault(
                "sheet.workbook_unwritable", path=self.path, reason=error.strerror
            ) from None

    def _book(self, *, is_to_be_written: bool = True) -> "Workbook":
        from openpyxl import Workbook, load_workbook
        from openpyxl.utils.exceptions import InvalidFileException

        if not Path(self.path).exists():
            book = Workbook()
            for sheet in list(book.worksheets):
                book.remove(sheet)
            return book
        try:
            if is_to_be_written:
                _refuse_lossy_parts(self.path)
            return load_workbook(self.path)
        except (BadZipFile, InvalidFileException, KeyError, ValueError):
            raise PermanentFault("sheet.workbook_unreadable", path=self.path) from None

    def _replace(self, book: "Workbook") -> None:
        """The file holds the book; its permissions and group stay as people set them."""
        path = Path(self.path)
        # A draft of a killed writer may hold ids of students who were erased since.
        remove_abandoned_drafts(path.parent)
        status = path.stat() if path.exists() else None
        mode = stat.S_IMODE(status.st_mode) if status else NEW_FILE_MODE
        with written_whole(path, mode=mode) as file:
            book.save(file)
            if status is not None and status.st_gid != os.fstat(file.fileno()).st_gid:
                os.fchown(file.fileno(), -1, status.st_gid)


def _refuse_lossy_parts(path: str) -> None:
    """The workbook holds no part that openpyxl would drop.

    The workbook is written again from what openpyxl has read, and openpyxl does not read all.

    Raises:
        PermanentFault: ``sheet.workbook_would_lose``; it names the part.
    """
    with ZipFile(path) as parts:
        for name in parts.namelist():
            kinds = LOST_IN.get(PurePosixPath(name).parent.as_posix(), {})
            content = parts.read(name) if kinds else b""
            for mark, kind in kinds.items():
                if mark in content:
                    raise PermanentFault("sheet.workbook_would_lose", path=path, what=kind)


def _publish(book: "Workbook", tabs: Sequence[Tab]) -> list[str]:
    """The book shows the tabs; the titles of those shown.

    All tabs are laid out before the first cell is written, so that a fault changes nothing.
    """
    for earlier, title in renamings(tabs, book.sheetnames).items():
        book[earlier].title = title
    tabs, expired = newest_kept(tabs, book.sheetnames)
    layouts = dict(_layouts(book, tabs))
    tabs = [tab for tab in tabs if tab.title in layouts]
    for tab in tabs:
        if tab.title not in book.sheetnames:
            book.create_sheet(tab.title)
        _show(book[tab.title], tab, layouts[tab.title])
    by_title = {tab.title: tab for tab in tabs}
    for tab in tabs:
        _draw(book, tab, by_title, layouts)
    for title in expired:
        book.remove(book[title])
    return [tab.title for tab in tabs]


def _layouts(book: "Workbook", tabs: Sequence[Tab]) -> Iterator[tuple[str, Layout]]:
    for tab in tabs:
        exists = tab.title in book.sheetnames
        try:
            place = layout(tab, _grid(book[tab.title]) if exists else [])
        except PermanentFault:
            if tab.made_if_missing:
                raise
            continue
        if exists or tab.made_if_missing:
            yield tab.title, place


def _grid(sheet: "Worksheet") -> list[list[Plain]]:
    """The worksheet's cells as Google Sheets would return them: dates as numbers of days."""
    rows = [[_plain(value) for value in row] for row in sheet.iter_rows(values_only=True)]
    while rows and not any(cell is not None for cell in rows[-1]):
        rows.pop()
    return rows


def _plain(value: Any) -> Plain:  # noqa: ANN401
    match value:
        case date():
            return serial(value)
        case time():
            return serial(SERIAL_EPOCH.replace(hour=value.hour, minute=value.minute))
        case timedelta():
            return value / timedelta(days=1)
        case None | str() | int() | float():
            return value
        case _:
            return str(value)


def _show(sheet: "Worksheet", tab: Tab, place: Layout) -> None:
    from openpyxl.styles import Alignment, Font, PatternFill
    from openpyxl.utils import get_column_letter

    _unfilter(sheet)
    _unmerge(sheet, place)
    _move_peoples_cells(sheet, place)
    sheet.freeze_panes = f"A{place.top + 2}"
    _make_room_for_headings(sheet, tab, place)
    rows = content(tab, place.height)
    for number, column in enumerate(tab.columns):
        at = place.places[number] + 1
        heading = sheet.cell(place.top + 1, at, column.heading)
        # Without a name and a size LibreOffice takes another font than for the figures.
        heading.font = Font(name="Calibri", size=11, bold=True)
        side = "left" if column.kind in ("text", "value") else "right"
        heading.alignment = Alignment(wrap_text=True, vertical="center", horizontal=side)
        if at - 1 in place.added:
            width = column.width / PIXELS_PER_CHARACTER
            sheet.column_dimensions[get_column_letter(at)].width = width
        for row, values in enumerate(rows):
            cell = sheet.cell(place.top + 2 + row, at)
            _put(cell, values[number], _kind(tab, row, number))
            if tab.tints:
                tint = tab.tints[row] if row < len(tab.tints) else None
                cell.fill = PatternFill("solid", fgColor=tint) if tint else PatternFill()


def _make_room_for_headings(sheet: "Worksheet", tab: Tab, place: Layout) -> None:
    """The row of headings is as high as its longest one; a height that is set is kept.

    Excel finds the height by itself, LibreOffice writes the second line over the first figures.
    """
    row = sheet.row_dimensions[place.top + 1]
    if row.height is None:
        widths = [int(column.width / PIXELS_PER_CHARACTER) - 2 for column in tab.columns]
        headings = zip(tab.columns, widths, strict=True)
        lines = max(len(wrap(column.heading, width)) for column, width in headings)
        row.height = LINE_POINTS * lines


def _unfilter(sheet: "Worksheet") -> None:
    """No filter hides a row: in the file the same rows would stay hidden with new content."""
    if sheet.auto_filter.ref:
        sheet.auto_filter.filterColumn = []
        for row in sheet.row_dimensions.values():
            row.hidden = False


def _unmerge(sheet: "Worksheet", place: Layout) -> None:
    """No merged cells lie in our columns, so that all their cells can be written."""
    for merged in list(sheet.merged_cells.ranges):
        if any(merged.min_col <= at + 1 <= merged.max_col for at in place.places):
            sheet.unmerge_cells(merged.coord)


def _kind(tab: Tab, row: int, number: int) -> Kind:
    kind = tab.columns[number].kind
    if row >= len(tab.rows):
        return "text"
    return kind_of(tab.rows[row][number]) if kind == "value" else kind


def _put(cell: Any, value: Plain, kind: Kind) -> None:  # noqa: ANN401
    """The cell has the value and its format; a text that begins with ``=`` is no formula."""
    from openpyxl.utils.datetime import from_excel

    is_day = kind in ("date", "datetime") and not isinstance(value, str | None)
    cell.value = from_excel(value) if is_day else value
    if value is not None:
        cell.number_format = FORMATS[kind]
    if isinstance(value, str):
        cell.data_type = "s"
        # Without it, a spreadsheet program makes a formula of the text when a person edits it.
        cell.quotePrefix = value.startswith(("=", "+", "-", "@"))


def _move_peoples_cells(sheet: "Worksheet", place: Layout) -> None:
    """The cells that people wrote are moved with their row, and their formulas are adapted."""
    from openpyxl.formula.translate import Translator

    if not place.steps:
        return
    first = place.top + 2
    other_columns = [n for n in range(1, sheet.max_column + 1) if n - 1 not in place.places]
    cells = {
        (row, n): _taken_out(sheet.cell(row, n))
        for row in _under(sheet, first)
        for n in other_columns
    }
    for row, was in enumerate(rearranged(len(_under(sheet, first)), place.steps)):
        for n in other_columns:
            if was is not None:
                cell: Any = sheet.cell(first + row, n)
                value, style, comment = cells[first + was, n]
                if isinstance(value, str) and value.startswith("="):
                    origin = sheet.cell(first + was, n).coordinate
                    value = Translator(value, origin).translate_formula(cell.coordinate)
                cell.value, cell._style, cell.comment = value, style, comment


def _under(sheet: "Worksheet", first: int) -> range:
    return range(first, sheet.max_row + 1)


def _taken_out(cell: Any) -> tuple[Any, Any, Any]:  # noqa: ANN401
    from copy import copy

    content = cell.value, copy(cell._style), copy(cell.comment) if cell.comment else None
    cell.value, cell.comment = None, None
    return content


def _draw(book: "Workbook", tab: Tab, tabs: dict[str, Tab], layouts: dict[str, Layout]) -> None:
    """Each of the tab's charts is in the worksheet once, over all rows, right of our columns."""
    from openpyxl.utils import get_column_letter

    sheet: Any = book[tab.title]
    own_titles = {title for chart in tab.charts for title in (chart.title, *chart.earlier)}
    sheet._charts = [chart for chart in sheet._charts if _title_of(chart) not in own_titles]
    for number, chart in enumerate(tab.charts):
        drawn = _chart(book[chart.source], chart, tabs[chart.source], layouts[chart.source])
        column = get_column_letter(max(layouts[tab.title].places) + 3)
        sheet.add_chart(drawn, f"{column}{2 + 18 * number}")


def _title_of(chart: Any) -> str:  # noqa: ANN401
    text = chart.title and chart.title.tx and chart.title.tx.rich
    runs = [run for paragraph in text.p for run in paragraph.r or []] if text else []
    return "".join(run.t for run in runs)


def _chart(sheet: "Worksheet", chart: Chart, source: Tab, place: Layout) -> Any:  # noqa: ANN401
    from openpyxl.chart import BarChart, LineChart, Reference

    columns = {c.key: place.places[n] + 1 for n, c in enumerate(source.columns)}
    top, last = place.top + 1, place.top + 1 + max(1, len(source.rows))
    drawn: Any = LineChart() if chart.kind == "line" else BarChart()
    drawn.title, drawn.width, drawn.height = chart.title, 24, 8.5
    for key in chart.series:
        values = Reference(sheet, min_col=columns[key], min_row=top, max_row=last)
        drawn.add_data(values, titles_from_data=True)
    below = Reference(sheet, min_col=columns[chart.x], min_row=top + 1, max_row=last)
    drawn.set_categories(below)
    drawn.x_axis.number_format = FORMATS["date"]
    # By default openpyxl leaves the axes out.
    drawn.x_axis.delete = drawn.y_axis.delete = False
    drawn.legend.position = "b"
    return drawn
