"""Who gets which course's letter: the CSV file of LMS_COURSE_LETTERS."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lms_assets.settings import SettingsError
from lms_assets.texts import LANGUAGES

COLUMNS = ["course", "recipients", "language"]


@dataclass(frozen=True)
class CourseReaders:
    """A line of the file: the recipients of a course's letter and their language.

    Attributes:
        language: '' means LMS_LANGUAGE.
    """

    course: str
    recipients: tuple[str, ...]
    language: str = ""


@dataclass(frozen=True)
class CourseLetters:
    """All recipients of course letters.

    Attributes:
        lines: The lines of the file.
        of_every_course: Recipients of all courses' letters; only in demo mode, without a file.
    """

    lines: tuple[CourseReaders, ...] = ()
    of_every_course: tuple[str, ...] = ()

    @property
    def are_wanted(self) -> bool:
        """Whether anybody gets course letters."""
        return bool(self.lines or self.of_every_course)

    def for_courses(self, courses: Sequence[str]) -> list[CourseReaders]:
        """The readers of the given courses."""
        if self.of_every_course:
            return [CourseReaders(course, self.of_every_course) for course in courses]
        return [line for line in self.lines if line.course in courses]


def read_course_letters(path: Path | None) -> CourseLetters:
    """The readers in the CSV file ``course,recipients,language``.

    Semicolons separate the recipients of a line.

    Raises:
        SettingsError: The file cannot be read, or a line is wrong; it names the line's number.
    """
    if path is None:
        return CourseLetters()
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise SettingsError(f"LMS_COURSE_LETTERS: {path} cannot be read: {reason}") from None
    reader = csv.reader(content.splitlines(), strict=True)
    lines: list[CourseReaders] = []
    try:
        for row in reader:
            if reader.line_num == 1:
                _refuse_wrong_heading(row)
            elif any(cell.strip() for cell in row):
                lines.append(_line(row, lines, reader.line_num))
    except csv.Error as error:
        raise _wrong(reader.line_num, f"is not CSV: {error}") from None
    return CourseLetters(tuple(lines))


def _refuse_wrong_heading(row: Sequence[str]) -> None:
    if [cell.strip() for cell in row] != COLUMNS:
        raise _wrong(1, f"must be the heading {','.join(COLUMNS)}")


def _line(row: Sequence[str], before: Sequence[CourseReaders], number: int) -> CourseReaders:
    if len(row) != len(COLUMNS):
        raise _wrong(number, f"has {len(row)} columns instead of {len(COLUMNS)}")
    course, recipients, language = (cell.strip() for cell in row)
    addresses = tuple(address.strip() for address in recipients.split(";") if address.strip())
    if not course:
        raise _wrong(number, "names no course")
    if not addresses or not all(map(_is_address, addresses)):
        raise _wrong(number, "must name mail addresses, separated by ';'")
    if language and language not in LANGUAGES:
        raise _wrong(number, f"must give one of the languages {', '.join(LANGUAGES)}")
    if any((line.course, line.language) == (course, language) for line in before):
        raise _wrong(number, "names again the course and language of a line above")
    return CourseReaders(course, addresses, language)


def _is_address(text: str) -> bool:
    name, _, host = text.rpartition("@")
    return bool(name and host) and not set(text) & set(" <>\r\n\t,;")


def _wrong(number: int, reason: str) -> SettingsError:
    return SettingsError(f"LMS_COURSE_LETTERS: line {number} {reason}")
