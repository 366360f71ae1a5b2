from pathlib import Path

import pytest

from lms_assets.settings import SettingsError
from lms_assets.statistics.names import Names, read_names, read_staff

COURSE = "course-v1:RECODEX+G1+2017"
TASK = "lms.example.org-149feaba1e43363e92490fe56f35ee03"


def names_of(tmp_path: Path, content: str | bytes) -> Names:
    file = tmp_path / "names.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_names(file)


def test_a_task_and_its_course_are_called_by_their_titles(tmp_path: Path) -> None:
    names = names_of(
        tmp_path,
        "course,task,title,link\n"
        f"{COURSE},,Programming,https://lms.example.org/c\n"
        f'{COURSE},{TASK},"Loops, nested",https://lms.example.org/t\n',
    )
    assert names.course_title(COURSE) == "Programming"
    assert names.course_link(COURSE) == "https://lms.example.org/c"
    assert names.task_title(COURSE, TASK) == "Loops, nested"
    assert names.task_link(COURSE, TASK) == "https://lms.example.org/t"


def test_a_task_may_be_named_by_its_block_alone(tmp_path: Path) -> None:
    block = "149feaba1e43363e92490fe56f35ee03"
    names = names_of(tmp_path, f"course,task,title,link\n{COURSE},{block},Loops,\n")
    assert names.task_title(COURSE, TASK) == "Loops"
    assert names.task_title("course-v1:OTHER+G1+2017", TASK) == "…6f35ee03"


def test_a_course_or_task_without_a_name_is_shown_by_a_short_id() -> None:
    names = read_names(None)
    assert names.course_title(COURSE) == "RECODEX+G1+2017"
    assert names.task_title(COURSE, TASK) == "…6f35ee03"
    assert names.task_title("moodle", "7") == "7"
    assert names.task_link(COURSE, TASK) == names.course_link(COURSE) == ""


def test_an_empty_title_leaves_the_short_id_and_keeps_the_link(tmp_path: Path) -> None:
    names = names_of(tmp_path, f"course,task,title,link\n{COURSE},{TASK},,http://a.example/t\n")
    assert names.task_title(COURSE, TASK) == "…6f35ee03"
    assert names.task_link(COURSE, TASK) == "http://a.example/t"


def test_a_file_from_a_spreadsheet_program_is_read(tmp_path: Path) -> None:
    content = f"course;task;title;link\r\n{COURSE};{TASK};Циклы, вложенные;\r\n\r\n"
    names = names_of(tmp_path, b"\xef\xbb\xbf" + content.encode())
    assert names.task_title(COURSE, TASK) == "Циклы, вложенные"


def test_columns_may_stand_in_another_order(tmp_path: Path) -> None:
    names = names_of(tmp_path, f"title,link,task,course\nLoops,,{TASK},{COURSE}\n")
    assert names.task_title(COURSE, TASK) == "Loops"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("", "line 1 must be the heading course,task,title,link"),
        ("course,title\nc,t\n", "line 1 must be the heading course,task,title,link"),
        ("course,task,title,link\nc,t,title\n", "line 2 does not have 4 fields"),
        ("course,task,title,link\nc,t,one,two,three\n", "line 2 does not have 4 fields"),
        ("course,task,title,link\n,t,title,\n", "line 2 has no course"),
        (
            "course,task,title,link\nc,t,title,javascript:alert(1)\n",
            "line 2 has a link that does not begin with https:// or http://",
        ),
        (
            "course,task,title,link\nc,t,one,\nc,t,other,\n",
            "line 3 names again what is named above",
        ),
        (b"course,task,title,link\nc,t,\xcf\xf0\xe8,\n", "is not UTF-8 text: save it as UTF-8"),
        ("course,task,title,link\nc,t,a\0b,\n", "holds a NUL character"),
    ],
)
def test_a_names_file_that_could_be_misread_is_refused_by_its_line(
    tmp_path: Path, content: str | bytes, says: str
) -> None:
    with pytest.raises(SettingsError) as refusal:
        names_of(tmp_path, content)
    assert str(refusal.value).startswith("LMS_NAMES: ")
    assert says in str(refusal.value)


def test_staff_are_the_lines_of_the_file(tmp_path: Path) -> None:
    file = tmp_path / "staff.txt"
    file.write_bytes(b"\xef\xbb\xbfteacher-1\r\n\r\n  teacher-2 \r\nteacher-1\r\n")
    assert read_staff(file) == {"teacher-1", "teacher-2"}


def test_without_a_staff_file_nobody_is_left_out() -> None:
    assert read_staff(None) == frozenset()


def test_a_line_that_cannot_be_a_user_id_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "staff.txt"
    file.write_text("teacher-1\n" + "x" * 256 + "\n")
    with pytest.raises(SettingsError, match="LMS_STAFF: line 2 is longer than 255 characters"):
        read_staff(file)
