"""The attempts of a ProgSnap2 dataset as API records, so that the demo can show a public dataset.

Only attempts are taken: runs, and submits with their verdict. Other events of a dataset, such as
code, keystrokes and compilers' messages, are left out and counted by their kind.

Source: the ProgSnap2 specification, see :mod:`lms_assets.statistics.progsnap2`.
"""

import csv
import json
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from lms_assets.faults import PermanentFault

Event = Mapping[str, str]
Row = tuple[str, str, str, str]

RUN, SUBMIT = "Run.Program", "Submit"
NEEDED = ("EventType", "SubjectID")
CLOCKS = ("Server", "Client")
_OFFSET = re.compile(r"[+-]\d\d:?\d\d")
_MAIN_TABLE = "MainTable.csv"


class EventCounts(NamedTuple):
    """Counts of a dataset's events.

    Attributes:
        attempts: The number of attempts.
        left_out: The reason or type → number of events that are no attempts.
        changed: The interpretation → number of attempts whose values were interpreted.
    """

    attempts: int
    left_out: Counter[str]
    changed: Counter[str]


def write_records(dataset: Path, to: Path) -> EventCounts:
    """The file holds the dataset's attempts as a JSON array of API records.

    Events are read one by one, so that memory stays bounded.

    Raises:
        PermanentFault: The main table is missing, or lacks the subject, the type or the time.
    """
    left_out: Counter[str] = Counter()
    changed: Counter[str] = Counter()
    attempts = 0
    with to.open("w", encoding="ascii") as file:
        for event in _events(dataset / _MAIN_TABLE):
            record = _record(event, dataset.name, left_out, changed)
            if record is not None:
                file.write("[" if not attempts else ",\n")
                json.dump(record, file)
                attempts += 1
        file.write("]" if attempts else "[]")
    return EventCounts(attempts, left_out, changed)


def names_in(dataset: Path) -> Iterator[Row]:
    """Course, task, title and link of each course and task in the link tables."""
    seen: set[tuple[str, str]] = set()
    for kind in ("Course", "Problem"):
        path = dataset / "LinkTables" / f"{kind}.csv"
        for row in _rows(path) if path.is_file() else ():
            course, task = row.get("CourseID") or "", row.get("ProblemID") or ""
            title, link = row.get(f"{kind}Title") or "", row.get(f"{kind}URL") or ""
            if course and title and (course, task) not in seen:
                seen.add((course, task))
                yield course, task, title, link if link.startswith(("http://", "https://")) else ""


def _events(path: Path) -> Iterator[Event]:
    try:
        rows = _rows(path)
        for number, event in enumerate(rows):
            if number == 0:
                _refuse_incomplete_columns(path, event)
            yield event
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _unreadable(path, f"{path.name}: {reason}") from None


def _rows(path: Path) -> Iterator[dict[str, str]]:
    # A cell may hold a whole program.
    csv.field_size_limit(sys.maxsize)
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file, restval="")


def _refuse_incomplete_columns(path: Path, event: Event) -> None:
    missing = [name for name in NEEDED if name not in event]
    if not any(f"{clock}Timestamp" in event for clock in CLOCKS):
        missing.append("ServerTimestamp")
    if missing:
        raise _unreadable(path, f"it has no column {', '.join(missing)}")


def _unreadable(path: Path, reason: str) -> PermanentFault:
    return PermanentFault("api.dataset_unreadable", file=path.parent, reason=reason)


def _record(
    event: Event, dataset: str, left_out: Counter[str], changed: Counter[str]
) -> dict[str, object] | None:
    kind, score = event["EventType"], event.get("Score") or ""
    subject, moment = event["SubjectID"], _moment(event)
    if kind not in (RUN, SUBMIT):
        left_out[kind or "no type"] += 1
    elif subject in ("", "UNKNOWN"):
        left_out["no subject"] += 1
    elif moment is None:
        left_out["no time"] += 1
    else:
        verdict = _verdict(score, changed)
        is_run = kind == RUN and not score
        changed["a run with a score, taken as a submit"] += kind == RUN and not is_run
        return {
            "lti_user_id": subject,
            "passback_params": _passback(event, dataset),
            "is_correct": None if is_run else verdict,
            "attempt_type": "run" if is_run else "submit",
            "created_at": moment.isoformat(sep=" "),
        }
    return None


def _verdict(score: str, changed: Counter[str]) -> int | None:
    """1 for a full score, 0 for less; None where there is none that can be read."""
    if not score:
        return None
    try:
        share = float(score)
    except ValueError:
        changed["a score that is no number, taken as ungraded"] += 1
        return None
    changed["a partial score, taken as wrong"] += 0 < share < 1
    return int(share >= 1)


def _moment(event: Event) -> datetime | None:
    """When it happened, naive UTC: by the server's clock, else by the client's."""
    for clock in CLOCKS:
        written = event.get(f"{clock}Timestamp") or ""
        zone = event.get(f"{clock}Timezone") or ""
        try:
            moment = datetime.fromisoformat(written)
            if moment.tzinfo is None and _OFFSET.fullmatch(zone):
                moment = datetime.fromisoformat(written + zone)
            return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
        except (ValueError, OverflowError):
            continue
    return None


def _passback(event: Event, dataset: str) -> str | None:
    """Course and task as Open edX writes them; None for an event that names no task."""
    task = event.get("ProblemID") or event.get("AssignmentID")
    if not task:
        return None
    course = event.get("CourseID") or dataset
    parts = (quote(part, safe="") for part in (course, task, event["SubjectID"]))
    return f"{{'oauth_consumer_key': '', 'lis_result_sourcedid': '{':'.join(parts)}'}}"
