"""Figures 13 to 15 against a plain computation, after each change of some days."""

import random
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta

import pytest
from scipy import stats
from sqlalchemy import Connection, text

from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics import measures
from lms_assets.statistics.alarms import (
    StudentDays,
    Task,
    Verdict,
    adjusted,
    fisher,
    is_far,
    judged_again,
)
from lms_assets_tests.statistics import oracle_beyond as plain
from lms_assets_tests.statistics.oracle import Attempt, Oracle
from lms_assets_tests.statistics.test_measures import assert_same, keyed, load, rows, stored

FIRST = date(2025, 3, 1)
T1, T2 = Task("", "c1", "t1"), Task("", "c1", "t2")
TASK_KEY = ("oauth_consumer_key", "course", "task")


@pytest.fixture
def database(warehouse: Warehouse) -> Iterator[Connection]:
    with warehouse.engine.begin() as connection:
        yield connection


# ------------------------------------------------------------------ the tests of a day


@pytest.mark.parametrize("seed", range(20))
def test_the_exact_probabilities_are_those_of_scipy_and_of_counting(seed: int) -> None:
    seeded = random.Random(seed)
    n, m = seeded.randint(8, 60), seeded.randint(20, 900)
    today = StudentDays(n, seeded.randint(0, n))
    usual = StudentDays(m, seeded.randint(0, m))
    table = [
        [today.solved, n - today.solved],
        [usual.solved, m - usual.solved],
    ]
    expected = [stats.fisher_exact(table, alternative=side).pvalue for side in ("less", "greater")]
    assert fisher(today, usual) == pytest.approx(expected, rel=1e-9)
    counted = plain.tails(today.solved, n, usual.solved, m)
    assert fisher(today, usual) == pytest.approx([float(p) for p in counted], rel=1e-12)


def test_the_exact_probabilities_of_large_tasks_stay_exact() -> None:
    today, usual = StudentDays(20_000, 9_700), StudentDays(500_000, 250_000)
    low, high = fisher(today, usual)
    assert low == pytest.approx(stats.hypergeom.cdf(9_700, 520_000, 259_700, 20_000), rel=1e-7)
    assert low + high > 1


@pytest.mark.parametrize("seed", range(20))
def test_the_adjusted_probabilities_are_those_of_scipy_and_of_the_definition(seed: int) -> None:
    seeded = random.Random(seed)
    p = [round(seeded.random() ** 3, 2) for _ in range(seeded.randint(1, 40))]
    assert adjusted(p) == pytest.approx(list(stats.false_discovery_control(p, method="bh")))


def test_nothing_tested_is_nothing_adjusted() -> None:
    assert adjusted([]) == []


def test_a_third_of_the_usual_share_is_far_and_more_is_not() -> None:
    usual = StudentDays(100, 60)
    assert is_far("collapsed", StudentDays(10, 2), usual)
    assert not is_far("collapsed", StudentDays(10, 3), usual)
    assert is_far("surged", StudentDays(30, 26), usual)
    assert not is_far("surged", StudentDays(30, 25), usual)


# ------------------------------------------------------------------ day after day


def verdicts_of(shares: Iterable[tuple[int, int] | None]) -> dict[int, Verdict]:
    """One task's verdicts, by the number of the day; None is a day without student-days."""
    days = {
        FIRST + timedelta(days=n): {T1: StudentDays(*one)}
        for n, one in enumerate(shares)
        if one is not None
    }
    last = max(days)
    found = judged_again(days, {}, first=FIRST, last_changed=last, as_of=last)
    return {(day - FIRST).days: verdict for day, verdict in found}


def alarms_of(shares: Iterable[tuple[int, int] | None]) -> dict[int, tuple[str, int]]:
    """Number of the day → kind of its alarm, number of the alarm's first day."""
    return {
        day: (verdict.alarms[T1].kind, (verdict.alarms[T1].since - FIRST).days)
        for day, verdict in verdicts_of(shares).items()
        if verdict.alarms
    }


GOOD, BROKEN = (20, 14), (20, 0)


def test_an_alarm_goes_on_with_its_first_day_and_ends_when_the_task_is_itself_again() -> None:
    assert alarms_of([GOOD] * 5 + [BROKEN] * 3 + [GOOD, BROKEN]) == {
        5: ("collapsed", 5),
        6: ("collapsed", 5),
        7: ("collapsed", 5),
        9: ("collapsed", 9),
    }


def test_a_day_that_cannot_be_tested_neither_shows_nor_ends_an_alarm() -> None:
    too_few = (7, 5)
    assert alarms_of([GOOD] * 5 + [BROKEN, too_few, None, BROKEN]) == {
        5: ("collapsed", 5),
        8: ("collapsed", 5),
    }


def test_an_alarm_closes_after_28_days_and_the_new_share_becomes_the_usual_one() -> None:
    found = alarms_of([GOOD] * 28 + [BROKEN] * 40)
    assert set(found) == set(range(28, 56))
    assert set(found.values()) == {("collapsed", 28)}


def test_days_in_alarm_are_not_usual() -> None:
    found = verdicts_of([GOOD] * 5 + [BROKEN] * 3)
    assert found[7].alarms[T1].usual == StudentDays(100, 70)


def test_a_leaked_answer_is_a_surge_and_another_kind_is_another_alarm() -> None:
    found = alarms_of([(20, 8)] * 10 + [(20, 20), (20, 0)])
    assert found == {10: ("surged", 10), 11: ("collapsed", 11)}


def test_the_usual_needs_twenty_student_days_and_the_day_eight() -> None:
    found = verdicts_of([(10, 7), (9, 7), (8, 0), (8, 0)])
    assert [bool(found[day].tested) for day in range(4)] == [False, False, False, True]


def test_a_change_without_effect_is_judged_no_further_than_it_can_reach() -> None:
    days = {FIRST + timedelta(days=n): {T1: StudentDays(*GOOD)} for n in range(200)}
    last = max(days)
    before = dict(judged_again(days, {}, first=FIRST, last_changed=last, as_of=last))
    changed = FIRST + timedelta(days=60)
    days[changed] = {T1: StudentDays(21, 14)}
    again = dict(judged_again(days, before, first=changed, last_changed=changed, as_of=last))
    assert max(again) == changed + timedelta(days=28)
    assert before | again == dict(
        judged_again(days, {}, first=FIRST, last_changed=last, as_of=last)
    )


@pytest.mark.parametrize("seed", range(10))
def test_judging_the_changed_days_again_gives_what_judging_all_days_gives(seed: int) -> None:
    seeded = random.Random(seed)

    def some_day() -> dict[Task, StudentDays]:
        share = seeded.choice([0, 0.05, 0.5, 0.5, 0.6, 0.6, 0.9, 1])
        counts = {task: seeded.choice([0, 5, 12, 30]) for task in (T1, T2)}
        return {task: StudentDays(n, round(n * share)) for task, n in counts.items() if n}

    days = {FIRST + timedelta(days=n): some_day() for n in range(150)}
    last = max(days)

    def all_anew() -> dict[date, Verdict]:
        return dict(judged_again(days, {}, first=FIRST, last_changed=last, as_of=last))

    verdicts = all_anew()
    for _ in range(15):
        first = FIRST + timedelta(days=seeded.randrange(150))
        changed = [d for d in (first, first + timedelta(days=seeded.randrange(9))) if d <= last]
        for day in changed:
            days[day] = some_day()
            verdicts[day] = Verdict(alarms=verdicts[day].alarms)
        verdicts |= dict(
            judged_again(days, verdicts, first=first, last_changed=max(changed), as_of=last)
        )
        assert verdicts == all_anew()


# ------------------------------------------------------------------ in the database


def some_attempts(seeded: random.Random, first: date, days: int, users: int) -> list[Attempt]:
    """Students who try most of a day's tasks, which now and then break or leak."""
    attempts = []
    for n in range(days):
        for number in range(7):
            course = "c1" if number < 6 else "c2"
            luck = seeded.choice([0, 0.4, 0.5, 0.6, 0.6, 1])
            for user in range(users):
                if seeded.random() < 0.6 and (n + user) % 40 < 22:
                    start = datetime.combine(first + timedelta(days=n), datetime.min.time())
                    at = start + timedelta(minutes=seeded.randrange(1440), seconds=number)
                    able = luck + (user - users / 2) / (2 * users)
                    kind = seeded.choice(["run", "submit", "submit", "submit"])
                    verdict = seeded.random() < able if kind == "submit" else None
                    attempts.append(Attempt(f"u{user}", at, kind, verdict, course, f"t{number}"))
    return attempts


BEYOND = {
    "task_days": "day, oauth_consumer_key, course, task",
    "task_alarms": "day, oauth_consumer_key, course, task",
    "figure_14_discrimination": "course, task, oauth_consumer_key",
    "figure_15_where_students_stop": "course, task, oauth_consumer_key",
}


def beyond(connection: Connection) -> dict[str, list[dict[str, object]]]:
    return {t: rows(connection, f"select * from {t} order by {key}") for t, key in BEYOND.items()}


@pytest.mark.parametrize("seed", range(3))
def test_figures_13_to_15_after_each_change_are_those_of_a_plain_computation(
    database: Connection, seed: int
) -> None:
    seeded = random.Random(seed)
    users, span, zone = 40, 45, "America/Havana"
    load(database, some_attempts(seeded, FIRST, span, users))
    as_of = FIRST + timedelta(days=span)
    measures.refresh(database, [], zone=zone, as_of=as_of)
    shown = 0
    for _ in range(4):
        start = FIRST + timedelta(days=seeded.randrange(span + 3))
        length = seeded.choice([1, 1, 3])
        days = {start + timedelta(days=n) for n in range(-1, length + 1)}
        if seeded.random() < 0.4:
            window = {"start": start, "end": start + timedelta(days=length)}
            gone = "delete from attempts where created_at >= :start and created_at < :end"
            database.execute(text(gone), window)
        else:
            load(database, some_attempts(seeded, start, length, users))
        as_of += timedelta(days=seeded.choice([0, 1, 15]))
        measures.refresh(database, days, zone=zone, as_of=as_of)
        oracle = Oracle(stored(database), zone, as_of, ())
        alarms = keyed(measures.alarms(database), "day", *TASK_KEY)
        assert_same(alarms, plain.alarms(oracle))
        discrimination = plain.discrimination(oracle)
        assert_same(keyed(measures.discrimination(database), *TASK_KEY), discrimination)
        stops = plain.stops(oracle)
        assert_same(keyed(measures.stops(database), *TASK_KEY), stops)
        shown += len(alarms) and len(discrimination) and len(stops)
        refreshed = beyond(database)
        with database.begin_nested() as aside:
            measures.refresh_all(database, zone=zone, as_of=as_of)
            assert beyond(database) == refreshed
            aside.rollback()
    assert shown, "no change of the test shows all three figures"


def test_alarms_are_read_the_newest_day_first_and_collapsed_before_surged(
    database: Connection,
) -> None:
    attempts = []
    for n in range(6):
        for user in range(20):
            at = datetime.combine(FIRST + timedelta(days=n), datetime.min.time())
            broken, leaked = (False, True) if n == 5 else (user < 14, user < 8)
            for task, correct in (("broken", broken), ("leaked", leaked), ("sound", user < 10)):
                attempts.append(Attempt(f"u{user}", at, "submit", correct, "c1", task))
                at += timedelta(minutes=1)
    load(database, attempts)
    newest = FIRST + timedelta(days=5)
    measures.refresh(database, [], zone="UTC", as_of=newest)
    found = [(a["task"], a["kind"], a["since"]) for a in measures.alarms(database, newest)]
    assert found == [("broken", "collapsed", newest), ("leaked", "surged", newest)]
    assert measures.alarms(database, FIRST) == []
