"""What holds for the spreadsheet and for the workbook alike: one claim, both publishers."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openpyxl import Workbook, load_workbook

from lms_assets.embedded.workbook import WorkbookFile
from lms_assets.faults import PermanentFault
from lms_assets.resources.spreadsheet.google import GoogleSheets
from lms_assets.resources.spreadsheet.layout import last_cell, layout, rearranged, shown
from lms_assets.resources.spreadsheet.tabs import (
    Chart,
    Column,
    Percent,
    Tab,
    content,
    plain,
    serial,
)
from lms_assets_tests.sheets_server import SheetsServer

NOTE = "Made at 2025-07-27 04:00 UTC from 14 attempts of 3 days"
COLUMNS = (
    Column("day", "Date", "date"),
    Column("attempts", "Attempts", "integer"),
    Column("success_pct", "Success", "percent"),
)
JULY_24, JULY_25, JULY_26 = 45862, 45863, 45864
ROWS = [
    (date(2025, 7, 24), 3, 50.0),
    (date(2025, 7, 25), 5, None),
    (date(2025, 7, 26), 6, 12.5),
]


def daily(rows: list[tuple[Any, ...]] = ROWS, **other: object) -> Tab:
    return Tab("Daily", COLUMNS, rows, NOTE, **other)


class Desk(Protocol):
    """A spreadsheet with a person before it."""

    publisher: Any

    def enter(self, title: str, row: int, column: int, value: object) -> None: ...
    def swap_columns(self, title: str, one: int, other: int) -> None: ...
    def reverse_rows(self, title: str, count: int) -> None: ...
    def delete(self, title: str) -> None: ...
    def make(self, title: str) -> None: ...


class GoogleDesk:
    def __init__(self, server: SheetsServer) -> None:
        self.server = server
        self.publisher = GoogleSheets(
            credentials_base64=server.credentials_base64(),
            spreadsheet_id=server.spreadsheet_id,
            api_url=server.url,
            first_wait_s=0.001,
        )
        self.enter, self.delete = server.enter, server.delete
        self.swap_columns, self.reverse_rows = server.swap_columns, server.reverse_rows

    def make(self, title: str) -> None:
        self.server.sheets.append(type(self.server.sheets[0])(len(self.server.sheets), title))


class WorkbookDesk:
    def __init__(self, path: Path) -> None:
        self.path = path
        self.publisher = WorkbookFile(path=str(path))

    def enter(self, title: str, row: int, column: int, value: object) -> None:
        self._change(lambda book: book[title].cell(row + 1, column + 1).__setattr__("value", value))

    def swap_columns(self, title: str, one: int, other: int) -> None:
        def swap(book: Workbook) -> None:
            sheet = book[title]
            for row in range(1, sheet.max_row + 1):
                a, b = sheet.cell(row, one + 1), sheet.cell(row, other + 1)
                a.value, b.value = b.value, a.value
                a.number_format, b.number_format = b.number_format, a.number_format

        self._change(swap)

    def reverse_rows(self, title: str, count: int) -> None:
        def turn(book: Workbook) -> None:
            rows = list(book[title].iter_rows(min_row=2, max_row=count + 1))
            values = [[cell.value for cell in row] for row in reversed(rows)]
            for row, turned in zip(rows, values, strict=True):
                for cell, value in zip(row, turned, strict=True):
                    cell.value = value

        self._change(turn)

    def delete(self, title: str) -> None:
        self._change(lambda book: book.remove(book[title]))

    def make(self, title: str) -> None:
        self._change(lambda book: book.create_sheet(title))

    def _change(self, change: Callable[[Workbook], object]) -> None:
        book = load_workbook(self.path) if self.path.exists() else Workbook()
        change(book)
        if not book.worksheets:
            book.create_sheet("Sheet1")
        book.save(self.path)


@pytest.fixture(params=["google", "workbook"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    if request.param == "workbook":
        yield WorkbookDesk(tmp_path / "statistics.xlsx")
        return
    with SheetsServer() as server:
        yield GoogleDesk(server)


def held(desk: Desk, title: str = "Daily") -> list[list[Any]]:
    """What the worksheet holds, without the empty cells at the end of each row."""
    rows = [[None if cell == "" else cell for cell in row] for row in desk.publisher.read(title)]
    for row in rows:
        while row and row[-1] is None:
            row.pop()
    return rows


PUBLISHED = [
    ["Date", "Attempts", "Success"],
    [JULY_24, 3, 0.5],
    [JULY_25, 5],
    [JULY_26, 6, 0.125],
    [],
    [NOTE],
]


def test_a_published_sheet_is_read_back(desk: Desk) -> None:
    desk.publisher.publish([daily()])
    assert held(desk) == PUBLISHED


def test_published_twice_is_as_published_once(desk: Desk) -> None:
    desk.publisher.publish([daily()])
    desk.publisher.publish([daily()])
    assert held(desk) == PUBLISHED


def test_the_last_cell_says_when_and_from_what_it_was_made(desk: Desk) -> None:
    desk.publisher.publish([daily()])
    assert last_cell(desk.publisher.read("Daily")) == NOTE


def test_a_new_day_comes_below_the_others(desk: Desk) -> None:
    desk.publisher.publish([daily(ROWS[:2])])
    desk.publisher.publish([daily()])
    assert held(desk) == PUBLISHED


def test_rows_that_are_gone_leave_nothing_behind(desk: Desk) -> None:
    desk.publisher.publish([daily()])
    desk.publisher.publish([daily(ROWS[:1])])
    assert [row for row in held(desk) if row] == [PUBLISHED[0], PUBLISHED[1], [NOTE]]


def test_text_that_looks_like_a_formula_is_text(desk: Desk) -> None:
    texts = ["=IMPORTXML(1)", "+1", "-1", "@now", "007", "2025-07-24", "<script>", "a\nb", " x "]
    tab = Tab("Tasks", (Column("task", "Task"), Column("n", "N", "integer")), [], NOTE)
    tab = Tab(tab.title, tab.columns, [(text, 1) for text in texts], NOTE)
    desk.publisher.publish([tab])
    desk.publisher.publish([tab])
    assert [row[0] for row in held(desk, "Tasks")[1:-2]] == texts


def test_a_deleted_tab_is_rebuilt(desk: Desk) -> None:
    desk.publisher.publish([daily()])
    desk.delete("Daily")
    desk.publisher.publish([daily()])
    assert held(desk) == PUBLISHED


def test_an_emptied_tab_is_filled_again(desk: Desk) -> None:
    desk.make("Daily")
    desk.publisher.publish([daily()])
    assert held(desk) == PUBLISHED


def test_moved_columns_stay_where_they_were_moved(desk: Desk) -> None:
    desk.publisher.publish([daily(ROWS[:2])])
    desk.swap_columns("Daily", 1, 2)
    desk.publisher.publish([daily()])
    assert held(desk)[:4] == [
        ["Date", "Success", "Attempts"],
        [JULY_24, 0.5, 3],
        [JULY_25, None, 5],
        [JULY_26, 0.125, 6],
    ]


def test_an_edited_heading_is_refused_by_its_name_and_nothing_is_written(desk: Desk) -> None:
    desk.publisher.publish([daily(ROWS[:2])])
    desk.enter("Daily", 0, 1, "Tries")
    before = held(desk)
    with pytest.raises(PermanentFault, match=r'"Daily".*"Tries".*"Attempts"') as fault:
        desk.publisher.publish([daily()])
    assert fault.value.code == "sheet.heading_unknown"
    assert held(desk) == before


def test_one_refused_tab_keeps_all_others_from_being_written(desk: Desk) -> None:
    desk.publisher.publish([daily(ROWS[:1])])
    desk.make("Courses")
    desk.enter("Courses", 0, 0, "My own")
    before = held(desk)
    with pytest.raises(PermanentFault):
        desk.publisher.publish([daily(), Tab("Courses", COLUMNS, ROWS, NOTE)])
    assert held(desk) == before


def test_the_edited_heading_named_back_is_served_again(desk: Desk) -> None:
    desk.publisher.publish([daily(ROWS[:2])])
    desk.enter("Daily", 0, 1, "Tries")
    desk.enter("Daily", 0, 1, "Attempts")
    desk.publisher.publish([daily()])
    assert held(desk) == PUBLISHED


def test_a_deleted_column_comes_again_at_the_right_end(desk: Desk) -> None:
    desk.publisher.publish([daily()])
    for row in range(4):
        desk.enter("Daily", row, 1, None)
    desk.publisher.publish([daily()])
    assert held(desk)[:2] == [
        ["Date", None, "Success", "Attempts"],
        [JULY_24, None, 0.5, 3],
    ]


def test_an_earlier_systems_worksheet_of_the_same_title_is_left_alone(desk: Desk) -> None:
    desk.make("Daily")
    desk.enter("Daily", 0, 0, "Metric")
    desk.enter("Daily", 0, 1, "Value")
    with pytest.raises(PermanentFault, match="Metric"):
        desk.publisher.publish([daily()])
    assert held(desk) == [["Metric", "Value"]]


def test_other_tabs_are_left_alone(desk: Desk) -> None:
    desk.make("Отчет за 24.07")
    desk.enter("Отчет за 24.07", 4, 2, 105)
    desk.publisher.publish([daily()])
    assert held(desk, "Отчет за 24.07")[4] == [None, None, 105]


def test_a_persons_columns_are_left_alone(desk: Desk) -> None:
    desk.publisher.publish([daily(ROWS[:2])])
    desk.enter("Daily", 0, 3, "Remark")
    desk.enter("Daily", 1, 3, "holiday")
    desk.enter("Daily", 2, 3, "=B3*2")
    desk.enter("Daily", 20, 5, "far away")
    desk.publisher.publish([daily()])
    rows = held(desk)
    assert rows[0] == ["Date", "Attempts", "Success", "Remark"]
    assert rows[1] == [JULY_24, 3, 0.5, "holiday"]
    assert rows[2] == [JULY_25, 5, None, "=B3*2"]
    assert rows[3] == [JULY_26, 6, 0.125]
    assert rows[20] == [None, None, None, None, None, "far away"]


def test_a_persons_column_between_ours_is_left_alone(desk: Desk) -> None:
    desk.publisher.publish([daily(ROWS[:2])])
    desk.swap_columns("Daily", 2, 3)
    desk.enter("Daily", 0, 2, "Remark")
    desk.enter("Daily", 2, 2, "rain")
    desk.publisher.publish([daily()])
    assert held(desk)[:4] == [
        ["Date", "Attempts", "Remark", "Success"],
        [JULY_24, 3, None, 0.5],
        [JULY_25, 5, "rain"],
        [JULY_26, 6, None, 0.125],
    ]


def test_sorted_rows_are_put_in_order_and_remarks_stay_with_their_days(desk: Desk) -> None:
    desk.publisher.publish([daily()])
    desk.enter("Daily", 0, 3, "Remark")
    desk.enter("Daily", 1, 3, "first")
    desk.enter("Daily", 3, 3, "last")
    desk.reverse_rows("Daily", 3)
    desk.publisher.publish([daily()])
    assert held(desk)[1:4] == [
        [JULY_24, 3, 0.5, "first"],
        [JULY_25, 5],
        [JULY_26, 6, 0.125, "last"],
    ]


def test_earlier_days_that_are_loaded_later_do_not_shift_remarks(desk: Desk) -> None:
    desk.publisher.publish([daily(ROWS[2:])])
    desk.enter("Daily", 0, 3, "Remark")
    desk.enter("Daily", 1, 3, "exam")
    desk.publisher.publish([daily()])
    assert held(desk)[1:4] == [[JULY_24, 3, 0.5], [JULY_25, 5], [JULY_26, 6, 0.125, "exam"]]


def test_a_persons_formula_follows_its_row_in_the_workbook(tmp_path: Path) -> None:
    desk = WorkbookDesk(tmp_path / "statistics.xlsx")
    desk.publisher.publish([daily(ROWS[2:])])
    desk.enter("Daily", 0, 3, "Twice")
    desk.enter("Daily", 1, 3, "=B2*2")
    desk.publisher.publish([daily()])
    assert held(desk)[3] == [JULY_26, 6, 0.125, "=B4*2"]


def test_a_remark_on_a_row_that_is_gone_is_kept_and_never_gets_another_key(desk: Desk) -> None:
    desk.publisher.publish([daily()])
    desk.enter("Daily", 0, 3, "Remark")
    desk.enter("Daily", 1, 3, "about the 24th")
    desk.publisher.publish([daily(ROWS[1:])])
    rows = held(desk)
    remark = [row for row in rows if "about the 24th" in row]
    assert [row[0] for row in rows[1:3]] == [JULY_25, JULY_26]
    assert remark in (
        [[None, None, None, "about the 24th"]],
        [[NOTE, None, None, "about the 24th"]],
    )


def test_a_row_above_the_headings_is_left_alone(desk: Desk) -> None:
    desk.make("Daily")
    desk.enter("Daily", 0, 0, "Our course")
    for column, heading in enumerate(("Date", "Attempts", "Success")):
        desk.enter("Daily", 1, column, heading)
    desk.publisher.publish([daily()])
    assert held(desk) == [["Our course"], *PUBLISHED]


def test_a_tab_that_is_not_wanted_is_emptied_and_not_made(desk: Desk) -> None:
    wanted = daily()
    unwanted = daily([], made_if_missing=False)
    desk.make("Other")
    desk.publisher.publish([unwanted])
    assert held(desk) == []
    desk.publisher.publish([wanted])
    desk.publisher.publish([unwanted])
    assert [row for row in held(desk) if row] == [PUBLISHED[0], [NOTE]]


def test_of_the_tabs_per_day_the_newest_stay_and_a_persons_stay_too(desk: Desk) -> None:
    desk.make("Отчет за 24.07")
    desk.enter("Отчет за 24.07", 0, 0, "Metric")
    first = date(2025, 7, 1)
    for day in (first + timedelta(days=n) for n in range(4)):
        title = f"Отчет за {day}"
        tab = Tab(title, COLUMNS, ROWS, NOTE, series="Отчет за ", kept=2)
        desk.publisher.publish([daily(), tab])
    read = desk.publisher.read_all([f"Отчет за 2025-07-0{n}" for n in range(1, 5)])
    assert [bool(grid) for grid in read.values()] == [False, False, True, True]
    assert held(desk, "Отчет за 24.07") == [["Metric"]]


def test_an_older_day_than_the_newest_kept_makes_no_tab(desk: Desk) -> None:
    days = ["2025-07-02", "2025-07-03", "2025-07-01"]
    for day in days:
        tab = Tab(f"Report {day}", COLUMNS, ROWS, NOTE, series="Report ", kept=2)
        desk.publisher.publish([daily(), tab])
    assert held(desk, "Report 2025-07-01") == []


def test_charts_are_there_once_however_often_they_are_published(desk: Desk) -> None:
    chart = Chart("Attempts by day", "line", "Daily", "day", ("attempts", "success_pct"))
    report = Tab("Report", COLUMNS, ROWS, NOTE, charts=(chart,))
    desk.publisher.publish([daily(ROWS[:1]), report])
    desk.publisher.publish([daily(), report])
    if isinstance(desk, GoogleDesk):
        charts = desk.server.sheet("Report").charts
        sources = charts[0]["spec"]["basicChart"]["domains"][0]["domain"]["sourceRange"]["sources"]
        assert (len(charts), sources[0]["endRowIndex"]) == (1, 4)
    else:
        charts = load_workbook(desk.path)["Report"]._charts  # type: ignore[attr-defined]
        assert (len(charts), charts[0].series[0].val.numRef.f) == (1, "'Daily'!$B$2:$B$4")


# The rules by themselves.


def test_cells_are_stored_as_spreadsheets_store_them() -> None:
    assert serial(date(2025, 7, 24)) == 45862
    assert plain(datetime(2025, 7, 24, 12, tzinfo=UTC), "datetime") == 45862.5
    assert plain(datetime(2025, 7, 24, 12), "datetime") == 45862.5  # noqa: DTZ001
    assert plain(Decimal("2.50"), "number") == 2.5
    assert plain(41.0, "percent") == 0.41
    assert plain(Percent(41.0), "value") == 0.41
    assert plain(41.0, "value") == 41
    assert plain(float("nan"), "number") is None
    assert plain("x" * 60_000, "text") == "x" * 999 + "…"
    assert plain("a\x00b\x1f\ud800", "text") == "a\ufffdb\ufffd\ufffd"


def test_a_column_that_a_later_version_adds_comes_beside_a_persons_own() -> None:
    grid = [["Date", "Remark", "Success"], [JULY_24, "mine", 0.5]]
    place = layout(Tab("Daily", (*COLUMNS[::2], Column("n", "New", "integer")), [], NOTE), grid)
    assert place.places == (0, 2, 3)


KEYS = st.lists(st.integers(0, 30), unique=True, max_size=12)


@given(KEYS, KEYS, st.dictionaries(st.integers(0, 15), st.text(min_size=1, max_size=3)))
def test_whatever_was_sorted_added_or_lost_a_remark_stays_with_its_key(
    held_keys: list[int], wanted: list[int], remarks: dict[int, str]
) -> None:
    columns = (Column("key", "Key", "integer"), Column("n", "N", "integer"))
    tab = Tab("T", columns, [(key, 1) for key in wanted], NOTE)
    height = max([len(held_keys), *(row + 1 for row in remarks)], default=0)
    grid: list[list[Any]] = [["Key", "N", "Remark"]]
    for row in range(height):
        known = [held_keys[row], 1] if row < len(held_keys) else [None, None]
        grid.append([*known, remarks.get(row)])

    place = layout(tab, grid)
    order = rearranged(height, place.steps)
    theirs = [None if was is None else grid[1 + was][2] for was in order]
    ours = content(tab, place.height)

    for row, key in enumerate(held_keys):
        if row in remarks:
            beside = [ours[at][0] for at, was in enumerate(order) if was == row]
            assert beside == [key] if key in wanted else beside[0] not in wanted
    for key, remark in zip([row[0] for row in ours[: len(wanted)]], theirs, strict=False):
        assert remark is None or held_keys.index(key) in remarks
    assert sorted(filter(None, theirs)) == sorted(remarks.values())


@given(KEYS)
def test_what_is_laid_out_is_shown_again(keys: list[int]) -> None:
    tab = Tab("T", COLUMNS[1:], [(key, None) for key in keys], NOTE)
    grid = [["Attempts", "Success"], *content(tab, layout(tab, []).height)]
    assert shown(tab, grid) == [[key, None] for key in keys]
