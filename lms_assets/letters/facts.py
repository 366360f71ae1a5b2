"""What a letter is about, by kind: plain JSON in the table ``letters``, typed here.

Pure. Nothing here may hold a student's data or a secret: whoever gathers facts masks them.
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
    """Where a letter leads; what is None is left out.

    Attributes:
        sheet_file: Where the workbook lies, where no address leads to a sheet.
        page_file: Where the report page lies, where no address leads to it.
    """

    sheet: str | None = None
    page: str | None = None
    dashboard: str | None = None
    run: str | None = None
    sheet_file: str | None = None
    page_file: str | None = None


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What is known of the records of a day that failed.

    A day that was refused has no other fates: nothing of it was loaded.

    Attributes:
        received: Records that the API gave.
        rejected: Reason code → records.
    """

    received: int = 0
    rejected: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """A task that behaves unlike itself on a day; aggregates only.

    Attributes:
        kind: ``collapsed`` or ``surged``.
        students: With a graded submit on the task that day; ``solved`` of them solved it.
        usual_pct: The share of student-days on which it was solved in the 28 days before.
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
        """All of them."""
        return self.runs + self.correct + self.wrong + self.ungraded


@dataclass(frozen=True, kw_only=True)
class SuccessFacts:
    """A day is in, and something arrived for it.

    Attributes:
        late_rows: Day → rows inserted for it by the same batch, days before ``day``.
        figures: The day's row of ``daily_statistics``.
        week_before: The row of the same weekday a week before, where there is one.
        recent: The days up to ``day``, oldest first, for the chart.
        watch: What is kept but worth a look: counter of the ledger → records.
        warnings: Checks that warn, in words.
        alarms: Of the day; then those that began on other days of the batch, untold so far.
        duration_s: Of the run or batch.
        next_run: Aware, in the zone of the schedule.
        tries: Runs of the day that it took, this one included.
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
    """The API had nothing for a day.

    Attributes:
        stored: Rows of the day in the table all the same, from earlier pulls.
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
    """A day's run failed and its own retries, if any, are over.

    Attributes:
        day: None for a run without a day.
        error: The traceback, masked; its end is shown.
        will_be_retried: By itself, at ``retry_at`` where that is known.
        tries: Runs that failed so far, this one included.
        is_loaded: The attempts are in the table all the same: only what comes after failed.
        counts: Of the pull, as far as it came; the rejected explain a refused day.
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
        done: Days that are in with attempts.
        empty: Days that are in, for which nothing arrived.
        skipped: Days that were in before.
        alarms: Of the newest day; in scheduled batches also untold ones of its other days.
        again: The command that repeats what failed; the backfill of the range if left out.
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
    """A day of which a failure was told is good.

    Attributes:
        cause: Of the failure.
        failed_at: When it failed first; aware.
        failure_message_id: The letter that this one answers.
    """

    cause: Cause | None = None
    failed_at: datetime | None = None
    failure_message_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class GivenUpFacts:
    """A day failed so often that it is not asked for any more.

    Attributes:
        tries: Runs that failed.
        cause: Of the last one.
        others: Days before it that were given up with it.
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
        task: Its title.
        students: With a graded submit on it.
        stuck: Of them, those who are stuck now.
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
    """A course's week, for its authors; no group of fewer than five students is in it.

    Attributes:
        course: Its title.
        first_day: The week's Monday.
        day: The week's Sunday.
        week: Figure → its value for these 7 days; empty where too few students were active.
        week_before: The same for the 7 days before.
        alarms: Of the week, each by its newest day.
        recent: Two weeks of days, for the chart.
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
    """The facts of a letter of ``kind``; keys that it does not know are ignored.

    Raises:
        KeyError: No such kind.
        msgspec.ValidationError: They are not of that kind.
    """
    return msgspec.convert(dict(facts), KINDS[kind], strict=False, str_keys=True)
