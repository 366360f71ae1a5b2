"""How often alarms are false, and how soon a break is found, by the product's own tests."""

import json
import math
import random
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import pytest

from lms_assets.statistics.alarms import COLLAPSED, StudentDays, Task, Verdict, judged_again

RECORDED = Path(__file__).parents[1] / "data" / "recodex_2017_attempts.json"
FIRST = date(2024, 1, 1)
WEEKS, TASKS = 14, 50

Days = Mapping[date, Mapping[Task, StudentDays]]


def judged(days: Days) -> dict[date, Verdict]:
    first, last = min(days), max(days)
    return dict(judged_again(days, {}, first=first, last_changed=last, as_of=last))


def false_and_tested(days: Days) -> tuple[int, int]:
    """On how many of the tested days there is an alarm, and how many were tested."""
    tested = [verdict for verdict in judged(days).values() if verdict.tested]
    return sum(bool(verdict.alarms) for verdict in tested), len(tested)


def recorded_submits() -> dict[str, list[tuple[date, str, bool]]]:
    """Task → day, student and verdict of each graded submit of the recorded fortnight."""
    by_task: dict[str, list[tuple[date, str, bool]]] = defaultdict(list)
    for record in json.loads(RECORDED.read_text(encoding="utf-8")):
        if record["attempt_type"] == "submit" and record["is_correct"] is not None:
            task = record["passback_params"].partition("-v1:")[2].split(":")[1]
            day = date.fromisoformat(record["created_at"][:10])
            by_task[task].append((day, record["lti_user_id"], bool(record["is_correct"])))
    return by_task


def shuffled(submits: Mapping[str, list[tuple[date, str, bool]]], seed: int) -> Days:
    """The student-days after the verdicts of each task were dealt out anew."""
    seeded = random.Random(seed)
    days: dict[date, dict[Task, StudentDays]] = defaultdict(dict)
    for task, known in submits.items():
        verdicts = [is_correct for _, _, is_correct in known]
        seeded.shuffle(verdicts)
        solved: dict[tuple[date, str], bool] = defaultdict(bool)
        for (day, student, _), is_correct in zip(known, verdicts, strict=True):
            solved[day, student] |= is_correct
        for day in {day for day, _ in solved}:
            of_day = [is_solved for (at, _), is_solved in solved.items() if at == day]
            days[day][Task("", "c", task)] = StudentDays(len(of_day), sum(of_day))
    return days


def term(seed: int, students: int, *, broken: int | None = None, broken_from: date = FIRST) -> Days:
    """A term of 14 weeks with 50 tasks, three or four new ones a week, able students first.

    Each student sits down to a new task on the day of the week that their rank gives them, a day
    and a half earlier or later, and comes back on the days after until it is solved or given up.

    Args:
        broken: The task that nobody solves from ``broken_from`` on.
    """
    seeded = random.Random(seed)
    abilities = sorted((seeded.gauss(0, 1) for _ in range(students)), reverse=True)
    days: dict[date, dict[Task, StudentDays]] = defaultdict(dict)
    for number in range(TASKS):
        task, ease = Task("", "c", str(number)), seeded.uniform(-0.4, 1.4)
        for rank, ability in enumerate(abilities):
            first = min(max(7 * rank / students + seeded.gauss(0, 1.5), 0), 6.99)
            share = 1 / (1 + math.exp(-ease - 0.8 * ability))
            for later in range(1 + int(seeded.expovariate(1 / 0.8))):
                day = begins(number) + timedelta(days=int(first) + later)
                is_broken = number == broken and day >= broken_from
                is_solved = seeded.random() < share and not is_broken
                before = days[day].get(task, StudentDays(0, 0))
                days[day][task] = StudentDays(before.students + 1, before.solved + is_solved)
                if is_solved:
                    break
    return days


def begins(number: int) -> date:
    """The Monday on which a task is new."""
    return FIRST + timedelta(weeks=number * WEEKS // TASKS)


def found_at_once(students: int) -> list[bool]:
    """For a hundred breaks, each of a task in its week: whether its first tested day told of it."""
    found = []
    for seed in range(100):
        seeded = random.Random(f"break {seed}")
        number = seeded.randrange(TASKS)
        day = begins(number) + timedelta(days=seeded.randrange(1, 7))
        verdicts = judged(term(seed, students, broken=number, broken_from=day))
        task = Task("", "c", str(number))
        tested = (v for on, v in sorted(verdicts.items()) if on >= day and task in v.tested)
        first = next(tested, None)
        if first is not None:
            alarm = first.alarms.get(task)
            found.append(alarm is not None and alarm.kind == COLLAPSED)
    return found


@pytest.mark.slow
def test_verdicts_without_order_give_an_alarm_on_one_tested_day_in_a_hundred_at_most() -> None:
    submits = recorded_submits()
    found = [false_and_tested(shuffled(submits, seed)) for seed in range(1_000)]
    alarmed, tested = (sum(counts) for counts in zip(*found, strict=True))
    assert tested > 1_000
    assert alarmed <= 0.01 * tested


@pytest.mark.slow
def test_able_students_first_in_each_week_give_few_alarms_in_a_term_without_a_fault() -> None:
    found = [false_and_tested(term(seed, students=120)) for seed in range(20)]
    alarmed, tested = (sum(counts) for counts in zip(*found, strict=True))
    assert tested > 1_000
    assert alarmed <= 0.05 * tested


@pytest.mark.slow
def test_a_full_break_is_found_on_its_first_tested_day_in_nine_of_ten() -> None:
    found = found_at_once(students=120)
    assert len(found) == 100
    assert sum(found) >= 0.9 * len(found)


@pytest.mark.slow
def test_in_a_course_of_half_the_size_six_breaks_of_ten_are_found_at_once() -> None:
    """Eight students who fail are not proof enough where every second one fails on other days."""
    found = found_at_once(students=60)
    assert len(found) > 80
    assert 0.5 * len(found) <= sum(found) <= 0.7 * len(found)
