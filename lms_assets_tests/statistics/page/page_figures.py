"""Figures for the page: a small set of literals, and a set as large as a school's three years."""

import math
import random
from datetime import date, timedelta
from typing import Any

from lms_assets.statistics.page.queries import TASK_DAYS, TASK_WEEKS, PageFigures

Row = dict[str, Any]

AS_OF = date(2025, 7, 24)
PYTHON = "course-v1:Org+PY+2025"
SQL = "course-v1:Org+SQL+2025"
PYTHON_HARD = "lms.example.org-11111111111111111111111111111111"
PYTHON_EASY = "lms.example.org-22222222222222222222222222222222"
PYTHON_RARE = "lms.example.org-33333333333333333333333333333333"
SQL_TASK = "lms.example.org-44444444444444444444444444444444"


def wilson(successes: int, trials: int) -> tuple[float | None, float | None]:
    if not trials:
        return None, None
    z, p = 1.959963984540054, successes / trials
    middle = p + z * z / (2 * trials)
    half = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    low, high = (100 * (middle + side * half) / (1 + z * z / trials) for side in (-1, 1))
    return max(0.0, low), min(100.0, high)


def share(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def volume(runs: int, correct: int, wrong: int, ungraded: int = 0) -> Row:
    low, high = wilson(correct, correct + wrong)
    return {
        "attempts": runs + correct + wrong + ungraded,
        "runs": runs,
        "submits": correct + wrong + ungraded,
        "correct": correct,
        "wrong": wrong,
        "ungraded": ungraded,
        "success_pct": share(correct, correct + wrong),
        "success_low_pct": low,
        "success_high_pct": high,
    }


def day(course: str, age: int, counts: Row, *, users: int, wau: int, mau: int) -> Row:
    active = {"users": users, "wau": wau, "mau": mau, "stickiness_pct": 31.25}
    return {"course": course, "day": AS_OF - timedelta(days=age)} | counts | active


def week(course: str, age: int, counts: Row) -> Row:
    return {"course": course, "week": AS_OF - timedelta(days=age)} | counts


def period(course: str, days: int, counts: Row, *, users: int, **more: Any) -> Row:  # noqa: ANN401
    previous = dict.fromkeys(
        ("previous_attempts", "previous_users", "previous_success_pct", "previous_new_users")
    )
    means = {
        "mean_attempts_per_user": counts["attempts"] / users if users else None,
        "median_attempts_per_user": 4.0 if users else None,
        "correct_of_all_pct": share(counts["correct"], counts["attempts"]),
        "run_to_success_pct": share(counts["correct"], counts["runs"]),
    }
    key = {"course": course, "period_days": days, "users": users, "new_users": 0, "as_of": AS_OF}
    return key | counts | means | previous | more


def overall(course: str, counts: Row, *, users: int, stuck: int, gave_up: int) -> Row:
    return (
        {"course": course, "as_of": AS_OF, "users": users, "stuck": stuck, "gave_up": gave_up}
        | counts
        | {
            "without_task": 3,
            "without_task_pct": 0.5,
            "pairs": 200,
            "solved_pairs": 120,
            "instant_pairs": 30,
            "timed_pairs": 90,
            "median_active_min": 18.172428,
            "p90_active_min": 65.05,
            "median_wall_min": 516.2,
            "p90_wall_min": 3020.4,
            "runs_per_submit": 0.125,
            "blind_pct": 87.5,
            "success_after_run_pct": 40.0,
            "success_blind_pct": 20.25,
            "active_students": users - 3,
            "at_risk_students": 2,
            "dropped_students": 1,
        }
    )


def task(course: str, name: str, *, students: int, first_try: int, stuck: int = 0) -> Row:
    low, high = wilson(first_try, students)
    first_try_pct = share(first_try, students)
    difficulty = None
    if students >= 10 and first_try_pct is not None:
        difficulty = "hard" if first_try_pct < 30 else "very_easy" if first_try_pct > 90 else None
    return {
        "oauth_consumer_key": "",
        "course": course,
        "task": name,
        "students": students,
        "is_ranked": students >= 10,
        "difficulty": difficulty,
        "first_try_pct": first_try_pct,
        "first_try_low_pct": low,
        "first_try_high_pct": high,
        "solve_pct": 64.71,
        "submits": 3 * students,
        "ungraded": 1,
        "success_pct": 33.3,
        "median_attempts_to_solve": 2.5,
        "p90_attempts_to_solve": 7,
        "attempts_per_solver": 4.75,
        "stuck": stuck,
        "gave_up": 1 if stuck else 0,
        "instant_solvers": 4,
        "timed_solvers": students - 5,
        "median_active_min": 11.5,
        "p90_active_min": 42.0,
        "median_wall_min": 300.0,
        "p90_wall_min": 4000.0,
        **beyond(students),
    }


def beyond(students: int) -> Row:
    """Figures 14 and 15 of a task, and when students worked on it."""
    if students < 30:
        return {}
    is_odd = students > 50
    return {
        "compared_students": students - 2,
        "discrimination": -0.4567 if is_odd else 0.25,
        "discrimination_low": -0.6124 if is_odd else -0.1,
        "discrimination_high": -0.2681 if is_odd else 0.55,
        "discrimination_state": "negative" if is_odd else "fair",
        "stopped": 6 if is_odd else 5,
        "stopped_solvers": 4 if is_odd else 1,
        "stopped_pct": 40.0 if is_odd else 33.333,
        "course_dropped": 15,
        "worked_on": AS_OF - timedelta(days=20 if is_odd else 30),
    }


def alarm(course: str, name: str, age: int, kind: str, *, since: int, q: float) -> Row:
    return {
        "day": AS_OF - timedelta(days=age),
        "oauth_consumer_key": "",
        "course": course,
        "task": name,
        "kind": kind,
        "students": 20,
        "solved": 1 if kind == "collapsed" else 20,
        "solved_pct": 5.0 if kind == "collapsed" else 100.0,
        "usual_pct": 80.0 if kind == "collapsed" else 25.0,
        "usual_student_days": 60,
        "q": q,
        "since": AS_OF - timedelta(days=since),
    }


def task_day(course: str, name: str, students: int, solved: int, **when: int) -> Row:
    [(key, age)] = when.items()
    return {
        key: AS_OF - timedelta(days=age),
        "oauth_consumer_key": "",
        "course": course,
        "task": name,
        "students": students,
        "solved": solved,
    }


def cohorts(course: str, weeks: int) -> list[Row]:
    monday = AS_OF - timedelta(days=AS_OF.weekday())
    return [
        {
            "course": course,
            "cohort_week": monday - timedelta(weeks=age),
            "weeks_later": later,
            "students": 40,
            "active": 40 >> min(later, 3),
            "active_pct": 100 / 2 ** min(later, 3),
            "is_complete": later < age,
        }
        for age in range(weeks - 1, -1, -1)
        for later in range(age + 1)
    ]


def heat(course: str, hours: dict[tuple[int, int], tuple[int, int]]) -> list[Row]:
    return [
        {"course": course, "iso_weekday": w, "hour": h, "attempts": attempts, "users": users}
        for (w, h), (attempts, users) in hours.items()
    ]


def small() -> PageFigures:
    """Two courses, 40 days; each choice of period and course has numbers of its own."""
    days = [
        day("", 39, volume(4, 1, 3), users=2, wau=2, mau=2),
        day("", 8, volume(60, 20, 40), users=30, wau=31, mau=32),
        day("", 1, volume(100, 30, 70), users=40, wau=50, mau=60),
        day("", 0, volume(762, 315, 563), users=105, wau=120, mau=150),
        day(PYTHON, 39, volume(4, 1, 3), users=2, wau=2, mau=2),
        day(PYTHON, 8, volume(60, 20, 40), users=30, wau=31, mau=32),
        day(PYTHON, 1, volume(90, 25, 60), users=35, wau=45, mau=55),
        day(PYTHON, 0, volume(700, 300, 500), users=100, wau=110, mau=140),
        day(SQL, 1, volume(10, 5, 10), users=5, wau=5, mau=5),
        day(SQL, 0, volume(62, 15, 63), users=9, wau=10, mau=10),
    ]
    return PageFigures(
        as_of=AS_OF,
        zone="Europe/Moscow",
        days=days,
        weeks=[week("", 3, volume(862, 345, 633)), week("", 10, volume(60, 20, 40))],
        periods=[
            period(
                "",
                7,
                volume(862, 345, 633),
                users=120,
                new_users=12,
                previous_attempts=1600,
                previous_users=100,
                previous_success_pct=40.0,
                previous_new_users=0,
            ),
            period("", 28, volume(922, 365, 673), users=150, new_users=148, previous_attempts=8),
            period("", 90, volume(926, 366, 676, 2), users=151, new_users=151),
            period("", 0, volume(926, 366, 676, 2), users=151, new_users=151),
            period(PYTHON, 28, volume(850, 345, 600), users=140, new_users=139),
            period(PYTHON, 0, volume(854, 346, 603), users=141, new_users=141),
            period(SQL, 7, volume(72, 20, 73), users=10, new_users=10, previous_attempts=0),
            period(SQL, 28, volume(72, 20, 73), users=10, new_users=10),
            period(SQL, 0, volume(72, 20, 73), users=10, new_users=10),
        ],
        overall=[
            overall("", volume(926, 366, 676, 2), users=151, stuck=14, gave_up=3),
            overall(PYTHON, volume(854, 346, 603), users=141, stuck=13, gave_up=3),
            overall(SQL, volume(72, 20, 73), users=10, stuck=1, gave_up=0),
        ],
        tasks=[
            task(PYTHON, PYTHON_HARD, students=34, first_try=1, stuck=13),
            task(SQL, SQL_TASK, students=10, first_try=5, stuck=1),
            task(PYTHON, PYTHON_EASY, students=82, first_try=80),
            task(PYTHON, PYTHON_RARE, students=9, first_try=0),
        ],
        alarms=[
            alarm(PYTHON, PYTHON_HARD, 0, "collapsed", since=1, q=0.00000012),
            alarm(SQL, SQL_TASK, 0, "surged", since=0, q=0.0042),
            alarm(PYTHON, PYTHON_HARD, 1, "collapsed", since=1, q=0.001),
        ],
        task_days=[
            task_day(PYTHON, PYTHON_HARD, 10, 8, day=8),
            task_day(PYTHON, PYTHON_HARD, 12, 1, day=1),
            task_day(PYTHON, PYTHON_HARD, 20, 1, day=0),
        ],
        task_weeks=[
            task_day(PYTHON, PYTHON_HARD, 40, 30, week=10),
            task_day(PYTHON, PYTHON_HARD, 42, 10, week=3),
        ],
        retention=[*cohorts("", 4), *cohorts(PYTHON, 4), *cohorts(SQL, 2)],
        heat_map=[
            *heat("", {(1, 9): (500, 80), (7, 23): (3, 2)}),
            *heat(PYTHON, {(1, 9): (480, 75)}),
            *heat(SQL, {(1, 9): (20, 5), (7, 23): (3, 2)}),
        ],
    )


def large(*, days: int = 1096, courses: int = 20, tasks: int = 2_000) -> PageFigures:
    """Three years of a school: as many rows as the database would give, with lifelike numbers."""
    chance = random.Random(6)
    names = ["", *(f"course-v1:School+COURSE{n:02}+2025" for n in range(courses))]
    a_week = [(w, h) for w in range(1, 8) for h in range(24)]
    made_days, made_weeks = [], []
    for course in names:
        size = 40 if course else 40 * courses
        for age in range(days - 1, -1, -1):
            scale = size * (0.55 if (days - age) % 7 > 4 else 1.0) * (1.2 - age / days)
            correct, wrong, runs = (int(scale * chance.uniform(a, 2 * a)) for a in (0.5, 1.0, 2.0))
            users = int(scale * chance.uniform(0.2, 0.4))
            counts = volume(runs, correct, wrong, chance.randrange(3))
            made_days.append(day(course, age, counts, users=users, wau=3 * users, mau=6 * users))
            if age % 7 == 0:
                made_weeks.append(week(course, age, volume(7 * runs, 7 * correct, 7 * wrong)))
    made_tasks = [
        task(
            names[1 + n % courses],
            f"lms.example.org-{chance.getrandbits(128):032x}",
            students=(students := chance.randrange(5, 400)),
            first_try=min(students, int(students * n / tasks)),
            stuck=chance.randrange(8),
        )
        for n in range(tasks)
    ]
    return PageFigures(
        as_of=AS_OF,
        zone="UTC",
        days=made_days,
        weeks=made_weeks,
        periods=[
            period(c, p, volume(4000 + p, 900, 1800), users=900, previous_attempts=5000)
            for c in names
            for p in (7, 28, 90, 0)
        ],
        overall=[
            overall(c, volume(9000, 900, 1800), users=900, stuck=40, gave_up=9) for c in names
        ],
        tasks=made_tasks,
        alarms=[
            alarm(t["course"], t["task"], age, "collapsed", since=age, q=0.001)
            for n, t in enumerate(made_tasks[::40])
            for age in (0, 90 + n)
        ],
        task_days=[
            task_day(t["course"], t["task"], 100 + chance.randrange(99), 90, day=age)
            for age in range(TASK_DAYS - 1, -1, -1)
            for t in made_tasks
        ],
        task_weeks=[
            task_day(t["course"], t["task"], 500 + chance.randrange(499), 450, week=7 * age + 3)
            for age in range(TASK_WEEKS - 1, -1, -1)
            for t in made_tasks
        ],
        retention=[row for course in names for row in cohorts(course, 26)],
        heat_map=[
            row
            for course in names
            for row in heat(course, {cell: (chance.randrange(90), 20) for cell in a_week})
        ],
    )
