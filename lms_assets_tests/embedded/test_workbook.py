"""What only the workbook file has to keep; the claims it shares with the spreadsheet are there."""

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from zipfile import ZipFile

import pytest
from openpyxl import load_workbook
from openpyxl.comments import Comment

from lms_assets.embedded.workbook import WorkbookFile
from lms_assets.faults import PermanentFault
from lms_assets.resources.spreadsheet.tabs import Column, Tab

NOTE = "Made at 2025-07-27 04:00 UTC from 8 attempts of 2 days"
COLUMNS = (
    Column("day", "Date", "date"),
    Column("attempts", "Attempts", "integer"),
    Column("success_pct", "Success", "percent"),
)
DAILY = Tab("Daily", COLUMNS, [(date(2025, 7, 24), 3, 50.0), (date(2025, 7, 25), 5, None)], NOTE)


@pytest.fixture
def book(tmp_path: Path) -> WorkbookFile:
    return WorkbookFile(path=str(tmp_path / "home" / "statistics.xlsx"))


def test_the_workbook_and_its_folder_are_made(book: WorkbookFile) -> None:
    book.publish([DAILY])
    assert load_workbook(book.path).sheetnames == ["Daily"]
    assert book.url == Path(book.path).as_uri()


def test_dates_are_dates_and_percentages_are_shown_as_such(book: WorkbookFile) -> None:
    book.publish([DAILY])
    sheet = load_workbook(book.path)["Daily"]
    assert (sheet["A2"].value, sheet["A2"].number_format) == (datetime(2025, 7, 24), "yyyy-mm-dd")  # noqa: DTZ001
    assert (sheet["C2"].value, sheet["C2"].number_format) == (0.5, "0.0%")
    assert (sheet["B2"].value, sheet["B2"].number_format) == (3, "#,##0")


def test_headings_are_bold_and_frozen_and_columns_have_widths(book: WorkbookFile) -> None:
    book.publish([DAILY])
    sheet = load_workbook(book.path)["Daily"]
    assert [cell.font.bold for cell in sheet[1]] == [True, True, True]
    assert sheet.freeze_panes == "A2"
    assert round(sheet.column_dimensions["A"].width * 7) == 95


def test_the_row_of_headings_is_as_high_as_the_longest_of_them(book: WorkbookFile) -> None:
    long = Column("p90", "Attempts to solve, 90th percentile", "number")
    tab = Tab("Tasks", (Column("task", "Task"), long), [("a", 1.5)], NOTE)
    book.publish([tab])
    sheet = load_workbook(book.path)["Tasks"]
    assert sheet.row_dimensions[1].height == 45
    assert (sheet["A1"].font.name, sheet["A1"].font.b) == (sheet["A2"].font.name, True)


def test_a_height_that_a_person_gave_to_the_headings_is_kept(book: WorkbookFile) -> None:
    tab = Tab("Tasks", (Column("task", "Task"),), [("a",)], NOTE)
    book.publish([tab])
    changed = load_workbook(book.path)
    changed["Tasks"].row_dimensions[1].height = 70
    changed.save(book.path)
    book.publish([tab])
    assert load_workbook(book.path)["Tasks"].row_dimensions[1].height == 70


def test_a_text_that_looks_like_a_formula_is_stored_as_text(book: WorkbookFile) -> None:
    tab = Tab("Tasks", (Column("task", "Task"),), [("=1+1",), ("@now",), ("plain",)], NOTE)
    book.publish([tab])
    cells = [row[0] for row in load_workbook(book.path)["Tasks"]["A2:A4"]]
    assert [cell.data_type for cell in cells] == ["s", "s", "s"]
    assert [cell.quotePrefix for cell in cells] == [True, True, False]


def test_a_persons_comment_and_colour_follow_their_row(book: WorkbookFile) -> None:
    book.publish([Tab("Daily", COLUMNS, DAILY.rows[1:], NOTE)])
    opened = load_workbook(book.path)
    opened["Daily"]["E1"] = "Remark"
    opened["Daily"]["E2"] = "exam"
    opened["Daily"]["E2"].comment = Comment("by me", "me")
    opened["Daily"]["E2"].number_format = "0.00"
    opened.save(book.path)
    book.publish([DAILY])
    cell = load_workbook(book.path)["Daily"]["E3"]
    assert (cell.value, cell.comment.text, cell.number_format) == ("exam", "by me", "0.00")


def test_rows_that_a_filter_hid_are_seen_again(book: WorkbookFile) -> None:
    book.publish([DAILY])
    opened = load_workbook(book.path)
    opened["Daily"].auto_filter.ref = "A1:C3"
    opened["Daily"].auto_filter.add_filter_column(1, ["5"])
    opened["Daily"].row_dimensions[2].hidden = True
    opened.save(book.path)
    book.publish([DAILY])
    sheet = load_workbook(book.path)["Daily"]
    assert not sheet.row_dimensions[2].hidden
    assert (sheet.auto_filter.ref, sheet.auto_filter.filterColumn) == ("A1:C3", [])


def test_cells_that_a_person_merged_over_ours_are_parted(book: WorkbookFile) -> None:
    book.publish([DAILY])
    opened = load_workbook(book.path)
    opened["Daily"].merge_cells("A2:B3")
    opened.save(book.path)
    book.publish([DAILY])
    sheet = load_workbook(book.path)["Daily"]
    assert [cell.value for cell in sheet[3]] == [datetime(2025, 7, 25), 5, None]  # noqa: DTZ001


def later(tab: Tab) -> Tab:
    return replace(tab, note=NOTE.replace("04:00", "05:00"))


def test_a_workbook_that_shows_the_figures_already_is_not_written_again(
    book: WorkbookFile,
) -> None:
    book.publish([DAILY])
    before = Path(book.path).stat()
    assert book.publish([later(DAILY)]) == ["Daily"]
    assert Path(book.path).stat() == before


def test_a_workbook_that_a_person_damaged_is_mended_by_the_same_figures(
    book: WorkbookFile,
) -> None:
    book.publish([DAILY])
    opened = load_workbook(book.path)
    opened["Daily"]["B2"] = 4
    opened.save(book.path)
    book.publish([DAILY])
    assert load_workbook(book.path)["Daily"]["B2"].value == 3
    Path(book.path).unlink()
    book.publish([DAILY])
    assert load_workbook(book.path)["Daily"]["B2"].value == 3


def test_other_figures_replace_those_that_were_shown(book: WorkbookFile) -> None:
    book.publish([DAILY])
    other = replace(DAILY, rows=[(date(2025, 7, 24), 4, 50.0)], note=NOTE)
    book.publish([other])
    book.publish([DAILY])
    assert load_workbook(book.path)["Daily"]["B2"].value == 3


def test_what_is_known_of_the_last_writing_may_be_lost_or_cut_short(book: WorkbookFile) -> None:
    book.publish([DAILY])
    (known,) = Path(book.path).parent.glob(".*.written")
    known.write_bytes(known.read_bytes()[:20])
    book.publish([later(DAILY)])
    assert load_workbook(book.path)["Daily"]["A5"].value == later(DAILY).note
    known.unlink()
    book.publish([DAILY])
    assert load_workbook(book.path)["Daily"]["A5"].value == NOTE


class InterruptedRows(list[tuple[date, int, float]]):
    def __iter__(self) -> Iterator[tuple[date, int, float]]:
        yield date(2025, 7, 24), 1, 1.0
        raise KeyboardInterrupt


def test_a_publication_that_is_interrupted_leaves_the_workbook_as_it_was(
    book: WorkbookFile,
) -> None:
    book.publish([DAILY])
    before = Path(book.path).read_bytes()
    first = Tab("Courses", COLUMNS, [], NOTE)
    with pytest.raises(KeyboardInterrupt):
        book.publish([first, Tab("Daily", COLUMNS, InterruptedRows(), NOTE)])
    assert Path(book.path).read_bytes() == before
    assert [file.name for file in Path(book.path).parent.glob("*.xlsx")] == ["statistics.xlsx"]


def test_a_file_that_is_no_workbook_is_refused_and_kept(book: WorkbookFile) -> None:
    Path(book.path).parent.mkdir()
    Path(book.path).write_bytes(b"my notes")
    for call in (book.check, lambda: book.publish([DAILY]), lambda: book.read("Daily")):
        with pytest.raises(PermanentFault) as raised:
            call()
        assert raised.value.code == "sheet.workbook_unreadable"
    assert Path(book.path).read_bytes() == b"my notes"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    book = WorkbookFile(path=str(tmp_path / "file" / "statistics.xlsx"))
    with pytest.raises(PermanentFault) as raised:
        book.publish([DAILY])
    assert raised.value.code == "sheet.workbook_unwritable"


def test_a_sound_workbook_passes_the_check_and_is_not_made_by_it(book: WorkbookFile) -> None:
    book.check()
    assert not Path(book.path).exists()
    book.publish([DAILY])
    book.check()


def test_two_publishers_at_once_leave_each_day_there_once(book: WorkbookFile) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: WorkbookFile(path=book.path).publish([DAILY]), range(8)))
    assert len(load_workbook(book.path)["Daily"]["A"]) == 5
    assert [file.name for file in Path(book.path).parent.glob("*.xlsx")] == ["statistics.xlsx"]


def _with_part(path: Path, name: str, content: str) -> None:
    """The workbook holds a part as a spreadsheet program writes it."""
    with ZipFile(path, "a") as parts:
        parts.writestr(name, content)


@pytest.mark.parametrize(
    ("part", "content", "what"),
    [
        ("xl/drawings/drawing9.xml", "<xdr:wsDr><xdr:pic/></xdr:wsDr>", "picture"),
        ("xl/drawings/drawing9.xml", '<xdr:wsDr><xdr:sp macro=""/></xdr:wsDr>', "text box"),
        ("xl/worksheets/sheet9.xml", '<x14:sparklineGroup type="column">', "sparkline"),
    ],
)
def test_a_workbook_is_refused_before_something_of_a_persons_is_lost(
    book: WorkbookFile, part: str, content: str, what: str
) -> None:
    """R48"""
    book.publish([DAILY])
    _with_part(Path(book.path), part, content)
    before = Path(book.path).read_bytes()
    with pytest.raises(PermanentFault) as fault:
        book.publish([DAILY])
    assert fault.value.code == "sheet.workbook_would_lose"
    assert what in str(fault.value)
    assert Path(book.path).read_bytes() == before


def test_the_workbooks_mode_and_link_are_kept(book: WorkbookFile, tmp_path: Path) -> None:
    """R48"""
    book.publish([DAILY])
    Path(book.path).chmod(0o664)
    link = tmp_path / "link.xlsx"
    link.symlink_to(book.path)
    WorkbookFile(path=str(link)).publish([DAILY])
    assert link.is_symlink()
    assert stat.S_IMODE(Path(book.path).stat().st_mode) == 0o664
