"""The statistics in Google Sheets: one read, one atomic write.

All changes of a publication, from new worksheets to charts, are in one
``spreadsheets.batchUpdate``. Google carries it out whole or not at all, so readers never see an
empty sheet. Cells are written as typed values, never as text that Google would interpret.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar
from zlib import crc32

import dagster as dg
from pydantic import Field

from lms_assets.faults import PermanentFault
from lms_assets.resources.spreadsheet.layout import Insert, Layout, layout
from lms_assets.resources.spreadsheet.tabs import (
    FORMATS,
    Chart,
    Grid,
    Kind,
    Plain,
    Tab,
    content,
    kind_of,
    newest_kept,
    renamings,
)

if TYPE_CHECKING:
    from lms_assets.resources.spreadsheet.client import SpreadsheetClient

Request = dict[str, Any]
Answer = TypeVar("Answer")

PLANS_TRIED = 5
CHART_GAP = 2
CHART_ROWS = 18
FORMAT_TYPES: Mapping[Kind, str] = {
    "text": "TEXT",
    "number": "NUMBER",
    "integer": "NUMBER",
    "ratio": "NUMBER",
    "probability": "NUMBER",
    "percent": "PERCENT",
    "date": "DATE",
    "datetime": "DATE_TIME",
}


class GoogleSheets(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The spreadsheet in Google Sheets, written by a service account."""

    credentials_base64: str = Field(
        repr=False,
        description="The service account's key file in base64.",
        json_schema_extra={"dagster__is_secret": True},
    )
    spreadsheet_id: str = Field(description="From the spreadsheet's address, or all of it.")
    api_url: str = Field(
        default="https://sheets.googleapis.com", description="Stands for that root."
    )
    timeout_s: float = Field(default=45, description="For one request.")
    budget_s: float = Field(default=240, description="For one publication, all its tries together.")
    first_wait_s: float = Field(
        default=1, description="Before the second try; doubled for each other."
    )

    @property
    def url(self) -> str:
        """The address at which people open it."""
        return f"https://docs.google.com/spreadsheets/d/{self._id}"

    def publish(self, tabs: Sequence[Tab]) -> list[str]:
        """The spreadsheet shows exactly ``tabs``; cells that people added are unchanged.

        Returns:
            The titles of our tabs in the spreadsheet.

        Raises:
            PermanentFault: The spreadsheet is not shared or not found, the credentials are
                refused, or a person changed one of our headings.
            TemporaryFault: Google did not accept the write within the budget.
        """
        return self._patiently(lambda client: _publish(client, tabs))

    def read(self, title: str) -> Grid:
        """The worksheet's cells; empty if there is no such worksheet."""
        return self.read_all([title])[title]

    def read_all(self, titles: Sequence[str]) -> dict[str, Grid]:
        """Title → the worksheet's cells, read in two calls."""

        def grids_of(client: "SpreadsheetClient") -> dict[str, Grid]:
            present = {sheet["properties"]["title"] for sheet in client.worksheets()}
            grids = client.grids([title for title in titles if title in present])
            return {title: grids.get(title, []) for title in titles}

        return self._patiently(grids_of)

    def check(self) -> None:
        """The spreadsheet can be read and written; a write that changes nothing has shown it.

        Raises:
            PermanentFault: A person must act first; for example, share the spreadsheet.
            TemporaryFault: Google did not answer within the budget.
        """
        self._patiently(_write_nothing)

    @property
    def _id(self) -> str:
        in_address = re.search(r"/d/([\w-]+)", self.spreadsheet_id)
        return in_address[1] if in_address else self.spreadsheet_id.strip()

    def _patiently(self, work: Callable[["SpreadsheetClient"], Answer]) -> Answer:
        from lms_assets.resources.spreadsheet.client import (
            SpreadsheetClient,
            patiently,
            service_account,
        )

        client = SpreadsheetClient(
            service_account(self.credentials_base64),
            self._id,
            api_url=self.api_url,
            timeout_s=self.timeout_s,
        )
        return patiently(
            lambda: work(client), budget_s=self.budget_s, first_wait_s=self.first_wait_s
        )


@dataclass(frozen=True)
class _Worksheet:
    """A tab with its worksheet; ``properties`` is None where the write makes the worksheet."""

    tab: Tab
    layout: Layout
    sheet_id: int
    properties: Mapping[str, Any] | None
    charts: Mapping[str, Sequence[int]]
    has_filter: bool
    merges: Sequence[Mapping[str, int]]


def _publish(client: "SpreadsheetClient", tabs: Sequence[Tab]) -> list[str]:
    """The tabs are written; the write is planned again if the spreadsheet changed meanwhile."""
    from lms_assets.resources.spreadsheet.client import WriteRefusedError

    for _ in range(PLANS_TRIED):
        current = _current(client, tabs)
        requests, shown = _requests(tabs, *current)
        try:
            if requests:
                client.write(requests)
            return shown
        except WriteRefusedError as refusal:
            if _current(client, tabs) == current:
                raise PermanentFault("sheet.refused", answer=str(refusal)) from None
    raise PermanentFault("sheet.refused", answer=f"changed during each of {PLANS_TRIED} tries")


def _write_nothing(client: "SpreadsheetClient") -> None:
    from lms_assets.resources.spreadsheet.client import WriteRefusedError

    first = client.worksheets()[0]["properties"]
    same = {"sheetId": first["sheetId"], "title": first["title"]}
    try:
        client.write([{"updateSheetProperties": {"properties": same, "fields": "title"}}])
    except WriteRefusedError as refusal:
        raise PermanentFault("sheet.refused", answer=str(refusal)) from None


def _current(
    client: "SpreadsheetClient", tabs: Sequence[Tab]
) -> tuple[list[dict[str, Any]], dict[str, Grid]]:
    """All worksheets, and for our tabs title → cells; a renamed tab has its new title."""
    sheets = client.worksheets()
    present = [sheet["properties"]["title"] for sheet in sheets]
    renamed = {title: earlier for earlier, title in renamings(tabs, present).items()}
    titles = [renamed.get(tab.title, tab.title) for tab in tabs]
    grids = client.grids([title for title in titles if title in present])
    return sheets, {tab.title: grids[t] for tab, t in zip(tabs, titles, strict=True) if t in grids}


def _requests(
    tabs: Sequence[Tab], sheets: Sequence[Mapping[str, Any]], grids: Mapping[str, Grid]
) -> tuple[list[Request], list[str]]:
    """The requests of a publication, in order, and the titles of our tabs after it.

    Raises:
        PermanentFault: ``sheet.heading_unknown``; nothing is written.
    """
    sheets_by_title = {sheet["properties"]["title"]: sheet for sheet in sheets}
    renamed = renamings(tabs, list(sheets_by_title))
    by_title = {renamed.get(title, title): sheet for title, sheet in sheets_by_title.items()}
    tabs, expired = newest_kept(tabs, list(by_title))
    shown = _worksheets(tabs, by_title, grids)
    requests = [_renaming(by_title[title], title) for title in renamed.values()]
    for worksheet in shown.values():
        requests += [*_room(worksheet), *_cells(worksheet), *_look(worksheet)]
    for worksheet in shown.values():
        requests += _charts(worksheet, shown)
    deleted_ids = [by_title[title]["properties"]["sheetId"] for title in expired]
    requests += [{"deleteSheet": {"sheetId": sheet_id}} for sheet_id in deleted_ids]
    return requests, list(shown)


def _renaming(sheet: Mapping[str, Any], title: str) -> Request:
    named = {"sheetId": sheet["properties"]["sheetId"], "title": title}
    return {"updateSheetProperties": {"properties": named, "fields": "title"}}


def _worksheets(
    tabs: Sequence[Tab], by_title: Mapping[str, Mapping[str, Any]], grids: Mapping[str, Grid]
) -> dict[str, _Worksheet]:
    taken = {sheet["properties"]["sheetId"] for sheet in by_title.values()}
    shown: dict[str, _Worksheet] = {}
    for tab in tabs:
        sheet = by_title.get(tab.title)
        if sheet is None and not tab.made_if_missing:
            continue
        try:
            place = layout(tab, grids.get(tab.title, []))
        except PermanentFault:
            if tab.made_if_missing:
                raise
            continue
        sheet_id = sheet["properties"]["sheetId"] if sheet else _free_id(tab.title, taken)
        taken.add(sheet_id)
        shown[tab.title] = _worksheet(tab, place, sheet_id, sheet)
    return shown


def _worksheet(
    tab: Tab, place: Layout, sheet_id: int, sheet: Mapping[str, Any] | None
) -> _Worksheet:
    charts: dict[str, list[int]] = {}
    for chart in (sheet or {}).get("charts", []):
        charts.setdefault(chart.get("spec", {}).get("title", ""), []).append(chart["chartId"])
    properties = sheet["properties"] if sheet else None
    existing = sheet or {}
    has_filter, merges = "basicFilter" in existing, existing.get("merges", [])
    return _Worksheet(tab, place, sheet_id, properties, charts, has_filter, merges)


def _free_id(title: str, taken: set[int]) -> int:
    """A worksheet id that depends on the title, so that two publishers cannot both make the tab."""
    sheet_id = crc32(title.encode()) & 0x3FFFFFFF
    while sheet_id in taken:
        sheet_id += 1
    return sheet_id


def _room(worksheet: _Worksheet) -> Iterator[Request]:
    """Requests after which the worksheet exists, is large enough and has its rows in order."""
    place = worksheet.layout
    wide, high = _needed(worksheet)
    grid = {"frozenRowCount": place.top + 1}
    if worksheet.properties is None:
        grid |= {"rowCount": max(100, high), "columnCount": max(26, wide)}
        properties = {"sheetId": worksheet.sheet_id, "title": worksheet.tab.title}
        yield {"addSheet": {"properties": properties | {"gridProperties": grid}}}
        return
    if worksheet.has_filter:
        # A filter hides rows, also new ones, from all readers. Filter views are not touched.
        yield {"clearBasicFilter": {"sheetId": worksheet.sheet_id}}
    for merged in worksheet.merges:
        if any(merged["startColumnIndex"] <= at < merged["endColumnIndex"] for at in place.places):
            yield {"unmergeCells": {"range": merged}}
    yield from _moves(worksheet)
    size = worksheet.properties.get("gridProperties", {})
    put_in = sum(isinstance(step, Insert) for step in place.steps)
    grid["rowCount"] = max(size.get("rowCount", 0) + put_in, high)
    grid["columnCount"] = max(size.get("columnCount", 0), wide)
    fields = ",".join(f"gridProperties.{name}" for name in sorted(grid))
    properties = {"sheetId": worksheet.sheet_id, "gridProperties": grid}
    yield {"updateSheetProperties": {"properties": properties, "fields": fields}}


def _needed(worksheet: _Worksheet) -> tuple[int, int]:
    """The columns and rows that the cells and the charts' anchors need."""
    place, charts = worksheet.layout, len(worksheet.tab.charts)
    wide = max(place.places) + (1 if charts == 0 else CHART_GAP + 1)
    return wide, max(place.last_row, charts * CHART_ROWS)


def _moves(worksheet: _Worksheet) -> Iterator[Request]:
    first = worksheet.layout.top + 1
    for step in worksheet.layout.steps:
        at = first + step.at
        if isinstance(step, Insert):
            rows = _rows(worksheet, at, at + 1)
            yield {"insertDimension": {"range": rows, "inheritFromBefore": False}}
        else:
            rows = _rows(worksheet, first + step.source, first + step.source + 1)
            yield {"moveDimension": {"source": rows, "destinationIndex": at}}


def _rows(worksheet: _Worksheet, start: int, end: int) -> dict[str, Any]:
    span = {"startIndex": start, "endIndex": end}
    return {"sheetId": worksheet.sheet_id, "dimension": "ROWS", **span}


def _cells(worksheet: _Worksheet) -> Iterator[Request]:
    """Requests that write all cells of our columns from the headings down, also empty ones."""
    tab, place = worksheet.tab, worksheet.layout
    headings: list[Plain] = [column.heading for column in tab.columns]
    rows = [headings, *content(tab, place.height)]
    for run in place.runs:
        cells = [{"values": [_cell(row[column]) for column in run]} for row in rows]
        start = {"rowIndex": place.top, "columnIndex": place.places[run[0]]}
        corner = {"sheetId": worksheet.sheet_id, **start}
        yield {"updateCells": {"start": corner, "rows": cells, "fields": "userEnteredValue"}}


def _cell(value: Plain) -> dict[str, Any]:
    """A cell's value with its type, so that a text is never taken for a formula."""
    if value is None:
        return {}
    kind = "stringValue" if isinstance(value, str) else "numberValue"
    return {"userEnteredValue": {kind: value}}


def _look(worksheet: _Worksheet) -> Iterator[Request]:
    """Requests for bold headings, formats, row colours and the widths of new columns."""
    tab, place = worksheet.tab, worksheet.layout
    bold = {"textFormat": {"bold": True}, "wrapStrategy": "WRAP", "verticalAlignment": "MIDDLE"}
    for run in place.runs:
        columns = place.places[run[0]], place.places[run[-1]] + 1
        yield _format(worksheet, (place.top, place.top + 1), columns, bold)
    for number, column in enumerate(tab.columns):
        at = place.places[number]
        for rows, kind in _kinds(tab, number):
            shift = place.top + 1
            look = {"numberFormat": {"type": FORMAT_TYPES[kind], "pattern": FORMATS[kind]}}
            yield _format(worksheet, (rows[0] + shift, rows[1] + shift), (at, at + 1), look)
        for row, tint in enumerate(tab.tints):
            tinted = (row + place.top + 1, row + place.top + 2)
            yield _format(worksheet, tinted, (at, at + 1), {"backgroundColor": _colour(tint)})
        if at in place.added:
            span = {"startIndex": at, "endIndex": at + 1}
            span_of_column = {"sheetId": worksheet.sheet_id, "dimension": "COLUMNS", **span}
            width = {"properties": {"pixelSize": column.width}, "fields": "pixelSize"}
            yield {"updateDimensionProperties": {"range": span_of_column, **width}}


def _colour(tint: str) -> dict[str, float]:
    parts = zip(("red", "green", "blue"), bytes.fromhex(tint), strict=True)
    return {name: part / 255 for name, part in parts}


def _kinds(tab: Tab, number: int) -> Iterator[tuple[tuple[int, int], Kind]]:
    """The rows of a column (the last one excluded) with the same kind, and that kind."""
    kind = tab.columns[number].kind
    if kind != "value":
        yield from [((0, len(tab.rows)), kind)] if tab.rows else []
        return
    kinds = enumerate(kind_of(cells[number]) for cells in tab.rows)
    for shown_as, rows in groupby(kinds, key=itemgetter(1)):
        numbers = [row[0] for row in rows]
        yield (numbers[0], numbers[-1] + 1), shown_as


def _format(
    worksheet: _Worksheet, rows: tuple[int, int], columns: tuple[int, int], look: Mapping[str, Any]
) -> Request:
    fields = ",".join(f"userEnteredFormat.{name}" for name in look)
    cells = _range(worksheet.sheet_id, rows, columns)
    return {
        "repeatCell": {"range": cells, "cell": {"userEnteredFormat": dict(look)}, "fields": fields}
    }


def _range(sheet_id: int, rows: tuple[int, int], columns: tuple[int, int]) -> dict[str, int]:
    return {
        "sheetId": sheet_id,
        "startRowIndex": rows[0],
        "endRowIndex": rows[1],
        "startColumnIndex": columns[0],
        "endColumnIndex": columns[1],
    }


def _charts(worksheet: _Worksheet, shown: Mapping[str, _Worksheet]) -> Iterator[Request]:
    """Requests for each chart once, over all rows; a chart that a person moved stays there."""
    for number, chart in enumerate(worksheet.tab.charts):
        spec = _chart_spec(chart, shown[chart.source])
        titles = (chart.title, *chart.earlier)
        ids = [number for title in titles for number in worksheet.charts.get(title, [])]
        if ids:
            yield {"updateChartSpec": {"chartId": ids[0], "spec": spec}}
            yield from ({"deleteEmbeddedObject": {"objectId": twice}} for twice in ids[1:])
        else:
            column = max(worksheet.layout.places) + CHART_GAP
            anchor = {"rowIndex": 1 + CHART_ROWS * number, "columnIndex": column}
            anchored = {"anchorCell": {"sheetId": worksheet.sheet_id, **anchor}}
            position = {"overlayPosition": anchored}
            yield {"addChart": {"chart": {"spec": spec, "position": position}}}


def _chart_spec(chart: Chart, source: _Worksheet) -> dict[str, Any]:
    def drawn(key: str) -> dict[str, Any]:
        number = next(n for n, column in enumerate(source.tab.columns) if column.key == key)
        place = source.layout
        rows = place.top, place.top + 1 + max(1, len(source.tab.rows))
        columns = place.places[number], place.places[number] + 1
        return {"sourceRange": {"sources": [_range(source.sheet_id, rows, columns)]}}

    basic = {
        "chartType": chart.kind.upper(),
        "legendPosition": "BOTTOM_LEGEND",
        "headerCount": 1,
        "domains": [{"domain": drawn(chart.x)}],
        "series": [{"series": drawn(key), "targetAxis": "LEFT_AXIS"} for key in chart.series],
    }
    return {"title": chart.title, "basicChart": basic}
