"""Figure 13: tasks whose solve rate on a day differs from the usual one.

A student-day is a student with a graded submit on a task on a day. It is solved if one of the
day's graded submits is correct. A day's student-days are compared with the usual ones: those of
the 28 days before, without days on which the task was in alarm. So an alarm depends on the days
before it: days are judged in order, and when a day changes, later days are judged again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sqlalchemy import Connection, text

from lms_assets.days import days_between

COLLAPSED, SURGED = "collapsed", "surged"
USUAL = timedelta(days=28)
FEWEST_STUDENTS = 8
FEWEST_USUAL = 20
HIGHEST_Q = 0.01
# The day's share must be at most the usual share divided by this.
FLOOR = 3
# A day's alarms depend on at most this many days before: its usual days, and their usual days.
MEMORY = 2 * USUAL


class Task(NamedTuple):
    """The key of a task."""

    oauth_consumer_key: str
    course: str
    task: str


class StudentDays(NamedTuple):
    """The number of student-days, and how many of them were solved."""

    students: int
    solved: int


@dataclass(frozen=True)
class Alarm:
    """A task in alarm on a day.

    Attributes:
        kind: ``collapsed`` or ``surged``.
        today: The day's student-days.
        usual: The usual student-days that they were compared with.
        q: The probability of the day's share, adjusted for all tests of the day.
        since: The first day of the alarm.
    """

    kind: str
    today: StudentDays
    usual: StudentDays
    q: float
    since: date


Day = Mapping[Task, StudentDays]


@dataclass(frozen=True)
class Verdict:
    """The result of a day's tests: the tested tasks, and those in alarm."""

    tested: frozenset[Task] = frozenset()
    alarms: Mapping[Task, Alarm] = field(default_factory=dict)


# ------------------------------------------------------------------ one day's tests


def fisher(today: StudentDays, usual: StudentDays) -> tuple[float, float]:
    """The probabilities of as few or fewer solved, and of as many or more: Fisher's exact test."""
    n, m = today.students, usual.students
    solved, unsolved = today.solved + usual.solved, n + m - today.solved - usual.solved
    fewest, most = max(0, n - unsolved), min(n, solved)
    k = np.arange(fewest, most + 1)
    logs = _log_factorials((n + m).bit_length())
    ways = logs[solved] - logs[k] - logs[solved - k]
    ways = ways + logs[unsolved] - logs[n - k] - logs[unsolved - n + k]
    shares = np.exp(ways - (logs[n + m] - logs[n] - logs[m]))
    place = today.solved - fewest
    return min(1.0, float(shares[: place + 1].sum())), min(1.0, float(shares[place:].sum()))


@cache
def _log_factorials(bits: int) -> npt.NDArray[np.longdouble]:
    """Logarithms of the factorials of 0 … 2^bits − 1."""
    numbers = np.arange(1, 1 << bits, dtype=np.longdouble)
    return np.concatenate(([np.longdouble(0)], np.cumsum(np.log(numbers))))


def adjusted(probabilities: Sequence[float]) -> list[float]:
    """The q of Benjamini and Hochberg for each of the probabilities, in order."""
    p = np.asarray(probabilities, dtype=float)
    order = np.argsort(-p, kind="stable")
    ranks = np.arange(len(p), 0, -1)
    q = np.empty(len(p))
    q[order] = np.minimum(1, np.minimum.accumulate(p[order] * len(p) / ranks))
    return [float(value) for value in q]


def is_far(kind: str, today: StudentDays, usual: StudentDays) -> bool:
    """Whether the share of solved (surged: of unsolved) is at most a third of the usual share."""
    if kind == COLLAPSED:
        return FLOOR * today.solved * usual.students <= usual.solved * today.students
    unsolved, usually = today.students - today.solved, usual.students - usual.solved
    return FLOOR * unsolved * usual.students <= usually * today.students


# ------------------------------------------------------------------ day after day


class Watch:
    """The state after the days so far: usual student-days and open alarms."""

    def __init__(self) -> None:
        self._days: dict[date, Day] = {}
        self._sums: dict[Task, StudentDays] = {}
        self._open: dict[Task, Alarm] = {}
        self._alarm_days: dict[Task, list[date]] = {}

    def begin(self, day: date) -> None:
        """Days more than 28 days before ``day`` are dropped; alarms that are 28 days old close.

        When an alarm closes, the task's days in alarm count as usual days again.
        """
        for past in [d for d in self._days if d < day - USUAL]:
            for task, counts in self._days.pop(past).items():
                self._add(task, -counts.students, -counts.solved)
        for task in [t for t, alarm in self._open.items() if alarm.since + USUAL <= day]:
            del self._open[task]
            self._alarm_days.pop(task, None)

    def judge(self, day: date, counts: Day) -> Verdict:
        """The result of the day's tests; call :meth:`begin` before and :meth:`end` after."""
        usual = {
            task: self._usual(day, task)
            for task, today in counts.items()
            if today.students >= FEWEST_STUDENTS
        }
        tested = [task for task, days in usual.items() if days.students >= FEWEST_USUAL]
        sides = [p for task in tested for p in fisher(counts[task], usual[task])]
        q = iter(adjusted(sides))
        alarms = {}
        for task in tested:
            for kind in (COLLAPSED, SURGED):
                alarm = Alarm(kind, counts[task], usual[task], next(q), day)
                if alarm.q <= HIGHEST_Q and is_far(kind, alarm.today, alarm.usual):
                    alarms[task] = self._since_its_first_day(task, alarm)
        return Verdict(frozenset(tested), alarms)

    def end(self, day: date, counts: Day, verdict: Verdict) -> None:
        """The day now belongs to the past days: its verdict opens, continues and ends alarms."""
        self._days[day] = counts
        for task, today in counts.items():
            self._add(task, *today)
        for task in verdict.tested:
            self._open.pop(task, None)
        for task, alarm in verdict.alarms.items():
            self._open[task] = alarm
            self._alarm_days.setdefault(task, []).append(day)

    def _since_its_first_day(self, task: Task, alarm: Alarm) -> Alarm:
        before = self._open.get(task)
        if before is None or before.kind != alarm.kind:
            return alarm
        return Alarm(alarm.kind, alarm.today, alarm.usual, alarm.q, before.since)

    def _usual(self, day: date, task: Task) -> StudentDays:
        students, solved = self._sums.get(task, (0, 0))
        for past in self._alarm_days.get(task, ()):
            if past >= day - USUAL:
                students -= self._days[past][task].students
                solved -= self._days[past][task].solved
        return StudentDays(students, solved)

    def _add(self, task: Task, students: int, solved: int) -> None:
        before = self._sums.get(task, StudentDays(0, 0))
        self._sums[task] = StudentDays(before.students + students, before.solved + solved)


def judged_again(
    days: Mapping[date, Day],
    verdicts: Mapping[date, Verdict],
    *,
    first: date,
    last_changed: date,
    as_of: date,
) -> Iterator[tuple[date, Verdict]]:
    """The verdicts of all days that a change of ``first`` … ``last_changed`` can affect; pure.

    Args:
        days: Each day's student-days, from :data:`MEMORY` before ``first`` on.
        verdicts: The earlier verdicts; correct for the days before ``first``.
        first: The first changed day.
        last_changed: The last changed day.
        as_of: The newest loaded day.
    """
    watch = Watch()
    for day in days_between(first - MEMORY, first - timedelta(days=1)):
        watch.begin(day)
        watch.end(day, days.get(day, {}), verdicts.get(day, Verdict()))
    last_other = first - MEMORY
    for day in days_between(first, as_of):
        counts = days.get(day, {})
        watch.begin(day)
        verdict = watch.judge(day, counts)
        watch.end(day, counts, verdict)
        yield day, verdict
        if verdict != verdicts.get(day, Verdict()):
            last_other = day
        if day >= last_changed + USUAL and day >= last_other + MEMORY:
            return


# ------------------------------------------------------------------ in the database


def refresh_alarms(connection: Connection, changed: Sequence[date], *, as_of: date) -> None:
    """``task_alarms`` agrees with ``task_days`` again, after some of its days changed."""
    first = min(changed)
    values = {"first": first - MEMORY, "as_of": as_of}
    days, tested = _student_days(connection, values)
    alarms = _alarms(connection, values)
    before = {
        d: Verdict(frozenset(tested.get(d, ())), alarms.get(d, {})) for d in {*tested, *alarms}
    }
    judged = list(judged_again(days, before, first=first, last_changed=max(changed), as_of=as_of))
    for day, verdict in judged:
        earlier = before.get(day, Verdict())
        if verdict.tested != earlier.tested:
            _write_tested(connection, day, verdict.tested ^ earlier.tested)
        if verdict.alarms != earlier.alarms:
            _write_alarms(connection, day, verdict.alarms)


def _student_days(
    connection: Connection, values: Mapping[str, date]
) -> tuple[dict[date, dict[Task, StudentDays]], dict[date, set[Task]]]:
    """The student-days of each day, and the tasks that were tested on it."""
    days: dict[date, dict[Task, StudentDays]] = {}
    tested: dict[date, set[Task]] = {}
    statement = text("""
        select day, oauth_consumer_key, course, task, students, solved, is_tested
        from task_days where day between :first and :as_of
    """)
    for day, key, course, task, students, solved, is_tested in connection.execute(
        statement, values
    ):
        name = Task(key, course, task)
        days.setdefault(day, {})[name] = StudentDays(students, solved)
        tested_tasks = tested.setdefault(day, set())
        if is_tested:
            tested_tasks.add(name)
    return days, tested


def _alarms(connection: Connection, values: Mapping[str, date]) -> dict[date, dict[Task, Alarm]]:
    alarms: dict[date, dict[Task, Alarm]] = {}
    statement = text("""
        select day, oauth_consumer_key, course, task, kind, students, solved,
            usual_student_days, usual_solved, q, since
        from task_alarms where day between :first and :as_of
    """)
    for row in connection.execute(statement, values):
        today = StudentDays(row.students, row.solved)
        usual = StudentDays(row.usual_student_days, row.usual_solved)
        name = Task(row.oauth_consumer_key, row.course, row.task)
        alarms.setdefault(row.day, {})[name] = Alarm(row.kind, today, usual, row.q, row.since)
    return alarms


def _write_tested(connection: Connection, day: date, tasks: frozenset[Task]) -> None:
    """The mark ``is_tested`` of the tasks is inverted on this day."""
    statement = """
        update task_days set is_tested = not is_tested where day = :day
            and oauth_consumer_key = :oauth_consumer_key and course = :course and task = :task
    """
    connection.execute(text(statement), [{"day": day, **task._asdict()} for task in tasks])


def _write_alarms(connection: Connection, day: date, alarms: Mapping[Task, Alarm]) -> None:
    connection.execute(text("delete from task_alarms where day = :day"), {"day": day})
    if alarms:
        statement = """
            insert into task_alarms (
                day, oauth_consumer_key, course, task, kind, students, solved, solved_pct,
                usual_pct, usual_student_days, usual_solved, q, since
            ) values (
                :day, :oauth_consumer_key, :course, :task, :kind, :students, :solved,
                :solved_pct, :usual_pct, :usual_student_days, :usual_solved, :q, :since
            )
        """
        connection.execute(
            text(statement), [_row(day, task, alarm) for task, alarm in alarms.items()]
        )


def _row(day: date, task: Task, alarm: Alarm) -> dict[str, Any]:
    return {
        "day": day,
        **task._asdict(),
        "kind": alarm.kind,
        **alarm.today._asdict(),
        "solved_pct": 100 * alarm.today.solved / alarm.today.students,
        "usual_pct": 100 * alarm.usual.solved / alarm.usual.students,
        "usual_student_days": alarm.usual.students,
        "usual_solved": alarm.usual.solved,
        "q": alarm.q,
        "since": alarm.since,
    }
