"""Attempts in ProgSnap2, the format in which researchers share data on learning to program.

A run is an event ``Run.Program``, a submit is ``Submit``. The API does not send the students'
code, so there is one code state, and it is empty. Staff are left out.

Version 6 is the one that BlockPy's published datasets state, with the zone in a column of its
own. The machine-readable specification that CSSPLICE began in 2025 is numbered 1.0 and has no
such column; the reader of its toolkit opens these files too.

Source: github.com/CSSPLICE/progsnap2 and github.com/CSSPLICE/ProgSnapToolkit.
"""

import csv
import hmac
import io
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import Row, text

from lms_assets.days import window_between
from lms_assets.files import written_whole
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics.names import Names

VERSION = 6
CHUNK_ROWS = 50_000
FILE_MODE = 0o644
COLUMNS = (
    *("EventID", "SubjectID", "EventType", "ToolInstances", "CodeStateID", "Order"),
    *("ServerTimestamp", "ServerTimezone", "CourseID", "ProblemID", "Score"),
)
METADATA = (
    ("Property", "Value"),
    ("Version", VERSION),
    ("IsEventOrderingConsistent", "true"),
    ("EventOrderScope", "Global"),
    ("EventOrderScopeColumns", ""),
    ("CodeStateRepresentation", "Table"),
)
TOOL = "LMS"
NO_CODE = "0"
UTC_OFFSET = "+0000"
CODE_STATES = (("CodeStateID", "Code"), (NO_CODE, ""))
# At the same instant a run comes before a submit, and a wrong submit before a correct one.
_EVENTS = """
    select id, user_id, is_run, created_at, coalesce(course, ''), coalesce(task, ''),
        case when is_graded then is_correct::int end
    from counted_attempts where created_at >= :start and created_at < :end
    order by created_at, is_submit, is_correct, id
"""


def export_progsnap2(
    warehouse: Warehouse,
    first: date,
    last: date,
    to: Path,
    *,
    zone: ZoneInfo,
    names: Names,
    key: bytes | None,
) -> list[Path]:
    """The folder holds the days' attempts as a ProgSnap2 dataset, read in one snapshot.

    Args:
        warehouse: Holds the attempts; nothing is changed.
        first: The first day.
        last: The last day, included.
        to: The folder; it is made if it does not exist.
        zone: The zone of the days; the timestamps in the files are UTC.
        names: Titles for the link tables of courses and problems.
        key: The key of the hashes that replace students' ids: the same key gives the same
            hashes. None keeps the real ids.

    Returns:
        The paths of the files, in the order of writing.
    """
    links = to / "LinkTables"
    for folder in (links, to / "CodeStates"):
        folder.mkdir(parents=True, exist_ok=True)
    window = window_between(first, last, zone)
    problems: set[tuple[str, str]] = set()
    with warehouse.begin() as connection:
        connection.execute(text("set transaction isolation level repeatable read, read only"))
        streaming = connection.execution_options(stream_results=True, max_row_buffer=CHUNK_ROWS)
        events = streaming.execute(text(_EVENTS), {"start": window.start, "end": window.end})
        subject = _subjects(key)
        rows = (_event(number, row, subject, problems) for number, row in enumerate(events, 1))
        written = [_write(to / "MainTable.csv", [COLUMNS], rows)]
    courses = sorted({course for course, _ in problems if course})
    titled = [(c, names.course_title(c), names.course_link(c)) for c in courses]
    tasks = [(c, t, names.task_title(c, t), names.task_link(c, t)) for c, t in sorted(problems)]
    return [
        *written,
        _write(to / "DatasetMetadata.csv", METADATA),
        _write(to / "CodeStates" / "CodeStates.csv", CODE_STATES),
        _write(links / "Course.csv", [("CourseID", "CourseTitle", "CourseURL")], titled),
        _write(
            links / "Problem.csv", [("CourseID", "ProblemID", "ProblemTitle", "ProblemURL")], tasks
        ),
    ]


def _subjects(key: bytes | None) -> Callable[[str], str]:
    if key is None:
        return str
    return lambda user_id: hmac.new(key, b"progsnap2\0" + user_id.encode(), "sha256").hexdigest()


def _event(
    number: int,
    row: Row[tuple[object, ...]],
    subject: Callable[[str], str],
    problems: set[tuple[str, str]],
) -> tuple[object, ...]:
    event_id, user_id, is_run, moment, course, task, score = row
    if task:
        problems.add((str(course), str(task)))
    kind = "Run.Program" if is_run else "Submit"
    when = f"{moment:%Y-%m-%dT%H:%M:%S.%f}"
    return (
        event_id,
        subject(str(user_id)),
        kind,
        TOOL,
        NO_CODE,
        number,
        when,
        UTC_OFFSET,
        course,
        task,
        score,
    )


def _write(
    path: Path, heading: Iterable[tuple[object, ...]], rows: Iterable[tuple[object, ...]] = ()
) -> Path:
    with written_whole(path, mode=FILE_MODE) as file:
        lines = io.TextIOWrapper(file, encoding="utf-8", newline="")
        csv.writer(lines).writerows(heading)
        csv.writer(lines).writerows(rows)
        lines.detach()
    return path
