"""The real gspread client against a server that keeps Google's rules."""

import base64
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lms_assets.faults import PermanentFault, TemporaryFault
from lms_assets.resources.spreadsheet.google import GoogleSheets
from lms_assets.resources.spreadsheet.tabs import Chart, Column, Percent, Tab
from lms_assets_tests.sheets_server import ADDRESS, LOST_CONNECTION, SheetsServer

NOTE = "Made at 2025-07-27 04:00 UTC from 8 attempts of 2 days"
COLUMNS = (
    Column("day", "Date", "date"),
    Column("attempts", "Attempts", "integer", 77),
    Column("success_pct", "Success", "percent"),
)
DAILY = Tab("Daily", COLUMNS, [(date(2025, 7, 24), 3, 50.0), (date(2025, 7, 25), 5, None)], NOTE)
PUBLISHED = [
    ["Date", "Attempts", "Success"],
    [45862, 3, 0.5],
    [45863, 5],
    [],
    [NOTE],
]
HTML_502 = "<html><title>502</title>That's an error.</html>"


@pytest.fixture
def server() -> Iterator[SheetsServer]:
    with SheetsServer() as server:
        yield server


def publisher(server: SheetsServer, **other: Any) -> GoogleSheets:  # noqa: ANN401
    given = {
        "credentials_base64": server.credentials_base64(),
        "spreadsheet_id": server.spreadsheet_id,
        "api_url": server.url,
        "first_wait_s": 0.001,
    }
    return GoogleSheets(**(given | other))


def fault_of(sheets: GoogleSheets) -> str:
    with pytest.raises((PermanentFault, TemporaryFault)) as raised:
        sheets.publish([DAILY])
    return raised.value.code


def calls(server: SheetsServer, kind: str) -> int:
    return server.calls.count(kind)


# How it looks.


def test_a_publication_is_two_reads_and_one_write(server: SheetsServer) -> None:
    publisher(server).publish([DAILY])
    assert server.calls == ["token", "read", "write"]
    server.calls.clear()
    publisher(server).publish([DAILY])
    assert server.calls == ["token", "read", "read", "write"]


def test_a_year_of_days_is_one_write_and_complete(server: SheetsServer) -> None:
    days = [(date(2025, 1, 1) + timedelta(days=n), n, 50.0) for n in range(365)]
    sheets = publisher(server)
    sheets.publish([replace(DAILY, rows=days)])
    assert calls(server, "write") == 1
    shown = [(row[0], row[1]) for row in sheets.read("Daily")[1:366]]
    assert shown == [(45658 + n, n) for n in range(365)]


def test_cells_have_their_types_and_formats(server: SheetsServer) -> None:
    publisher(server).publish([DAILY])
    cells = server.sheet("Daily").cells
    day, percent = cells[(1, 0)], cells[(1, 2)]
    assert day["userEnteredValue"] == {"numberValue": 45862}
    assert day["userEnteredFormat"]["numberFormat"] == {"type": "DATE", "pattern": "yyyy-mm-dd"}
    assert percent["userEnteredValue"] == {"numberValue": 0.5}
    assert percent["userEnteredFormat"]["numberFormat"] == {"type": "PERCENT", "pattern": "0.0%"}


def test_headings_are_bold_and_frozen_and_columns_have_widths(server: SheetsServer) -> None:
    publisher(server).publish([DAILY])
    sheet = server.sheet("Daily")
    assert [sheet.cells[(0, n)]["userEnteredFormat"]["textFormat"] for n in range(3)] == [
        {"bold": True}
    ] * 3
    assert (sheet.frozen, sheet.widths) == (1, {0: 95, 1: 77, 2: 110})


def test_a_persons_width_stays(server: SheetsServer) -> None:
    publisher(server).publish([DAILY])
    server.sheet("Daily").widths[1] = 300
    publisher(server).publish([DAILY])
    assert server.sheet("Daily").widths[1] == 300


def test_a_column_of_metrics_is_shown_by_the_type_of_each(server: SheetsServer) -> None:
    rows = [("Attempts", 3), ("Success", Percent(50)), ("Trend", Percent(-4)), ("Mean", 1.5)]
    columns = (Column("metric", "Metric"), Column("value", "Value", "value"))
    publisher(server).publish([Tab("Report", columns, rows, NOTE)])
    cells = server.sheet("Report").cells
    kinds = [cells[(n, 1)]["userEnteredFormat"]["numberFormat"]["type"] for n in range(1, 5)]
    assert kinds == ["NUMBER", "PERCENT", "PERCENT", "NUMBER"]
    assert server.column("Report", "Value")[:4] == [3, 0.5, -0.04, 1.5]


def test_text_is_written_as_text_and_never_interpreted(server: SheetsServer) -> None:
    columns = (Column("task", "Task"), Column("link", "Link"))
    rows = [('=IMPORTXML("http://evil")', "+1+1"), ("007", "2025-07-24")]
    publisher(server).publish([Tab("Tasks", columns, rows, NOTE)])
    written = [
        server.sheet("Tasks").cells[(r, c)]["userEnteredValue"] for r in (1, 2) for c in (0, 1)
    ]
    assert written == [
        {"stringValue": '=IMPORTXML("http://evil")'},
        {"stringValue": "+1+1"},
        {"stringValue": "007"},
        {"stringValue": "2025-07-24"},
    ]


def test_a_filter_that_hides_rows_from_everybody_is_taken_off(server: SheetsServer) -> None:
    publisher(server).publish([DAILY])
    server.sheet("Daily").basic_filter = {"range": {}}
    publisher(server).publish([DAILY])
    assert server.sheet("Daily").basic_filter is None


def test_cells_that_a_person_merged_over_ours_are_parted(server: SheetsServer) -> None:
    publisher(server).publish([DAILY])
    sheet = server.sheet("Daily")
    ours = {"sheetId": sheet.sheet_id, "startColumnIndex": 0, "endColumnIndex": 2}
    theirs = {"sheetId": sheet.sheet_id, "startColumnIndex": 7, "endColumnIndex": 9}
    sheet.merges = [ours, theirs]
    publisher(server).publish([DAILY])
    assert server.sheet("Daily").merges == [theirs]


def test_a_tab_grows_beyond_the_grid_it_was_made_with(server: SheetsServer) -> None:
    publisher(server).publish([DAILY])
    first = date(2022, 1, 1)
    rows = [(first + timedelta(days=n), n, None) for n in range(1500)]
    publisher(server).publish([Tab("Daily", COLUMNS, rows, NOTE)])
    assert len(server.grid("Daily")) == 1 + 1500 + 2


def test_a_chart_that_a_person_moved_stays_there_and_a_second_copy_is_deleted(
    server: SheetsServer,
) -> None:
    chart = Chart("By day", "line", "Daily", "day", ("attempts",))
    tabs = [DAILY, Tab("Report", COLUMNS, [], NOTE, charts=(chart,))]
    publisher(server).publish(tabs)
    charts = server.sheet("Report").charts
    charts[0]["position"] = {"moved": True}
    charts.append({**charts[0], "chartId": 9})
    charts.append({"chartId": 10, "spec": {"title": "A person's own"}})
    publisher(server).publish(tabs)
    assert [(c["chartId"], c.get("position")) for c in server.sheet("Report").charts] == [
        (1, {"moved": True}),
        (10, None),
    ]


def test_the_spreadsheet_may_be_named_by_its_whole_address(server: SheetsServer) -> None:
    address = f"https://docs.google.com/spreadsheets/d/{server.spreadsheet_id}/edit#gid=0"
    sheets = publisher(server, spreadsheet_id=address)
    sheets.publish([DAILY])
    assert server.grid("Daily") == PUBLISHED
    assert sheets.url == f"https://docs.google.com/spreadsheets/d/{server.spreadsheet_id}"


# D1: what passes by itself.


@pytest.mark.parametrize(
    ("status", "times", "body"),
    [
        (429, 8, None),
        (500, 3, None),
        (503, 3, None),
        (502, 2, HTML_502),
        (LOST_CONNECTION, 2, None),
    ],
)
@pytest.mark.parametrize("on", ["read", "write"])
def test_a_failing_google_is_asked_again_and_each_day_is_there_once(
    server: SheetsServer, status: int, times: int, body: str | None, on: str
) -> None:
    server.fail(status, times, on=on, body=body)
    publisher(server).publish([DAILY])
    assert server.grid("Daily") == PUBLISHED


@pytest.mark.parametrize(
    ("status", "body"), [(503, None), (502, HTML_502), (LOST_CONNECTION, None)]
)
def test_a_failing_sign_in_is_tried_again(
    server: SheetsServer, status: int, body: str | None
) -> None:
    server.fail(status, 1, on="token", body=body)
    publisher(server).publish([DAILY])
    assert server.grid("Daily") == PUBLISHED


@pytest.mark.parametrize("status", [LOST_CONNECTION, 500, 502])
def test_an_answer_that_is_lost_after_the_write_leaves_each_day_there_once(
    server: SheetsServer, status: int
) -> None:
    server.fail(status, on="write", after_write=True)
    publisher(server).publish([DAILY])
    assert server.grid("Daily") == PUBLISHED
    assert server.titles == ["Sheet1", "Daily"]


def test_rows_put_in_by_a_write_whose_answer_was_lost_are_not_put_in_twice(
    server: SheetsServer,
) -> None:
    publisher(server).publish([Tab("Daily", COLUMNS, DAILY.rows[1:], NOTE)])
    server.enter("Daily", 0, 3, "Remark")
    server.enter("Daily", 1, 3, "exam")
    server.fail(LOST_CONNECTION, on="write", after_write=True)
    publisher(server).publish([DAILY])
    assert server.grid("Daily")[1:3] == [[45862, 3, 0.5], [45863, 5, "", "exam"]]


def test_a_page_of_a_proxy_instead_of_json_is_asked_again(server: SheetsServer) -> None:
    server.fail(200, on="read", body="<html>Sign in to the Wi-Fi</html>")
    publisher(server).publish([DAILY])
    assert server.grid("Daily") == PUBLISHED


def test_retry_after_is_kept_to(server: SheetsServer) -> None:
    server.fail(429, on="read", Retry_After="0")
    publisher(server).publish([DAILY])
    server.fail(429, on="read", Retry_After="3600")
    assert fault_of(publisher(server)) == "sheet.busy"
    server.fail(503, on="read", Retry_After="Fri, 31 Dec 2100 23:59:59 GMT")
    assert fault_of(publisher(server)) == "sheet.failing"


@pytest.mark.parametrize("odd", ["abc", "-1", "1e9", "²"])
def test_a_retry_after_that_says_nothing_is_left_out_of_account(
    server: SheetsServer, odd: str
) -> None:
    server.fail(429, on="write", Retry_After=odd.encode().decode("latin-1"))
    publisher(server).publish([DAILY])
    assert server.grid("Daily") == PUBLISHED


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (429, None, "sheet.busy"),
        (503, None, "sheet.failing"),
        (502, HTML_502, "sheet.failing"),
        (502, '{"error": "bad gateway"}', "sheet.unreachable"),
        (502, '{"error": {"message": "bad gateway"}}', "sheet.unreachable"),
        (200, '{"message": "please sign in"}', "sheet.unreachable"),
        (LOST_CONNECTION, None, "sheet.unreachable"),
    ],
)
def test_a_failure_that_outlasts_the_budget_is_a_temporary_fault(
    server: SheetsServer, status: int, body: str | None, code: str
) -> None:
    server.fail(status, 10_000, on="read", body=body)
    with pytest.raises(TemporaryFault) as raised:
        publisher(server, budget_s=0.1).publish([DAILY])
    assert raised.value.code == code


def test_a_missing_server_is_a_temporary_fault(server: SheetsServer) -> None:
    nowhere = publisher(server, api_url="http://127.0.0.1:9", budget_s=0.05)
    assert fault_of(nowhere) == "sheet.unreachable"


def test_an_answer_that_never_comes_is_waited_for_a_set_time(server: SheetsServer) -> None:
    server.before_write = lambda: time.sleep(1)
    sheets = publisher(server, timeout_s=0.1, budget_s=0.05)
    assert fault_of(sheets) == "sheet.unreachable"


# D2: what someone must mend.


def test_a_spreadsheet_that_is_not_shared_says_with_whom_to_share_it(server: SheetsServer) -> None:
    server.is_shared = False
    with pytest.raises(PermanentFault) as raised:
        publisher(server).publish([DAILY])
    assert raised.value.code == "sheet.not_shared"
    assert ADDRESS in raised.value.remedy("en")
    assert ADDRESS in raised.value.remedy("ru")
    assert server.calls == ["token", "read"]


def test_a_spreadsheet_shared_for_reading_only_is_not_shared(server: SheetsServer) -> None:
    server.is_read_only = True
    assert fault_of(publisher(server)) == "sheet.not_shared"
    assert calls(server, "write") == 1


def test_another_spreadsheet_is_not_found(server: SheetsServer) -> None:
    assert fault_of(publisher(server, spreadsheet_id="another")) == "sheet.not_found"
    assert calls(server, "read") == 1


def test_a_project_without_the_api_is_distinguished_from_a_sheet_that_is_not_shared(
    server: SheetsServer,
) -> None:
    info = {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "SERVICE_DISABLED"}
    error = {"code": 403, "message": "In any words.", "details": [{"links": []}, info]}
    server.fail(403, body=json.dumps({"error": error}), on="read")
    assert fault_of(publisher(server)) == "sheet.api_disabled"


def test_a_revoked_key_is_refused_and_not_tried_again(server: SheetsServer) -> None:
    server.is_revoked = True
    assert fault_of(publisher(server)) == "sheet.credentials_refused"
    assert server.calls == ["token"]


def test_a_wrong_clock_is_named_as_the_cause(server: SheetsServer) -> None:
    server.clock = lambda: time.time() - 86_400
    assert fault_of(publisher(server)) == "sheet.clock"
    assert server.calls == ["token"]


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "no base64 at all!",
        base64.b64encode(b"no json").decode(),
        base64.b64encode(b"[]").decode(),
    ],
)
def test_unreadable_credentials_are_named(server: SheetsServer, broken: str) -> None:
    assert fault_of(publisher(server, credentials_base64=broken)) == "sheet.credentials_unreadable"
    assert server.calls == []


def test_a_broken_private_key_is_not_shown(server: SheetsServer) -> None:
    key = "-----BEGIN PRIVATE KEY-----\nSECRETSECRET\n-----END PRIVATE KEY-----"
    sheets = publisher(server, credentials_base64=server.credentials_base64(private_key=key))
    with pytest.raises(PermanentFault) as raised:
        sheets.publish([DAILY])
    assert raised.value.code == "sheet.credentials_unreadable"
    assert "SECRETSECRET" not in str(raised.value)
    assert raised.value.__suppress_context__


def test_credentials_wrapped_over_lines_are_read(server: SheetsServer) -> None:
    whole = server.credentials_base64()
    lines = "\n".join(whole[n : n + 76] for n in range(0, len(whole), 76))
    publisher(server, credentials_base64=f"{lines}\n").publish([DAILY])
    assert server.grid("Daily") == PUBLISHED


def test_the_credentials_are_in_no_repr_and_masked_in_the_page(server: SheetsServer) -> None:
    sheets = publisher(server)
    assert server.credentials_base64()[:40] not in repr(sheets)
    schema = GoogleSheets.model_fields["credentials_base64"].json_schema_extra
    assert schema == {"dagster__is_secret": True}


def test_a_permanent_refusal_of_google_is_shown_with_its_reason(server: SheetsServer) -> None:
    message = "You are trying to edit a protected cell or object."
    body = json.dumps({"error": {"code": 400, "message": message}})
    server.fail(400, 1, on="write", body=body)
    with pytest.raises(PermanentFault, match="protected cell"):
        publisher(server).publish([DAILY])
    assert calls(server, "write") == 1


def test_the_check_tells_what_a_publication_would_meet(server: SheetsServer) -> None:
    publisher(server).check()
    assert server.titles == ["Sheet1"]
    server.is_read_only = True
    with pytest.raises(PermanentFault) as raised:
        publisher(server).check()
    assert raised.value.code == "sheet.not_shared"


# D4, D5, D6.


def test_two_publishers_at_once_leave_each_day_there_once(server: SheetsServer) -> None:
    server.writes_per_minute = 1_000
    tabs = [DAILY, Tab("Report", COLUMNS, DAILY.rows, NOTE)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: publisher(server).publish(tabs), range(8)))
    assert server.titles == ["Sheet1", "Daily", "Report"]
    assert server.grid("Daily") == PUBLISHED == server.grid("Report")


def test_a_tab_that_another_publisher_made_in_between_is_no_crash(server: SheetsServer) -> None:
    def once() -> None:
        server.before_write = lambda: None
        copy = type(server.sheets[0])(77, "Daily")
        server.sheets.append(copy)

    server.before_write = once
    publisher(server).publish([DAILY])
    assert server.grid("Daily") == PUBLISHED


def test_a_year_of_days_is_complete_after_one_write(server: SheetsServer) -> None:
    first = date(2024, 1, 1)
    rows = [(first + timedelta(days=n), n, float(n % 100)) for n in range(365)]
    publisher(server).publish([Tab("Daily", COLUMNS, rows, NOTE)])
    assert calls(server, "write") == 1
    assert server.column("Daily", "Date")[:365] == [45292 + n for n in range(365)]


def test_a_quota_used_up_is_waited_for(server: SheetsServer) -> None:
    server.writes_per_minute = 1
    moment = time.time()
    server.clock = lambda: moment + 13 * len(server.calls)
    publisher(server).publish([DAILY])
    publisher(server).publish([Tab("Daily", COLUMNS, DAILY.rows[:1], NOTE)])
    assert len(server.grid("Daily")) == 4


def test_a_write_that_is_refused_changes_nothing(server: SheetsServer) -> None:
    publisher(server).publish([DAILY])
    before = server.grid("Daily")
    server.fail(400, 1, on="write", body=json.dumps({"error": {"code": 400, "message": "no"}}))
    with pytest.raises(PermanentFault):
        publisher(server).publish([Tab("Daily", COLUMNS, [], NOTE)])
    assert server.grid("Daily") == before


def test_the_resource_serves_an_asset(server: SheetsServer) -> None:
    @dg.asset
    def sheet(google_sheets: GoogleSheets) -> None:
        google_sheets.publish([DAILY])

    result = dg.materialize([sheet], resources={"google_sheets": publisher(server)})
    assert result.success
    assert server.grid("Daily") == PUBLISHED


def test_netrc_signs_nobody_in(
    server: SheetsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R35: its default entry replaced Google's token, and the key was called revoked."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    publisher(server).check()
