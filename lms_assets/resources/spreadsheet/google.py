"""The statistics in Google Sheets: one read, one atomic write.

Everything that a publication changes, from new worksheets to charts, is in one
``spreadsheets.batchUpdate``, which Google carries out whole or not at all: a
reader never meets an empty sheet. Cells are written as typed values, never as
text that Google would interpret.
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
    """The spreadsheet that people read, by a service account."""

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
        """Where people read it."""
        return f"https://docs.google.com/spreadsheets/d/{self._id}"

    def publish(self, tabs: Sequence[Tab]) -> list[str]:
        """The spreadsheet shows exactly ``tabs``; what people added beside them is untouched.

        Returns:
            The titles of our tabs that are there now.

        Raises:
            PermanentFault: Not shared, not found, credentials, a heading of ours that was changed.
            TemporaryFault: Google was not to be had within the budget.
        """
        return self._patiently(lambda client: _publish(client, tabs))

    def read(self, title: str) -> Grid:
        """All that the worksheet holds now; nothing where there is none."""
        return self.read_all([title])[title]

    def read_all(self, titles: Sequence[str]) -> dict[str, Grid]:
        """All that each of the worksheets holds now, in two calls."""

        def held(client: "SpreadsheetClient") -> dict[str, Grid]:
            there = {sheet["properties"]["title"] for sheet in client.worksheets()}
            grids = client.grids([title for title in titles if title in there])
            return {title: grids.get(title, []) for title in titles}

        return self._patiently(held)

    def check(self) -> None:
        """The spreadsheet can be read and written, shown by a write that changes nothing.

        Raises:
            PermanentFault: With what to do, and which address to share the spreadsheet with.
            TemporaryFault: Google was not to be had within the budget.
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
    """A tab with the worksheet that shows it, made in the same write where it is not there."""

    tab: Tab
    layout: Layout
    sheet_id: int
    properties: Mapping[str, Any] | None
    charts: Mapping[str, Sequence[int]]
    has_filter: bool
    merges: Sequence[Mapping[str, int]]


def _publish(client: "SpreadsheetClient", tabs: Sequence[Tab]) -> list[str]:
    """Planned again when another publisher or a person changed the spreadsheet in between."""
    from lms_assets.resources.spreadsheet.client import WriteRefusedError

    for _ in range(PLANS_TRIED):
        held = _held(client, tabs)
        requests, shown = _requests(tabs, *held)
        try:
            if requests:
                client.write(requests)
            return shown
        except WriteRefusedError as refusal:
            if _held(client, tabs) == held:
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


def _held(
    client: "SpreadsheetClient", tabs: Sequence[Tab]
) -> tuple[list[dict[str, Any]], dict[str, Grid]]:
    """The worksheets under the titles that ours are to have, and all that ours hold."""
    sheets = client.worksheets()
    there = [sheet["properties"]["title"] for sheet in sheets]
    renamed = {title: earlier for earlier, title in renamings(tabs, there).items()}
    wanted = [renamed.get(tab.title, tab.title) for tab in tabs]
    grids = client.grids([title for title in wanted if title in there])
    return sheets, {tab.title: grids[t] for tab, t in zip(tabs, wanted, strict=True) if t in grids}


def _requests(
    tabs: Sequence[Tab], sheets: Sequence[Mapping[str, Any]], grids: Mapping[str, Grid]
) -> tuple[list[Request], list[str]]:
    """The whole publication, in the order that Google carries it out, and the tabs then there.

    Raises:
        PermanentFault: ``sheet.heading_unknown``; nothing is written then.
    """
    held = {sheet["properties"]["title"]: sheet for sheet in sheets}
    renamed = renamings(tabs, list(held))
    by_title = {renamed.get(title, title): sheet for title, sheet in held.items()}
    tabs, old = newest_kept(tabs, list(by_title))
    shown = _worksheets(tabs, by_title, grids)
    requests = [_renaming(by_title[title], title) for title in renamed.values()]
    for worksheet in shown.values():
        requests += [*_room(worksheet), *_cells(worksheet), *_look(worksheet)]
    for worksheet in shown.values():
        requests += _charts(worksheet, shown)
    gone = [by_title[title]["properties"]["sheetId"] for title in old]
    requests += [{"deleteSheet": {"sheetId": sheet_id}} for sheet_id in gone]
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
    there = sheet or {}
    has_filter, merges = "basicFilter" in there, there.get("merges", [])
    return _Worksheet(tab, place, sheet_id, properties, charts, has_filter, merges)


def _free_id(title: str, taken: set[int]) -> int:
    """The same for the same title: two publishers at once collide instead of making two tabs."""
    sheet_id = crc32(title.encode()) & 0x3FFFFFFF
    while sheet_id in taken:
        sheet_id += 1
    return sheet_id


def _room(worksheet: _Worksheet) -> Iterator[Request]:
    """The worksheet is there, its rows in order, and large enough; its headings stay in sight."""
    place = worksheet.layout
    wide, high = _needed(worksheet)
    grid = {"frozenRowCount": place.top + 1}
    if worksheet.properties is None:
        grid |= {"rowCount": max(100, high), "columnCount": max(26, wide)}
        properties = {"sheetId": worksheet.sheet_id, "title": worksheet.tab.title}
        yield {"addSheet": {"properties": properties | {"gridProperties": grid}}}
        return
    if worksheet.has_filter:
        # It hides rows from everybody, new days among them; filter views are each reader's own.
        yield {"clearBasicFilter": {"sheetId": worksheet.sheet_id}}
    for merged in worksheet.merges:
        if any(merged["startColumnIndex"] <= at < merged["endColumnIndex"] for at in place.places):
            yield {"unmergeCells": {"range": merged}}
    yield from _moves(worksheet)
    held = worksheet.properties.get("gridProperties", {})
    put_in = sum(isinstance(step, Insert) for step in place.steps)
    grid["rowCount"] = max(held.get("rowCount", 0) + put_in, high)
    grid["columnCount"] = max(held.get("columnCount", 0), wide)
    fields = ",".join(f"gridProperties.{name}" for name in sorted(grid))
    properties = {"sheetId": worksheet.sheet_id, "gridProperties": grid}
    yield {"updateSheetProperties": {"properties": properties, "fields": fields}}


def _needed(worksheet: _Worksheet) -> tuple[int, int]:
    """Columns and rows that the cells and the charts' corners take."""
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
    """Every cell of our columns from the headings down, with those that become empty."""
    tab, place = worksheet.tab, worksheet.layout
    headings: list[Plain] = [column.heading for column in tab.columns]
    rows = [headings, *content(tab, place.height)]
    for run in place.runs:
        cells = [{"values": [_cell(row[column]) for column in run]} for row in rows]
        start = {"rowIndex": place.top, "columnIndex": place.places[run[0]]}
        where = {"sheetId": worksheet.sheet_id, **start}
        yield {"updateCells": {"start": where, "rows": cells, "fields": "userEnteredValue"}}


def _cell(value: Plain) -> dict[str, Any]:
    """A cell's value with its type: text stays text, whatever it begins with."""
    if value is None:
        return {}
    kind = "stringValue" if isinstance(value, str) else "numberValue"
    return {"userEnteredValue": {kind: value}}


def _look(worksheet: _Worksheet) -> Iterator[Request]:
    """Headings bold, numbers in their formats, new columns in their widths."""
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
            where_row = (row + place.top + 1, row + place.top + 2)
            yield _format(worksheet, where_row, (at, at + 1), {"backgroundColor": _colour(tint)})
        if at in place.added:
            span = {"startIndex": at, "endIndex": at + 1}
            where = {"sheetId": worksheet.sheet_id, "dimension": "COLUMNS", **span}
            width = {"properties": {"pixelSize": column.width}, "fields": "pixelSize"}
            yield {"updateDimensionProperties": {"range": where, **width}}


def _colour(tint: str) -> dict[str, float]:
    parts = zip(("red", "green", "blue"), bytes.fromhex(tint), strict=True)
    return {name: part / 255 for name, part in parts}


def _kinds(tab: Tab, number: int) -> Iterator[tuple[tuple[int, int], Kind]]:
    """Which rows of a column, the last excluded, are shown in which way."""
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
    where = _range(worksheet.sheet_id, rows, columns)
    return {
        "repeatCell": {"range": where, "cell": {"userEnteredFormat": dict(look)}, "fields": fields}
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
    """Each chart once, over all rows; one that a person moved stays where they put it."""
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
            where = {"anchorCell": {"sheetId": worksheet.sheet_id, **anchor}}
            position = {"overlayPosition": where}
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
