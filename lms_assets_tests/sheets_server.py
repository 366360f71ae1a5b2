"""A Google Sheets on loopback that keeps Google's rules as far as a publication meets them.

Tokens by signed JWT, sharing, ``spreadsheets.get``, ``values.get``/``batchGet`` and an atomic
``batchUpdate``: an unknown request, a range beyond the grid, a missing field mask or a title that
is taken refuse the whole of it. Values are RAW by their type; what is USER_ENTERED is interpreted.
Faults are put in by :meth:`SheetsServer.fail`; every call is in :attr:`SheetsServer.calls`.
"""

import base64
import copy
import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

ADDRESS = "publisher@project.iam.gserviceaccount.com"
LOST_CONNECTION = -1
# google-auth names Google's own endpoint as the audience, whatever the key file's token_uri says.
TOKEN_AUDIENCE = "https://oauth2.googleapis.com/token"


class RefusedError(Exception):
    """Google's 400: nothing of the request is carried out."""


@dataclass
class Sheet:
    """A worksheet: its cells by (row, column) as Google's CellData."""

    sheet_id: int
    title: str
    rows: int = 1000
    columns: int = 26
    frozen: int = 0
    cells: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)
    widths: dict[int, int] = field(default_factory=dict)
    charts: list[dict[str, Any]] = field(default_factory=list)
    basic_filter: dict[str, Any] | None = None
    merges: list[dict[str, int]] = field(default_factory=list)

    def value(self, row: int, column: int) -> Any:  # noqa: ANN401
        """What a cell shows unformatted; None where it is empty."""
        entered = self.cells.get((row, column), {}).get("userEnteredValue", {})
        return next(iter(entered.values()), None)


@dataclass
class Planned:
    """Answers to give instead of the right one."""

    status: int
    times: int
    on: str
    headers: dict[str, str]
    body: str | None
    after_write: bool


@cache
def _key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class SheetsServer:
    """One spreadsheet, shared with :data:`ADDRESS`; a context manager."""

    def __init__(self) -> None:
        self.spreadsheet_id = "1LoopbackSpreadsheet"
        self.sheets: list[Sheet] = [Sheet(0, "Sheet1")]
        self.calls: list[str] = []
        self.is_shared = True
        self.is_read_only = False
        self.is_revoked = False
        self.clock: Callable[[], float] = time.time
        self.writes_per_minute = 60
        self.before_write: Callable[[], None] = lambda: None
        self._planned: list[Planned] = []
        self._lock = threading.Lock()
        self._tokens: set[str] = set()
        self._written_at: list[float] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    def __enter__(self) -> "SheetsServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        """The root that stands for https://sheets.googleapis.com."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def credentials_base64(self, **changed: object) -> str:
        """A service account's key file whose tokens this server gives, in base64."""
        pem = _key().private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        info = {
            "type": "service_account",
            "project_id": "project",
            "private_key_id": "1",
            "private_key": pem.decode(),
            "client_email": ADDRESS,
            "client_id": "1",
            "token_uri": f"{self.url}/token",
        }
        return base64.b64encode(json.dumps({**info, **changed}).encode()).decode()

    def fail(
        self,
        status: int,
        times: int = 1,
        *,
        on: str = "any",
        after_write: bool = False,
        body: str | None = None,
        **headers: str,
    ) -> None:
        """The next ``times`` calls (``read``, ``write``, ``token`` or any) are answered so.

        ``LOST_CONNECTION`` for the status closes the connection without an answer; with
        ``after_write`` the write is carried out before.
        """
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._planned.append(Planned(status, times, on, named, body, after_write))

    # What a person sees and does in the browser.

    def sheet(self, title: str) -> Sheet:
        """The worksheet of this title."""
        return next(sheet for sheet in self.sheets if sheet.title == title)

    @property
    def titles(self) -> list[str]:
        """All worksheets, in their order."""
        return [sheet.title for sheet in self.sheets]

    def grid(self, title: str) -> list[list[Any]]:
        """All that a worksheet holds, without empty cells and rows at the ends."""
        return _values(self.sheet(title))

    def column(self, title: str, heading: str) -> list[Any]:
        """The cells under a heading of the first row."""
        grid = self.grid(title)
        place = grid[0].index(heading)
        return [row[place] if place < len(row) else None for row in grid[1:]]

    def enter(self, title: str, row: int, column: int, typed: object) -> None:
        """A person types into a cell; text that begins with = becomes a formula."""
        entered = _interpreted(typed) if typed is not None else {}
        self.sheet(title).cells[(row, column)] = {"userEnteredValue": entered}

    def swap_columns(self, title: str, one: int, other: int) -> None:
        """A person drags a column to another's place."""
        places = {one: other, other: one}
        sheet = self.sheet(title)
        sheet.cells = {(r, places.get(c, c)): cell for (r, c), cell in sheet.cells.items()}

    def reverse_rows(self, title: str, count: int) -> None:
        """A person sorts the ``count`` rows under the headings the other way round."""
        sheet = self.sheet(title)
        turned = {row: count + 1 - row for row in range(1, count + 1)}
        sheet.cells = {(turned.get(r, r), c): cell for (r, c), cell in sheet.cells.items()}

    def delete(self, title: str) -> None:
        """A person deletes a worksheet."""
        self.sheets = [sheet for sheet in self.sheets if sheet.title != title]

    # What the API answers.

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.answer(self, b"")

            def do_POST(self) -> None:
                server.answer(self, self.rfile.read(int(self.headers.get("Content-Length", 0))))

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def answer(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        """One call: a planned answer, or what Google would say."""
        with self._lock:
            path = urlsplit(request.path)
            kind = _kind(path.path)
            self.calls.append(kind)
            planned = self._next_planned(kind)
            if planned is None or planned.after_write:
                status, answer = self._right_answer(request, kind, body)
            if planned is not None:
                status, answer = planned.status, planned.body or _error(planned.status, "planned")
        if status == LOST_CONNECTION:
            request.close_connection = True
            return
        content = answer if isinstance(answer, str) else json.dumps(answer)
        request.send_response(status)
        for name, value in (planned.headers if planned else {}).items():
            request.send_header(name, value)
        is_json = not content.lstrip().startswith("<")
        request.send_header("Content-Type", "application/json" if is_json else "text/html")
        request.send_header("Content-Length", str(len(content.encode())))
        request.end_headers()
        request.wfile.write(content.encode())

    def _next_planned(self, kind: str) -> Planned | None:
        for planned in self._planned:
            if planned.times > 0 and planned.on in (kind, "any"):
                planned.times -= 1
                return planned
        return None

    def _right_answer(
        self, request: BaseHTTPRequestHandler, kind: str, body: bytes
    ) -> tuple[int, Any]:
        if kind == "token":
            return self._token(body)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if token not in self._tokens:
            return 401, _error(401, "Request had invalid authentication credentials.")
        path = urlsplit(request.path)
        found = re.match(r"/v4/spreadsheets/([^/:]+)(.*)", path.path)
        if found is None or unquote(found[1]) != self.spreadsheet_id:
            return 404, _error(404, "Requested entity was not found.")
        if not self.is_shared or (kind == "write" and self.is_read_only):
            return 403, _error(403, "The caller does not have permission")
        query = parse_qs(path.query)
        try:
            return self._called(found[2], query, body)
        except RefusedError as error:
            return 400, _error(400, str(error))

    def _called(self, what: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        if what == "":
            return 200, self._metadata()
        if what == "/values:batchGet":
            rendered = query.get("valueRenderOption", ["FORMATTED_VALUE"])[0]
            parts = [self._part(range_, rendered) for range_ in query["ranges"]]
            return 200, {"spreadsheetId": self.spreadsheet_id, "valueRanges": parts}
        if what.startswith("/values/"):
            rendered = query.get("valueRenderOption", ["FORMATTED_VALUE"])[0]
            return 200, self._part(unquote(what.removeprefix("/values/")), rendered)
        if what == ":batchUpdate":
            return self._batch_update(json.loads(body)["requests"])
        raise RefusedError(f"Unknown method {what}")

    def _token(self, body: bytes) -> tuple[int, Any]:
        assertion = parse_qs(body.decode())["assertion"][0]
        claims = _signed_claims(assertion)
        if claims is None or claims["aud"] != TOKEN_AUDIENCE:
            return 400, _refused_token("Invalid JWT Signature.")
        if self.is_revoked or claims["iss"] != ADDRESS:
            return 400, _refused_token("Invalid JWT Signature.")
        now = self.clock()
        if not claims["iat"] - 300 <= now <= claims["exp"]:
            return 400, _refused_token(
                "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
                "timeframe. Check your iat and exp values in the JWT claim."
            )
        token = f"token-{len(self._tokens)}"
        self._tokens.add(token)
        return 200, {"access_token": token, "expires_in": 3599, "token_type": "Bearer"}

    def _metadata(self) -> dict[str, Any]:
        sheets = []
        for index, sheet in enumerate(self.sheets):
            grid = {"rowCount": sheet.rows, "columnCount": sheet.columns}
            if sheet.frozen:
                grid["frozenRowCount"] = sheet.frozen
            properties = {"sheetId": sheet.sheet_id, "title": sheet.title, "index": index}
            answer: dict[str, Any] = {"properties": properties | {"gridProperties": grid}}
            answer |= {"charts": sheet.charts} if sheet.charts else {}
            answer |= {"basicFilter": sheet.basic_filter} if sheet.basic_filter else {}
            answer |= {"merges": sheet.merges} if sheet.merges else {}
            sheets.append(answer)
        return {"spreadsheetId": self.spreadsheet_id, "properties": {}, "sheets": sheets}

    def _part(self, range_: str, rendered: str) -> dict[str, Any]:
        title = range_.rpartition("!")[0] or range_
        if title.startswith("'"):
            title = title[1:-1].replace("''", "'")
        if title not in self.titles:
            raise RefusedError(f"Unable to parse range: {range_}")
        if rendered != "UNFORMATTED_VALUE":
            raise RefusedError(f"{rendered} is not kept here")
        values = _values(self.sheet(title))
        part = {"range": range_, "majorDimension": "ROWS"}
        return part | ({"values": values} if values else {})

    def _batch_update(self, requests: Sequence[dict[str, Any]]) -> tuple[int, Any]:
        now = self.clock()
        self._written_at = [at for at in self._written_at if at > now - 60]
        if len(self._written_at) >= self.writes_per_minute:
            return 429, _error(429, "Quota exceeded for quota metric 'Write requests'")
        self._written_at.append(now)
        self.before_write()
        if not requests:
            raise RefusedError("Must specify at least one request.")
        new = copy.deepcopy(self.sheets)
        for number, request in enumerate(requests):
            if len(request) != 1:
                raise RefusedError(f"Invalid requests[{number}]: must be one kind of request")
            kind, arguments = next(iter(request.items()))
            try:
                apply = REQUESTS.get(kind)
                if apply is None:
                    raise RefusedError("no such request")
                apply(new, arguments)
            except (RefusedError, KeyError, StopIteration) as error:
                raise RefusedError(f"Invalid requests[{number}].{kind}: {error!r}") from None
        if not new:
            raise RefusedError("You can't remove all the sheets in a document.")
        self.sheets = new
        return 200, {"spreadsheetId": self.spreadsheet_id, "replies": [{}] * len(requests)}


def _signed_claims(assertion: str) -> dict[str, Any] | None:
    """What a JWT claims, if the account's key signed it."""

    def decoded(part: str) -> bytes:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

    signed, _, signature = assertion.rpartition(".")
    try:
        _key().public_key().verify(
            decoded(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256()
        )
    except InvalidSignature:
        return None
    return dict(json.loads(decoded(signed.partition(".")[2])))


def _kind(path: str) -> str:
    if path == "/token":
        return "token"
    return "write" if path.endswith(":batchUpdate") else "read"


def _error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "status": "SOME"}}


def _refused_token(why: str) -> dict[str, str]:
    return {"error": "invalid_grant", "error_description": why}


def _interpreted(typed: object) -> dict[str, Any]:
    """USER_ENTERED: as if typed into the browser."""
    if isinstance(typed, bool):
        return {"boolValue": typed}
    if isinstance(typed, int | float):
        return {"numberValue": typed}
    text = str(typed)
    return {"formulaValue": text} if text.startswith("=") else {"stringValue": text}


def _values(sheet: Sheet) -> list[list[Any]]:
    grid: list[list[Any]] = []
    written = [(r, c) for r, c in sheet.cells if sheet.value(r, c) not in (None, "")]
    for row in range(max((r for r, _ in written), default=-1) + 1):
        width = max((c for r, c in written if r == row), default=-1) + 1
        values = (sheet.value(row, column) for column in range(width))
        # Google answers an empty cell before a written one as an empty text.
        grid.append(["" if value is None else value for value in values])
    return grid


# The requests of a batchUpdate.


def _of(sheets: list[Sheet], sheet_id: int) -> Sheet:
    found = [sheet for sheet in sheets if sheet.sheet_id == sheet_id]
    if not found:
        raise RefusedError(f"No grid with id: {sheet_id}")
    return found[0]


def _within(sheet: Sheet, rows: int, columns: int) -> None:
    if rows > sheet.rows or columns > sheet.columns:
        raise RefusedError(
            f"Range exceeds grid limits. Max rows: {sheet.rows}, max columns: {sheet.columns}"
        )


def _add_sheet(sheets: list[Sheet], arguments: dict[str, Any]) -> None:
    given = arguments["properties"]
    grid = given.get("gridProperties", {})
    if any(sheet.title == given["title"] for sheet in sheets):
        raise RefusedError(f'A sheet with the name "{given["title"]}" already exists.')
    if any(sheet.sheet_id == given.get("sheetId") for sheet in sheets):
        raise RefusedError(f"Sheet with ID {given['sheetId']} already exists.")
    sheet_id = given.get("sheetId", 10_000 + len(sheets))
    rows, columns = grid.get("rowCount", 1000), grid.get("columnCount", 26)
    sheets.append(Sheet(sheet_id, given["title"], rows, columns, grid.get("frozenRowCount", 0)))


def _delete_sheet(sheets: list[Sheet], arguments: dict[str, Any]) -> None:
    sheets.remove(_of(sheets, arguments["sheetId"]))


def _update_sheet_properties(sheets: list[Sheet], arguments: dict[str, Any]) -> None:
    given = arguments["properties"]
    sheet = _of(sheets, given["sheetId"])
    values = {
        "title": given.get("title"),
        **{f"gridProperties.{name}": v for name, v in given.get("gridProperties", {}).items()},
    }
    names = {
        "title": "title",
        "gridProperties.rowCount": "rows",
        "gridProperties.columnCount": "columns",
        "gridProperties.frozenRowCount": "frozen",
    }
    for name in arguments["fields"].split(","):
        if name not in names:
            raise RefusedError(f"Invalid field: {name}")
        setattr(sheet, names[name], values[name])
    if sheet.frozen >= sheet.rows:
        raise RefusedError("You can't freeze all visible rows on the sheet.")
    sheet.cells = {
        at: cell for at, cell in sheet.cells.items() if at[0] < sheet.rows and at[1] < sheet.columns
    }


def _update_cells(sheets: list[Sheet], arguments: dict[str, Any]) -> None:
    start = arguments["start"]
    sheet = _of(sheets, start["sheetId"])
    top, left = start.get("rowIndex", 0), start.get("columnIndex", 0)
    rows = arguments["rows"]
    _within(sheet, top + len(rows), left + max(len(row["values"]) for row in rows))
    for r, row in enumerate(rows, start=top):
        for c, cell in enumerate(row["values"], start=left):
            _merge_cell(sheet, (r, c), cell, arguments["fields"])


def _repeat_cell(sheets: list[Sheet], arguments: dict[str, Any]) -> None:
    where = arguments["range"]
    sheet = _of(sheets, where["sheetId"])
    _within(sheet, where["endRowIndex"], where["endColumnIndex"])
    if where["endRowIndex"] <= where["startRowIndex"]:
        raise RefusedError("Range is empty")
    for r in range(where["startRowIndex"], where["endRowIndex"]):
        for c in range(where["startColumnIndex"], where["endColumnIndex"]):
            _merge_cell(sheet, (r, c), arguments["cell"], arguments["fields"])


def _merge_cell(sheet: Sheet, at: tuple[int, int], given: dict[str, Any], fields: str) -> None:
    """The fields of the mask become as given, unset where they are not; the rest stays."""
    if len(str(given.get("userEnteredValue", {}).get("stringValue", ""))) > 50_000:
        raise RefusedError("Your input contains more than the maximum of 50000 characters")
    cell = sheet.cells.setdefault(at, {})
    for path in fields.split(","):
        target, source = cell, given
        *folders, name = path.split(".")
        for folder in folders:
            target, source = target.setdefault(folder, {}), source.get(folder, {})
        if name in source:
            target[name] = copy.deepcopy(source[name])
        else:
            target.pop(name, None)


def _insert_dimension(sheets: list[Sheet], arguments: dict[str, Any]) -> None:
    where = arguments["range"]
    sheet = _of(sheets, where["sheetId"])
    assert where["dimension"] == "ROWS"
    start, count = where["startIndex"], where["endIndex"] - where["startIndex"]
    if start >= sheet.rows and not arguments.get("inheritFromBefore"):
        raise RefusedError("cannot insert after the end and inherit from after")
    sheet.rows += count
    sheet.cells = {
        (r + count if r >= start else r, c): cell for (r, c), cell in sheet.cells.items()
    }


def _move_dimension(sheets: list[Sheet], arguments: dict[str, Any]) -> None:
    where = arguments["source"]
    sheet = _of(sheets, where["sheetId"])
    assert where["dimension"] == "ROWS"
    start, end, to = where["startIndex"], where["endIndex"], arguments["destinationIndex"]
    _within(sheet, max(end, to), 0)
    if (start < sheet.frozen) != (to < sheet.frozen):
        raise RefusedError("cannot move across the frozen rows")
    rows = list(range(sheet.rows))
    moved = rows[start:end]
    del rows[start:end]
    place = to if to <= start else to - len(moved)
    rows[place:place] = moved
    new_place = {old: new for new, old in enumerate(rows)}
    sheet.cells = {(new_place[r], c): cell for (r, c), cell in sheet.cells.items()}


def _update_dimension(sheets: list[Sheet], arguments: dict[str, Any]) -> None:
    where = arguments["range"]
    sheet = _of(sheets, where["sheetId"])
    assert where["dimension"] == "COLUMNS"
    assert arguments["fields"] == "pixelSize"
    _within(sheet, 0, where["endIndex"])
    for column in range(where["startIndex"], where["endIndex"]):
        sheet.widths[column] = arguments["properties"]["pixelSize"]


def _checked_spec(sheets: list[Sheet], spec: dict[str, Any]) -> dict[str, Any]:
    basic = spec["basicChart"]
    for data in (*(d["domain"] for d in basic["domains"]), *(s["series"] for s in basic["series"])):
        for source in data["sourceRange"]["sources"]:
            sheet = _of(sheets, source["sheetId"])
            _within(sheet, source["endRowIndex"], source["endColumnIndex"])
    return spec


def _add_chart(sheets: list[Sheet], arguments: dict[str, Any]) -> None:
    chart = arguments["chart"]
    anchor = chart["position"]["overlayPosition"]["anchorCell"]
    sheet = _of(sheets, anchor["sheetId"])
    _within(sheet, anchor["rowIndex"] + 1, anchor["columnIndex"] + 1)
    chart_id = 1 + max((c["chartId"] for s in sheets for c in s.charts), default=0)
    _checked_spec(sheets, chart["spec"])
    sheet.charts.append({"chartId": chart_id, **copy.deepcopy(chart)})


def _chart(sheets: list[Sheet], chart_id: int) -> tuple[Sheet, dict[str, Any]]:
    return next((s, c) for s in sheets for c in s.charts if c["chartId"] == chart_id)


def _update_chart(sheets: list[Sheet], arguments: dict[str, Any]) -> None:
    _, chart = _chart(sheets, arguments["chartId"])
    chart["spec"] = copy.deepcopy(_checked_spec(sheets, arguments["spec"]))


def _delete_object(sheets: list[Sheet], arguments: dict[str, Any]) -> None:
    sheet, chart = _chart(sheets, arguments["objectId"])
    sheet.charts.remove(chart)


def _clear_filter(sheets: list[Sheet], arguments: dict[str, Any]) -> None:
    _of(sheets, arguments["sheetId"]).basic_filter = None


def _unmerge(sheets: list[Sheet], arguments: dict[str, Any]) -> None:
    sheet = _of(sheets, arguments["range"]["sheetId"])
    sheet.merges = [merged for merged in sheet.merges if merged != arguments["range"]]


REQUESTS: dict[str, Callable[[list[Sheet], dict[str, Any]], None]] = {
    "addSheet": _add_sheet,
    "deleteSheet": _delete_sheet,
    "updateSheetProperties": _update_sheet_properties,
    "updateCells": _update_cells,
    "repeatCell": _repeat_cell,
    "insertDimension": _insert_dimension,
    "moveDimension": _move_dimension,
    "updateDimensionProperties": _update_dimension,
    "addChart": _add_chart,
    "updateChartSpec": _update_chart,
    "deleteEmbeddedObject": _delete_object,
    "clearBasicFilter": _clear_filter,
    "unmergeCells": _unmerge,
}


@contextmanager
def sheets_server() -> Iterator[SheetsServer]:
    """A fresh spreadsheet for one test."""
    with SheetsServer() as server:
        yield server
