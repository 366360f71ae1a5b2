"""Large days of the demo API's kind: its students of one day, again under other ids."""

import json
import re
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from hashlib import blake2b
from itertools import islice
from pathlib import Path

from lms_assets.embedded.demo_students import DemoStudents

DAY = date(2025, 7, 24)
CHANGED_EACH = 100
_HANDLER, _OTHER_HANDLER = b"/grade_handler'", b"/grade_handler_2'"
_VERDICTS = {b'"is_correct": 0': b'"is_correct": 1', b'"is_correct": 1': b'"is_correct": 0'}


def write_day(to: Path, *, records: int, day: date = DAY, is_changed: bool = False) -> None:
    """The file holds an answer of the API with so many records of the day.

    Args:
        to: Replaced.
        records: How many, all different but for the demo's own repetitions.
        day: In UTC.
        is_changed: One record in a hundred differs from the answer without this.
    """
    with to.open("wb") as file:
        for number, record in enumerate(islice(_records(day), records)):
            file.write(b", " if number else b"[")
            is_other = is_changed and number % CHANGED_EACH == 0
            file.write(_other(record) if is_other else record)
        file.write(b"]")


def _records(day: date) -> Iterator[bytes]:
    """The day's records without end: each round the same ones, of other students."""
    start = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - UTC, as the API has it
    end = start + timedelta(days=1) - timedelta(microseconds=1)
    # A moment that is none ends dlt's whole load, and bad records are not what is measured.
    records = (r for r in DemoStudents().between(start, end) if b'"0000-00-00' not in r)
    parts = [_apart(record) for record in records]
    round_number = 0
    while True:
        ids: dict[bytes, bytes] = {}
        for student, pieces in parts:
            if round_number and student not in ids:
                name = b"%d:%s" % (round_number, student)
                ids[student] = blake2b(name, digest_size=16).hexdigest().encode()
            yield ids.get(student, student).join(pieces)
        round_number += 1


def _apart(record: bytes) -> tuple[bytes, list[bytes]]:
    """The student's id, and the record cut where it stands."""
    student = str(json.loads(record).get("lti_user_id") or "").encode() or b"\0nobody"
    return student, re.split(re.escape(student), record)


def _other(record: bytes) -> bytes:
    if _HANDLER in record:
        return record.replace(_HANDLER, _OTHER_HANDLER)
    for verdict, opposite in _VERDICTS.items():
        if verdict in record:
            return record.replace(verdict, opposite)
    return record
