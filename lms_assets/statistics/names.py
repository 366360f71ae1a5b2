"""The files LMS_NAMES (titles instead of ids) and LMS_STAFF (user ids left out of the figures).

People write both files, often with a spreadsheet program. So a byte-order mark, CRLF and
semicolons between the columns are accepted. An ambiguous line is refused with its number.
"""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lms_assets.settings import SettingsError

COLUMNS = ("course", "task", "title", "link")
LONGEST_USER_ID = 255
SHORT_TASK = 8


@dataclass(frozen=True)
class Name:
    """The title and the address of a course or task; '' where the file has none."""

    title: str = ""
    link: str = ""


@dataclass(frozen=True)
class Names:
    """Titles and links of courses and tasks; those without a title get a short id.

    Args:
        known: (course, task) → name; the task is '' for the course itself. A task's key is its
            whole id or the part after the last hyphen, the block's 32 hex digits.
    """

    known: Mapping[tuple[str, str], Name] = field(default_factory=dict)

    def course_title(self, course: str) -> str:
        """The course's title, else its id without the prefix ``course-v1:``."""
        return self._course(course).title or short_course(course)

    def course_link(self, course: str) -> str:
        """The course's address; '' where the file has none."""
        return self._course(course).link

    def task_title(self, course: str, task: str) -> str:
        """The task's title, else the last characters of its id."""
        return self._task(course, task).title or short_task(task)

    def task_titles(self, tasks: Sequence[Mapping[str, Any]]) -> list[str]:
        """The title of each task, made distinct where two tasks have the same title.

        Two sites may each have a task 5: their titles are ``5 (siteA)`` and ``5 (siteB)``. Two
        tasks of one site with the same title get their ids in parentheses.

        Args:
            tasks: Rows with ``oauth_consumer_key``, ``course`` and ``task``; a task may occur
                more than once.
        """
        titles = [self.task_title(row["course"], row["task"]) for row in tasks]
        shown = [(self.course_title(r["course"]), t) for r, t in zip(tasks, titles, strict=True)]
        alike: dict[tuple[str, str], set[tuple[str, str]]] = {}
        for row, key in zip(tasks, shown, strict=True):
            alike.setdefault(key, set()).add((row.get("oauth_consumer_key") or "", row["task"]))
        return [
            title if len(alike[key]) == 1 else f"{title} ({_difference(row, alike[key])})"
            for row, title, key in zip(tasks, titles, shown, strict=True)
        ]

    def task_link(self, course: str, task: str) -> str:
        """The task's address; '' where the file has none."""
        return self._task(course, task).link

    def _course(self, course: str) -> Name:
        return self.known.get((course, ""), Name())

    def _task(self, course: str, task: str) -> Name:
        block = task.rpartition("-")[2]
        return self.known.get((course, task)) or self.known.get((course, block)) or Name()


def _difference(row: Mapping[str, Any], alike: set[tuple[str, str]]) -> str:
    """The parts of the task's key in which the tasks with the same title differ."""
    consumer, task = row.get("oauth_consumer_key") or "—", row["task"]
    parts = [consumer] if len({key[0] for key in alike}) > 1 else []
    parts += [task] if len({key[1] for key in alike}) > 1 else []
    return " · ".join(parts)


def short_course(course: str) -> str:
    """``course-v1:Org+Course+Run`` as ``Org+Course+Run``."""
    return course.removeprefix("course-v1:")


def short_task(task: str) -> str:
    """``lms.example.org-149f…6f35ee03`` as ``…6f35ee03``; a short id as it is."""
    return task if len(task) <= 2 * SHORT_TASK else f"…{task[-SHORT_TASK:]}"


def read_names(path: Path | None) -> Names:
    """The names in LMS_NAMES: a CSV file with the columns course, task, title, link.

    A row without a task names the course. Without a file there are no names.

    Raises:
        SettingsError: The file cannot be read, or a line is wrong; it names the line's number.
    """
    if path is None:
        return Names()
    lines = _lines(path, "LMS_NAMES")
    delimiter = ";" if lines and ";" in lines[0] and "," not in lines[0] else ","
    reader = csv.DictReader(lines, delimiter=delimiter, strict=True)
    names: dict[tuple[str, str], Name] = {}
    try:
        _refuse_wrong_heading(reader.fieldnames or ())
        for row in reader:
            key, name = _named(row, reader.line_num)
            if names.setdefault(key, name) != name:
                raise _wrong("LMS_NAMES", reader.line_num, "names again what is named above")
    except csv.Error as error:
        raise _wrong("LMS_NAMES", reader.line_num, f"is not CSV: {error}") from None
    return Names(names)


def read_staff(path: Path | None) -> frozenset[str]:
    """The user ids in LMS_STAFF, one a line, without empty lines; empty where there is no file.

    Raises:
        SettingsError: The file cannot be read, or a line is no user id; it names the line's number.
    """
    if path is None:
        return frozenset()
    ids = [line.strip() for line in _lines(path, "LMS_STAFF")]
    for number, user_id in enumerate(ids, start=1):
        if len(user_id) > LONGEST_USER_ID:
            raise _wrong("LMS_STAFF", number, f"is longer than {LONGEST_USER_ID} characters")
    return frozenset(ids) - {""}


def _lines(path: Path, variable: str) -> list[str]:
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SettingsError(f"{variable}: {path} is not UTF-8 text: save it as UTF-8") from None
    except OSError as error:
        raise SettingsError(f"{variable}: {path} cannot be read: {error.strerror}") from None
    if "\0" in content:
        raise SettingsError(f"{variable}: {path} holds a NUL character: it is not a text file")
    return content.split("\n")


def _refuse_wrong_heading(heading: Iterable[str]) -> None:
    columns = [name.strip() for name in heading]
    if sorted(columns) != sorted(COLUMNS):
        raise _wrong("LMS_NAMES", 1, f"must be the heading {','.join(COLUMNS)}")


def _named(row: dict[str, str | None], number: int) -> tuple[tuple[str, str], Name]:
    if None in row or None in row.values():
        raise _wrong("LMS_NAMES", number, f"does not have {len(COLUMNS)} fields")
    fields = {name.strip(): (value or "").strip() for name, value in row.items()}
    if not fields["course"]:
        raise _wrong("LMS_NAMES", number, "has no course")
    link = fields["link"]
    # The sheet and the page show the link; a scheme such as javascript: would run as code there.
    if link and urlsplit(link).scheme not in ("http", "https"):
        raise _wrong("LMS_NAMES", number, "has a link that does not begin with https:// or http://")
    return (fields["course"], fields["task"]), Name(fields["title"], link)


def _wrong(variable: str, line: int, problem: str) -> SettingsError:
    return SettingsError(f"{variable}: line {line} {problem}")
