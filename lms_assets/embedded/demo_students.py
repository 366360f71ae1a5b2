"""Made-up students: their attempts on any day follow from a seed alone.

One cohort of students joins per week. The plan of a cohort (who works on which day on which task,
and how many tries a task takes) follows from the seed and the week. The attempts of a day follow
from the plans of the cohorts that have not left. So any day can be made without the days before
it, and still a student continues on the next day at the task where the last day ended.

In the largest course each visit begins with a quiz and a puzzle. From ``faults_from`` on the quiz
is broken, so nobody solves it, and the answer to the puzzle has leaked. The task alarms find both.
All other tasks have two or three students a day, too few for an alarm.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from hashlib import blake2b
from random import Random
from typing import NamedTuple

from lms_assets.embedded.demo_quirks import Record, as_sent

HOST = "lms.example.org"
_COURSES = {
    "SkillFactory+DST-3.0+28FEB2021": 45,
    "SkillFactory+SQL2.0+31AUG2020": 28,
    "SkillFactory+DSPR-2.0+14JULY2021": 17,
    "SkillFactory+FPW-2.0+27AUG2020": 10,
}
_TASKS_IN_A_COURSE = 90
_NEVER = 41
_LONGEST_STAY_DAYS = 84
_JOINING_A_WEEK = 52

_BY_WEEKDAY = (1.1, 1.1, 1.05, 1.0, 0.9, 0.55, 0.65)
# Share of visits that begin in each hour, UTC: the afternoon and the evening of Moscow.
_BY_HOUR = (2, 1, 1, 1, 2, 4, 9, 14, 18, 19, 18, 19, 20, 21, 23, 27, 32, 34, 30, 22, 13, 7, 4, 3)
_RUNS_BEFORE_A_SUBMIT = (46, 31, 15, 8)
_RUNS_BEFORE_THE_RIGHT_ONE = (28, 38, 22, 12)


class Task(NamedTuple):
    """A block of a course; ``ease`` is the share of average students who solve it at once."""

    course: str
    block: str
    ease: float
    is_optional: bool


class Episode(NamedTuple):
    """One task in one visit.

    Attributes:
        first: The number of the first try in this visit; 1 if the task is new to the student.
        tries: The number of tries in this visit.
        needed: The number of the try that solves the task.
    """

    task: Task
    first: int
    tries: int
    needed: int


class Opener(NamedTuple):
    """A task with which each visit to its course begins.

    Attributes:
        ease: The share of students who solve it with the first try.
        patience: The number of tries after which a student goes on to the next task.
        needed_when_faulty: The number of the try that solves the task while it is faulty.
    """

    course: str
    name: str
    ease: float
    patience: int
    needed_when_faulty: int


_LARGEST = "SkillFactory+DST-3.0+28FEB2021"
_OPENERS = (
    Opener(_LARGEST, "quiz", ease=0.62, patience=3, needed_when_faulty=_NEVER),
    Opener(_LARGEST, "puzzle", ease=0.3, patience=2, needed_when_faulty=1),
)


class Visit(NamedTuple):
    """The work of one student on one day."""

    student: str
    day: date
    episodes: tuple[Episode, ...]


@dataclass(frozen=True)
class _Character:
    skill: float
    pace: float
    patience: float
    stay_days: int


class DemoStudents:
    """The attempts of all made-up students of a seed.

    A weekday has about 2,000 attempts by 110 students, a Sunday half as many.

    Args:
        seed: Another seed gives other students.
        faults_from: The moment, naive UTC, from which the quiz is broken and the puzzle has
            leaked; never if left out.
    """

    def __init__(self, seed: int = 1, *, faults_from: datetime | None = None) -> None:
        self._seed = seed
        self._faults_from = faults_from
        self._courses = {course: self._tasks(course) for course in _COURSES}
        self._cohort = lru_cache(maxsize=64)(self._planned_cohort)
        self._day = lru_cache(maxsize=16)(self._attempts_of)

    def between(self, start: datetime, end: datetime) -> Iterator[bytes]:
        """The records of [``start``, ``end``], in order, each as JSON.

        Both ends belong to the window, as they may in the API. So a record at midnight is in the
        answers for both days.

        Args:
            start: Naive, UTC.
            end: Naive, UTC.
        """
        for n in range((end.date() - start.date()).days + 1):
            day = start.date() + timedelta(days=n)
            yield from (text for moment, text in self._day(day) if start <= moment <= end)

    def blocks(self) -> Iterator[tuple[str, str, int | str]]:
        """Course, block and number of each task, in order; then quiz and puzzle with a name."""
        for course, tasks in self._courses.items():
            for number, task in enumerate(tasks, start=1):
                yield course, task.block, number
        for opener in _OPENERS:
            yield opener.course, self._opening_task(opener).block, opener.name

    def _opening_task(self, opener: Opener) -> Task:
        block = self._hex(f"{opener.course}:{opener.name}")
        return Task(opener.course, block, opener.ease, is_optional=False)

    def _tasks(self, course: str) -> tuple[Task, ...]:
        rng = self._random(course)
        return tuple(
            Task(
                course,
                self._hex(f"{course}:{n}"),
                # Later tasks are harder; a few of each course are very easy or very hard.
                ease=min(0.97, max(0.06, rng.gauss(0.48 - 0.18 * n / _TASKS_IN_A_COURSE, 0.2))),
                is_optional=rng.random() < 0.15,
            )
            for n in range(_TASKS_IN_A_COURSE)
        )

    def _planned_cohort(self, monday: date) -> dict[date, list[Visit]]:
        """Day → visits of the students who joined in the week that begins on ``monday``."""
        by_day: dict[date, list[Visit]] = {}
        joining = round(self._random(f"cohort:{monday}").gauss(_JOINING_A_WEEK, 5))
        for n in range(max(20, joining)):
            for visit in self._plan(f"{monday}:{n}", monday):
                by_day.setdefault(visit.day, []).append(visit)
        return by_day

    def _plan(self, name: str, monday: date) -> Iterator[Visit]:
        """The visits of one student, from the first day to the last."""
        rng = self._random(f"student:{name}")
        student = self._hex(name)
        (course,) = rng.choices(tuple(_COURSES), tuple(_COURSES.values()))
        (weekday,) = rng.choices(range(7), _BY_WEEKDAY)
        character = _character(rng)
        path = _Path(self._courses[course], character, rng)
        for n in range(character.stay_days):
            day = monday + timedelta(days=weekday + n)
            if path.is_left:
                return
            if n == 0 or rng.random() < character.pace * _BY_WEEKDAY[day.weekday()]:
                yield Visit(student, day, tuple(path.visit()))

    def _attempts_of(self, day: date) -> list[tuple[datetime, bytes]]:
        """The moment and the JSON of each record of one UTC day, in order."""
        monday = day - timedelta(days=day.weekday())
        weeks = range(-(-_LONGEST_STAY_DAYS // 7) + 1)
        cohorts = [self._cohort(monday - timedelta(weeks=week)) for week in weeks]
        attempts = [
            attempt
            for cohort in cohorts
            for visit in cohort.get(day, [])
            for attempt in self._attempts_in(visit)
        ]
        attempts.sort(key=lambda attempt: attempt[0])
        rng = self._random(f"day:{day}")
        if attempts and rng.random() < 0.5:
            attempts[0] = (datetime.combine(day, time.min), attempts[0][1])
        return [sent for attempt in attempts for sent in as_sent(*attempt, rng)]

    def _attempts_in(self, visit: Visit) -> Iterator[tuple[datetime, Record]]:
        rng = self._random(f"visit:{visit.student}:{visit.day}")
        clock = _Clock(visit.day, rng)
        for episode in (*self._openers(visit, clock.now, rng), *visit.episodes):
            clock.pass_s(180)
            for is_correct in _verdicts(episode, rng):
                clock.pass_s(45 if is_correct is None else 70)
                if clock.now.date() != visit.day:
                    return
                yield clock.now, _record(visit.student, episode.task, is_correct)

    def _openers(self, visit: Visit, begins: datetime, rng: Random) -> Iterator[Episode]:
        """The quiz and the puzzle, if the visit is to the course that has them."""
        is_faulty = self._faults_from is not None and begins >= self._faults_from
        course = visit.episodes[0].task.course if visit.episodes else ""
        for opener in _OPENERS:
            if opener.course == course:
                usual = _tries_needed(opener.ease, rng)
                needed = opener.needed_when_faulty if is_faulty else usual
                tries = min(opener.patience, needed)
                yield Episode(self._opening_task(opener), first=1, tries=tries, needed=needed)

    def _random(self, name: str) -> Random:
        # A text as seed gives the same numbers in every process and version of Python.
        return Random(f"{self._seed}:{name}")

    def _hex(self, name: str) -> str:
        return blake2b(f"{self._seed}:{name}".encode(), digest_size=16).hexdigest()


def _character(rng: Random) -> _Character:
    """A quarter of the students stay 1 to 4 days, a third to the end; the others leave between."""
    fate = rng.random()
    if fate < 0.25:
        stay_days = rng.randint(1, 4)
    elif fate < 0.68:
        stay_days = 4 + round(rng.expovariate(1 / 28))
    else:
        stay_days = rng.randint(63, _LONGEST_STAY_DAYS)
    struggles = rng.random() < 0.14
    return _Character(
        skill=rng.gauss(-0.3 if struggles else 0.03, 0.12),
        pace=rng.uniform(0.2, 0.75),
        patience=rng.uniform(3, 8) + (3 if struggles else 0),
        stay_days=min(stay_days, _LONGEST_STAY_DAYS),
    )


class _Path:
    """A student's progress through the tasks of a course."""

    def __init__(self, tasks: tuple[Task, ...], character: _Character, rng: Random) -> None:
        self._tasks = tasks
        self._character = character
        self._rng = rng
        self._position = 0
        self._given_up = 0
        self._tried = 0
        self._needed = 0

    @property
    def is_left(self) -> bool:
        """Whether the student is through the course, or has given up more than 5 tasks."""
        return self._position >= len(self._tasks) or self._given_up > 5

    def visit(self) -> Iterator[Episode]:
        """The tasks of one visit, up to a random number; an unsolved task ends the visit."""
        for _ in range(1 + min(12, int(self._rng.expovariate(1 / 4.8)))):
            self._skip_optional()
            if self.is_left:
                return
            episode = self._next_episode()
            yield episode
            if episode.first + episode.tries <= episode.needed:
                return

    def _skip_optional(self) -> None:
        while (
            not self.is_left
            and not self._tried
            and self._tasks[self._position].is_optional
            and self._rng.random() < 0.7
        ):
            self._position += 1

    def _next_episode(self) -> Episode:
        task = self._tasks[self._position]
        if not self._tried:
            self._needed = _tries_needed(task.ease + self._character.skill, self._rng)
        patience = 1 + int(self._rng.expovariate(1 / self._character.patience))
        tries = min(patience, self._needed - self._tried)
        episode = Episode(task, self._tried + 1, tries, self._needed)
        self._tried += tries
        if self._tried == self._needed:
            self._go_on()
        elif self._rng.random() < 0.25:
            self._given_up += 1
            self._go_on()
        return episode

    def _go_on(self) -> None:
        self._position += 1
        self._tried = 0


def _tries_needed(ease: float, rng: Random) -> int:
    """The number of the try that solves the task; each try is likelier to than the one before."""
    for n in range(40):
        if rng.random() < min(0.9, max(0.04, ease) + 0.015 * n):
            return n + 1
    return _NEVER


def _verdicts(episode: Episode, rng: Random) -> Iterator[int | None]:
    """The attempts of an episode: None for a run, 0 or 1 for a submit."""
    if rng.random() < 0.05:
        yield None
    for n in range(episode.first, episode.first + episode.tries):
        is_right = n == episode.needed
        weights = _RUNS_BEFORE_THE_RIGHT_ONE if is_right else _RUNS_BEFORE_A_SUBMIT
        yield from [None] * rng.choices(range(4), weights)[0]
        yield int(is_right)
        if is_right and rng.random() < 0.06:
            yield 1


class _Clock:
    """The time in a visit: mostly a minute passes, in 1 of 100 steps a break of up to 2 hours."""

    def __init__(self, day: date, rng: Random) -> None:
        (hour,) = rng.choices(range(24), _BY_HOUR)
        begin = time(hour, rng.randrange(60), rng.randrange(60), rng.randrange(1_000_000))
        self.now = datetime.combine(day, begin)
        self._rng = rng

    def pass_s(self, typical_s: float) -> None:
        passed_s = self._rng.lognormvariate(0, 0.8) * typical_s
        if self._rng.random() < 0.01:
            passed_s += self._rng.uniform(1_800, 7_200)
        self.now += timedelta(seconds=passed_s)


def _record(student: str, task: Task, is_correct: int | None) -> Record:
    """A record of the API without ``created_at``, which ``as_sent`` adds."""
    return {
        "lti_user_id": student,
        "passback_params": _passback(student, task),
        "is_correct": is_correct,
        "attempt_type": "run" if is_correct is None else "submit",
    }


def _passback(student: str, task: Task) -> str:
    course = f"course-v1:{task.course}"
    block = f"block-v1:{task.course}+type@lti+block@{task.block}"
    return (
        f"{{'oauth_consumer_key': '', "
        f"'lis_result_sourcedid': '{course}:{HOST}-{task.block}:{student}', "
        f"'lis_outcome_service_url': "
        f"'https://{HOST}/courses/{course}/xblock/{block}/handler_noauth/grade_handler'}}"
    )
