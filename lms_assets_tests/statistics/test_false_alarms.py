"""How often alarms are false, and how soon a break is found, by the product's own tests."""

import json
import random
from collections import defaultdict
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path

import pytest

from lms_assets.days import days_between
from lms_assets.statistics.alarms import StudentDays, Task, Verdict, judged_anew

RECORDED = Path(__file__).parents[1] / "data" / "recodex_2017_attempts.json"
FIRST = date(2024, 1, 1)

Days = Mapping[date, Mapping[Task, StudentDays]]


def judged(days: Days) -> dict[date, Verdict]:
    first, last = min(days), max(days)
    return dict(judged_anew(days, {}, first=first, last_changed=last, as_of=last))


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


def term(
    seed: int,
    *,
    broken: date | None = None,
    weeks: int = 14,
    fewest: int = 4,
    most: int = 20,
) -> Days:
    """A term of 50 tasks, able students first in each week; from ``broken`` on nobody solves 0."""
    seeded = random.Random(seed)
    ease = [seeded.uniform(0.35, 0.8) for _ in range(50)]
    days: dict[date, dict[Task, StudentDays]] = {}
    for day in days_between(FIRST, FIRST + timedelta(days=7 * weeks - 1)):
        ability = 0.1 - 0.2 * day.weekday() / 6
        days[day] = {}
        for number, share in enumerate(ease):
            students = seeded.randint(fewest, most)
            solved = sum(seeded.random() < share + ability for _ in range(students))
            is_broken = number == 0 and broken is not None and day >= broken
            counts = StudentDays(students, 0 if is_broken else solved)
            days[day][Task("", "c", str(number))] = counts
    return days


@pytest.mark.slow
def test_verdicts_without_order_give_an_alarm_on_one_tested_day_in_a_hundred_at_most() -> None:
    submits = recorded_submits()
    found = [false_and_tested(shuffled(submits, seed)) for seed in range(1_000)]
    alarmed, tested = (sum(counts) for counts in zip(*found, strict=True))
    assert tested > 1_000
    assert alarmed <= 0.01 * tested


@pytest.mark.slow
def test_able_students_first_in_each_week_give_few_alarms_in_a_term_without_a_fault() -> None:
    found = [false_and_tested(term(seed)) for seed in range(20)]
    alarmed, tested = (sum(counts) for counts in zip(*found, strict=True))
    assert tested > 1_000
    assert alarmed <= 0.05 * tested


@pytest.mark.slow
def test_a_full_break_is_found_on_its_first_tested_day_where_20_try_the_task() -> None:
    """With 50 tasks a day and 4 to 20 students on each, only about two in three are found at once.

    There, a hundred probabilities are adjusted together: eight students cannot be proof enough.
    """
    task, broken = Task("", "c", "0"), FIRST + timedelta(weeks=6)
    found = []
    for seed in range(100):
        after = [
            v
            for day, v in sorted(
                judged(term(seed, broken=broken, weeks=8, fewest=20, most=40)).items()
            )
            if day >= broken and task in v.tested
        ]
        alarm = after[0].alarms.get(task)
        found.append(alarm is not None and alarm.kind == "collapsed")
    assert sum(found) >= 0.9 * len(found)
