"""The facts of each kind of letter: JSON in the table ``letters``, typed here; pure.

Facts hold no student's data and no secret: the code that gathers them masks them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, cast

import msgspec

from lms_assets.attempts.fates import Fates
from lms_assets.faults.causes import Cause


@dataclass(frozen=True, kw_only=True)
class Links:
    """The links of a letter; those that are None are left out.

    Attributes:
        sheet_file: The workbook's path, if there is no spreadsheet.
        page_file: The report page's path, if it has no address.
    """

    sheet: str | None = None
    page: str | None = None
    dashboard: str | None = None
    run: str | None = None
    sheet_file: str | None = None
    page_file: str | None = None


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """Counts of the records of a day that failed.

    A refused day has no other fates, because none of its records was loaded.

    Attributes:
        received: Records that the API sent.
        rejected: Reason code → records.
    """

    received: int = 0
    rejected: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """A task whose solve rate on a day differs from its usual one; aggregates only.

    Attributes:
        kind: ``collapsed`` or ``surged``.
        students: Students with a graded submit on the task that day.
        solved: How many of them solved it.
        usual_pct: The share of student-days with a solution in the 28 days before.
        since: The alarm's first day.
    """

    day: date
    course: str
    task: str
    kind: str
    students: int
    solved: int
    solved_pct: float
    usual_pct: float
    since: date | None = None
    title: str = ""
    course_title: str = ""


@dataclass(frozen=True, kw_only=True)
class DayFigures:
    """The bar of one day in the chart: attempts by kind and verdict."""

    day: date
    runs: int = 0
    correct: int = 0
    wrong: int = 0
    ungraded: int = 0

    @property
    def attempts(self) -> int:
        """All attempts of the day."""
        return self.runs + self.correct + self.wrong + self.ungraded


@dataclass(frozen=True, kw_only=True)
class SuccessFacts:
    """A day was loaded, and it has records.

    Attributes:
        counts: The fates of the day's records.
        late_rows: Earlier day → rows that the same batch inserted for it.
        figures: The day's row of ``daily_statistics``.
        week_before: The row of the same weekday a week before; None where there is none.
        recent: The days up to ``day``, oldest first, for the chart.
        watch: Counter of the ledger → records that were kept but deserve a look.
        warnings: Checks that warned, in words.
        alarms: The day's alarms, then those that began on other days of the batch and stand in no
            letter yet.
        duration_s: The duration of the run or batch.
        next_run: Aware, in LMS_TIMEZONE; None if no daemon runs.
        tries: The number of runs of this day since its last success, this one included.
    """

    day: date
    counts: Fates = field(default_factory=Fates)
    late_rows: dict[date, int] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    week_before: dict[str, Any] | None = None
    recent: list[DayFigures] = field(default_factory=list)
    watch: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    links: Links = field(default_factory=Links)
    duration_s: float | None = None
    next_run: datetime | None = None
    tries: int = 1


@dataclass(frozen=True, kw_only=True)
class EmptyFacts:
    """The API sent no records for a day.

    Attributes:
        stored: Rows of the day that the table holds from earlier pulls.
    """

    day: date
    stored: int | None = None
    late_rows: dict[date, int] = field(default_factory=dict)
    links: Links = field(default_factory=Links)
    duration_s: float | None = None
    next_run: datetime | None = None
    tries: int = 1


@dataclass(frozen=True, kw_only=True)
class FailureFacts:
    """A day's run failed, and its steps are not retried any more.

    Attributes:
        day: None for a run that was launched without a day.
        error: The masked traceback; the letter shows its end.
        will_be_retried: Another run will start by itself, at ``retry_at`` if that is known.
        tries: Failed runs so far, this one included.
        is_loaded: The attempts were loaded; only a later step failed.
        counts: The pull's counts, if it came so far; ``rejected`` explains a refused day.
    """

    day: date | None = None
    cause: Cause = field(default_factory=Cause)
    error: str = ""
    will_be_retried: bool = False
    retry_at: datetime | None = None
    tries: int = 1
    is_loaded: bool = False
    counts: Pulled | None = None
    links: Links = field(default_factory=Links)
    duration_s: float | None = None
    next_run: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class DayFailure:
    """A day of a batch that failed."""

    day: date
    cause: Cause = field(default_factory=Cause)


@dataclass(frozen=True, kw_only=True)
class HistoryFacts:
    """A batch of many days has ended.

    Attributes:
        done: Days that were loaded with records.
        empty: Days that were loaded without records.
        skipped: Days that had been loaded before.
        alarms: The newest day's alarms; for a schedule's batch also those that began on its other
            days and stand in no letter yet.
        again: The command that repeats the failed days; None means the backfill of the range.
    """

    first_day: date
    last_day: date
    done: int = 0
    empty: int = 0
    skipped: int = 0
    failures: list[DayFailure] = field(default_factory=list)
    totals: Fates = field(default_factory=Fates)
    alarms: list[Alarm] = field(default_factory=list)
    again: str | None = None
    recent: list[DayFigures] = field(default_factory=list)
    links: Links = field(default_factory=Links)
    duration_s: float | None = None
    next_run: datetime | None = None


@dataclass(frozen=True, kw_only=True)
class RecoveredFacts(SuccessFacts):
    """A day was loaded after a letter had reported its failure.

    Attributes:
        cause: The cause of the failure.
        failed_at: The time of the failure's letter; aware.
        failure_message_id: The Message-ID of the failure's letter, which this letter answers.
    """

    cause: Cause | None = None
    failed_at: datetime | None = None
    failure_message_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class GivenUpFacts:
    """A day failed so often that the catch-up no longer requests it.

    Attributes:
        tries: The number of failed runs.
        cause: The cause of the last failure.
        others: Earlier days that were given up at the same time.
    """

    day: date
    tries: int = 1
    cause: Cause = field(default_factory=Cause)
    others: list[DayFailure] = field(default_factory=list)
    error: str = ""
    links: Links = field(default_factory=Links)
    failure_message_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class TaskLine:
    """A task in a course's letter.

    Attributes:
        task: The task's title.
        students: Students with a graded submit on it.
        stuck: How many of them are stuck now.
        stopped: Students who dropped the course and made their last attempt in it on this task.
        stopped_pct: Their share of all who dropped the course.
    """

    task: str
    students: int = 0
    first_try_pct: float | None = None
    solve_pct: float | None = None
    stuck: int = 0
    stopped: int = 0
    stopped_pct: float | None = None


@dataclass(frozen=True, kw_only=True)
class CourseFacts:
    """A course's week, for its authors; groups of fewer than five students are left out.

    Attributes:
        course: The course's title.
        first_day: The week's Monday.
        day: The week's Sunday.
        week: Figure → its value for these 7 days; empty where too few students were active.
        week_before: The same for the 7 days before.
        alarms: The week's alarms; of each the newest day's row.
        recent: The days of two weeks, for the chart.
    """

    course: str
    first_day: date
    day: date
    week: dict[str, Any] = field(default_factory=dict)
    week_before: dict[str, Any] = field(default_factory=dict)
    hardest: list[TaskLine] = field(default_factory=list)
    stuck: list[TaskLine] = field(default_factory=list)
    stops: list[TaskLine] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    recent: list[DayFigures] = field(default_factory=list)


Facts = (
    CourseFacts
    | SuccessFacts
    | EmptyFacts
    | FailureFacts
    | HistoryFacts
    | RecoveredFacts
    | GivenUpFacts
)

KINDS: dict[str, type[Facts]] = {
    "success": SuccessFacts,
    "empty": EmptyFacts,
    "failure": FailureFacts,
    "history": HistoryFacts,
    "recovered": RecoveredFacts,
    "given_up": GivenUpFacts,
    "course": CourseFacts,
}


def to_json(facts: Facts) -> dict[str, Any]:
    """The facts as the table ``letters`` keeps them."""
    return cast("dict[str, Any]", msgspec.to_builtins(facts, str_keys=True))


def from_json(kind: str, facts: Mapping[str, Any]) -> Facts:
    """The typed facts of a letter of ``kind``; unknown keys are ignored.

    Raises:
        KeyError: There is no such kind.
        msgspec.ValidationError: The facts are not of that kind.
    """
    return msgspec.convert(dict(facts), KINDS[kind], strict=False, str_keys=True)
