"""What people read instead of ids, and whose attempts are left out: LMS_NAMES and LMS_STAFF.

Both are files that a person keeps by hand, often in a spreadsheet program: a byte-order mark, CRLF
and a semicolon between the columns are fine; anything that could be misread is refused by its line.
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
    """What a course or a task is called, and where it is; '' where the file does not say."""

    title: str = ""
    link: str = ""


@dataclass(frozen=True)
class Names:
    """Titles and links of courses and tasks; short ids for those without.

    Args:
        known: (course, task) → its name; the task is '' for the course itself. A task stands
            there by its whole id or by the part after the last hyphen: the block's 32 hex digits.
    """

    known: Mapping[tuple[str, str], Name] = field(default_factory=dict)

    def course_title(self, course: str) -> str:
        """The course's title, else its id without what all ids begin with."""
        return self._course(course).title or short_course(course)

    def course_link(self, course: str) -> str:
        """The course's address; '' where the file does not say."""
        return self._course(course).link

    def task_title(self, course: str, task: str) -> str:
        """The task's title, else the last characters of its id."""
        return self._task(course, task).title or short_task(task)

    def task_titles(self, tasks: Sequence[Mapping[str, Any]]) -> list[str]:
        """The title of each task; where two would look the same, with what tells them apart.

        Two sites may each have a Moodle instance 5: ``5 (siteA)`` and ``5 (siteB)``. Two tasks of
        one site with the same title get the ends of their ids.

        Args:
            tasks: Rows with ``oauth_consumer_key``, ``course`` and ``task``; one may come again.
        """
        titles = [self.task_title(row["course"], row["task"]) for row in tasks]
        seen = [(self.course_title(r["course"]), t) for r, t in zip(tasks, titles, strict=True)]
        alike: dict[tuple[str, str], set[tuple[str, str]]] = {}
        for row, key in zip(tasks, seen, strict=True):
            alike.setdefault(key, set()).add((row.get("oauth_consumer_key") or "", row["task"]))
        return [
            title if len(alike[key]) == 1 else f"{title} ({_difference(row, alike[key])})"
            for row, title, key in zip(tasks, titles, seen, strict=True)
        ]

    def task_link(self, course: str, task: str) -> str:
        """The task's address; '' where the file does not say."""
        return self._task(course, task).link

    def _course(self, course: str) -> Name:
        return self.known.get((course, ""), Name())

    def _task(self, course: str, task: str) -> Name:
        block = task.rpartition("-")[2]
        return self.known.get((course, task)) or self.known.get((course, block)) or Name()


def _difference(row: Mapping[str, Any], alike: set[tuple[str, str]]) -> str:
    """What of the task's key the tasks that look like it do not share."""
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
    """The names of LMS_NAMES: a CSV file with the columns course, task, title, link.

    A row without a task names the course. Nothing is known where there is no file.

    Raises:
        SettingsError: A line that cannot be understood, by its number.
    """
    if path is None:
        return Names()
    lines = _lines(path, "LMS_NAMES")
    delimiter = ";" if lines and ";" in lines[0] and "," not in lines[0] else ","
    reader = csv.DictReader(lines, delimiter=delimiter, strict=True)
    known: dict[tuple[str, str], Name] = {}
    try:
        _refuse_wrong_heading(reader.fieldnames or ())
        for row in reader:
            key, name = _named(row, reader.line_num)
            if known.setdefault(key, name) != name:
                raise _wrong("LMS_NAMES", reader.line_num, "names again what is named above")
    except csv.Error as error:
        raise _wrong("LMS_NAMES", reader.line_num, f"is not CSV: {error}") from None
    return Names(known)


def read_staff(path: Path | None) -> frozenset[str]:
    """The user ids of LMS_STAFF, one a line; empty lines do not count. None where there is no file.

    Raises:
        SettingsError: A line that cannot be a user id, by its number.
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
    found = [name.strip() for name in heading]
    if sorted(found) != sorted(COLUMNS):
        raise _wrong("LMS_NAMES", 1, f"must be the heading {','.join(COLUMNS)}")


def _named(row: dict[str, str | None], number: int) -> tuple[tuple[str, str], Name]:
    if None in row or None in row.values():
        raise _wrong("LMS_NAMES", number, f"does not have {len(COLUMNS)} fields")
    fields = {name.strip(): (value or "").strip() for name, value in row.items()}
    if not fields["course"]:
        raise _wrong("LMS_NAMES", number, "has no course")
    link = fields["link"]
    # A link is written into the sheet and the page, where another scheme could run as code.
    if link and urlsplit(link).scheme not in ("http", "https"):
        raise _wrong("LMS_NAMES", number, "has a link that does not begin with https:// or http://")
    return (fields["course"], fields["task"]), Name(fields["title"], link)


def _wrong(variable: str, line: int, what: str) -> SettingsError:
    return SettingsError(f"{variable}: line {line} {what}")
