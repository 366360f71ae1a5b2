import ast
import json
import random
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection, text

from lms_assets.days import window_of
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics import measures
from lms_assets_tests.statistics.oracle import Attempt, Figures, Oracle

HARD_ZONE = "America/Havana"  # the hour from midnight to one comes twice in November
DAY = date(2025, 7, 24)


@pytest.fixture
def database(warehouse: Warehouse) -> Iterator[Connection]:
    with warehouse.engine.begin() as connection:
        yield connection


def load(connection: Connection, attempts: Iterable[Attempt]) -> None:
    records = [attempt._asdict() for attempt in attempts]
    if not records:
        return
    connection.execute(
        text(
            "insert into attempts (user_id, created_at, attempt_type, is_correct, course, task, "
            "oauth_consumer_key) values (:user, :at, :kind, :correct, :course, :task, :key) "
            "on conflict on constraint unique_attempt do update set is_correct = "
            "excluded.is_correct, course = excluded.course, task = excluded.task, "
            "oauth_consumer_key = excluded.oauth_consumer_key"
        ),
        records,
    )


def figures_of(
    connection: Connection,
    attempts: Iterable[Attempt],
    *,
    as_of: date = DAY,
    zone: str = "UTC",
    staff: Iterable[str] = (),
) -> None:
    load(connection, attempts)
    measures.refresh_all(connection, zone=zone, as_of=as_of, staff=set(staff))


def rows(connection: Connection, statement: str) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(text(statement)).mappings()]


def row(connection: Connection, statement: str) -> dict[str, Any]:
    [only] = rows(connection, statement)
    return only


def at(clock: str, day: date = DAY) -> datetime:
    return datetime.fromisoformat(f"{day} {clock}")


def submit(clock: str, correct: bool | None, **more: Any) -> Attempt:  # noqa: ANN401
    return Attempt(
        more.pop("user", "ann"), at(clock, more.pop("day", DAY)), "submit", correct, **more
    )


def run(clock: str, **more: Any) -> Attempt:  # noqa: ANN401
    return Attempt(more.pop("user", "ann"), at(clock, more.pop("day", DAY)), "run", **more)


# The figures of a university's real attempts, known from an independent computation.


@pytest.fixture
def recodex(database: Connection, data: Path) -> Connection:
    records = json.loads((data / "recodex_2017_attempts.json").read_text(encoding="utf-8"))
    figures_of(database, map(attempt_of, records), as_of=date(2017, 10, 14))
    return database


@pytest.fixture
def known(data: Path) -> dict[str, Any]:
    return json.loads((data / "recodex_2017_statistics.json").read_text(encoding="utf-8"))


def attempt_of(record: dict[str, Any]) -> Attempt:
    passback = ast.literal_eval(record["passback_params"])
    course, task, _ = passback["lis_result_sourcedid"].rsplit(":", 2)
    verdict = record["is_correct"]
    return Attempt(
        record["lti_user_id"],
        datetime.fromisoformat(record["created_at"]),
        record["attempt_type"],
        None if verdict is None else bool(verdict),
        course,
        task,
        passback["oauth_consumer_key"],
    )


def share_of(pct: float | None, decimals: int = 4) -> float | None:
    return None if pct is None else round(pct / 100, decimals)


def test_figures_01_and_02_of_the_real_attempts_are_the_known_ones(
    recodex: Connection, known: dict[str, Any]
) -> None:
    counts = rows(recodex, "select * from figure_01_volume")
    names = {"attempts": "attempts", "submits": "submit", "wrong": "wrong", "correct": "correct"}
    assert {
        str(day["day"]): {theirs: day[ours] for ours, theirs in names.items() if day[ours]}
        for day in counts
    } == known["01_days"]
    assert all(day["runs"] == day["ungraded"] == 0 for day in counts)
    assert {
        str(day["day"]): [day["users"], day["wau"], day["mau"], day["new_users"]]
        for day in rows(recodex, "select * from figure_02_active_students")
    } == known["02_dau_wau_mau_new"]


def test_figure_03_of_the_real_attempts_is_the_known_one(
    recodex: Connection, known: dict[str, Any]
) -> None:
    success = row(recodex, "select * from figure_03_submit_success")
    assert known["03_submit_success"] == {
        "graded": success["graded"],
        "correct": success["correct"],
        "rate": share_of(success["success_pct"]),
    }
    assert row(recodex, "select attempts from overall_statistics")["attempts"] == known["events"]


def test_figures_04_05_06_and_08_of_the_real_attempts_are_the_known_ones(
    recodex: Connection, known: dict[str, Any]
) -> None:
    assert [
        {
            "task_tail": task["task"][-8:],
            "students": task["students"],
            "first_try": share_of(task["first_try_pct"]),
            "solve_rate": share_of(task["solve_pct"]),
            "med_to_solve": task["median_attempts_to_solve"],
            "p90_to_solve": task["p90_attempts_to_solve"],
            "submits": task["submits"],
            "submit_success": share_of(task["success_pct"]),
            "attempts_per_solver": round(task["attempts_per_solver"], 3),
            "first_try_wilson_upper": share_of(task["first_try_high_pct"]),
        }
        for task in rows(recodex, "select * from figure_08_hardest_tasks")
    ] == known["04_05_06_08_tasks"]
    by_number = {
        4: "first_try_pct from figure_04_first_try_success",
        5: "solve_pct from figure_05_solve_rate",
        6: "median_attempts_to_solve from figure_06_attempts_to_solve",
    }
    for column, key in ((4, "first_try"), (5, "solve_rate"), (6, "med_to_solve")):
        shown = [
            r for (_, *r) in recodex.execute(text(f"select right(task, 8), {by_number[column]}"))
        ]
        scale = 1 if column == 6 else 100
        assert sorted(round(value / scale, 4) for (value,) in shown) == sorted(
            task[key] for task in known["04_05_06_08_tasks"]
        )


def test_figure_07_of_the_real_attempts_is_the_known_one(
    recodex: Connection, known: dict[str, Any]
) -> None:
    times = row(recodex, "select * from figure_07_time_to_solve")
    assert {
        "instant": times["instant_pairs"],
        "pairs": times["timed_pairs"],
        "med_wall": times["median_wall_min"],
        "med_active": times["median_active_min"],
        "p90_active": times["p90_active_min"],
    } == pytest.approx(known["07_time_to_solve_min"], rel=1e-12)


def test_figures_09_10_and_11_of_the_real_attempts_are_the_known_ones(
    recodex: Connection, known: dict[str, Any]
) -> None:
    stuck = row(recodex, "select stuck, gave_up from figure_09_stuck_students")
    assert stuck == known["09_stuck"]
    by_task = rows(recodex, "select stuck, gave_up from figure_09_stuck_students_by_task")
    assert sum(task["stuck"] for task in by_task) == known["09_stuck"]["stuck"]
    runs = row(recodex, "select * from figure_10_runs_before_submits")
    assert known["10_runs"] == {
        "runs_per_submit": runs["runs_per_submit"],
        "blind_share": share_of(runs["blind_pct"]),
        "ok_after_run": share_of(runs["success_after_run_pct"]),
        "ok_blind": share_of(runs["success_blind_pct"]),
    }
    inactive = row(recodex, "select * from figure_11_inactivity")
    assert known["11_inactive"] == {
        "active": inactive["active_students"],
        "at_risk": inactive["at_risk_students"],
        "dropped": inactive["dropped_students"],
    }
    assert known["11_retention"] == {
        f"{cell['cohort_week']}+{cell['weeks_later']}": [
            cell["active"],
            share_of(cell["active_pct"]),
        ]
        for cell in rows(recodex, "select * from figure_11_retention")
    }


def test_figure_12_of_the_real_attempts_is_the_known_one(
    recodex: Connection, known: dict[str, Any]
) -> None:
    for view in ("figure_12_heat_map", "figure_12_heat_map_all_history"):
        assert known["12_heat"] == {
            f"{cell['iso_weekday']}-{cell['hour']:02}": cell["attempts"]
            for cell in rows(recodex, f"select * from {view}")
        }


def test_every_query_of_the_documentation_finds_rows(recodex: Connection) -> None:
    page = Path(__file__).parents[2] / "docs" / "figures.md"
    queries = re.findall(r"```sql\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert len(queries) == 17
    for query in queries:
        assert rows(recodex, query), query


# Each figure on attempts small enough to count by hand.


def test_a_day_is_a_day_of_the_zone(database: Connection) -> None:
    midnight = [submit("20:59:59.999999", True), submit("21:00", False)]
    figures_of(database, midnight, zone="Europe/Moscow", as_of=date(2025, 7, 25))
    assert rows(database, "select day, correct, wrong from daily_statistics order by day") == [
        {"day": DAY, "correct": 1, "wrong": 0},
        {"day": date(2025, 7, 25), "correct": 0, "wrong": 1},
    ]


@pytest.mark.parametrize(("day", "hours"), [(date(2025, 3, 30), 23), (date(2025, 10, 26), 25)])
def test_on_a_day_of_23_or_25_hours_the_hours_add_up_to_the_day(
    database: Connection, day: date, hours: int
) -> None:
    half_hours = [
        datetime.combine(day, datetime.min.time()) + timedelta(minutes=30 * n - 180)
        for n in range(62)
    ]
    figures_of(
        database,
        [Attempt("ann", moment, "run") for moment in half_hours],
        zone="Europe/Berlin",
        as_of=day + timedelta(days=1),
    )
    [of_day] = [d for d in measures.daily(database) if d["day"] == day]
    by_hour = row(database, f"select sum(attempts) as n from student_hours where day = '{day}'")
    assert of_day["attempts"] == by_hour["n"] == 2 * hours


def test_a_midnight_that_comes_twice_begins_its_day_the_first_time(database: Connection) -> None:
    # Cuba, 2 November 2025: at one o'clock (05:00 UTC) it was midnight again.
    day = date(2025, 11, 2)
    twice = [run("03:59", day=day), run("04:30", day=day), run("05:30", day=day)]
    figures_of(database, twice, zone=HARD_ZONE, as_of=day)
    measures.refresh(database, [day], zone=HARD_ZONE, as_of=day)
    assert [(d["day"], d["attempts"]) for d in measures.daily(database)] == [
        (date(2025, 11, 1), 1),
        (day, 2),
    ]


# R5: PostgreSQL's edition of these zones may be another one than that of the tzdata package.
@pytest.mark.parametrize("zone", ["America/Vancouver", "Europe/Chisinau", "Europe/Tiraspol", "CET"])
@pytest.mark.parametrize("day", [date(2025, 3, 30), date(2025, 7, 24), date(2026, 11, 20)])
def test_every_hour_of_a_day_counts_in_the_day_that_tzdata_says(
    database: Connection, zone: str, day: date
) -> None:
    window = window_of(day, ZoneInfo(zone))
    last = window.end - timedelta(microseconds=1)
    moments = [window.start, window.start + timedelta(minutes=30), last]
    figures_of(database, [Attempt("ann", m, "run") for m in moments], zone=zone, as_of=day)
    assert [(d["day"], d["attempts"]) for d in measures.daily(database)] == [(day, 3)]
    days = database.scalars(text("select distinct day from student_attempts"))
    assert list(days) == [day]


def test_offsets_of_another_tzdata_cause_a_full_recomputation(
    database: Connection,
) -> None:
    evening = [run("22:30"), run("23:30", day=DAY - timedelta(days=1))]
    figures_of(database, evening, zone="Europe/Moscow", as_of=DAY + timedelta(days=1))
    right = measures.daily(database)
    for statement in (
        "update zone_offsets set ahead = interval '4 hours'",
        "update daily_figures set attempts = 7",
    ):
        database.execute(text(statement))
    measures.refresh(database, [], zone="Europe/Moscow", as_of=DAY + timedelta(days=1))
    assert measures.daily(database) == right


def test_the_offsets_that_are_kept_do_not_grow_with_every_refresh(database: Connection) -> None:
    """They began a year earlier after each one, until after 2,000 there was no such year."""
    days = [date(2025, 7, day) for day in range(20, 25)]
    figures_of(database, [run("10:00", day=days[0])], zone="Europe/Paris", as_of=days[0])
    before = rows(database, "select starts, ends, ahead from zone_offsets order by starts")
    for day in days[1:]:
        load(database, [run("10:00", day=day)])
        measures.refresh(database, [day], zone="Europe/Paris", as_of=day)
    assert rows(database, "select starts, ends, ahead from zone_offsets order by starts") == before
    load(database, [run("10:00", day=date(2019, 7, 1))])
    measures.refresh(database, [date(2019, 7, 1)], zone="Europe/Paris", as_of=days[-1])
    [oldest] = rows(database, "select min(starts) as starts from zone_offsets")
    assert oldest["starts"].year == 2018


def test_inactivity_is_counted_to_the_newest_day_even_if_that_day_has_no_attempts(
    database: Connection,
) -> None:
    # R4: attempts on 2025-07-01, then empty loaded days up to 2025-07-15.
    figures_of(database, [run("10:00", day=date(2025, 7, 1))], as_of=date(2025, 7, 1))
    for day in range(2, 16):
        measures.refresh(database, [], zone="UTC", as_of=date(2025, 7, day))
    overall = measures.overall(database)
    assert overall is not None
    assert (overall["active_students"], overall["dropped_students"]) == (0, 1)


def test_after_a_full_recomputation_postgresql_knows_how_large_the_tables_are(
    database: Connection,
) -> None:
    """Else the next refresh of a day is planned for empty tables, and reads them whole."""
    figures_of(database, [submit("10:00", True, user=f"u{n}") for n in range(50)])
    known = "select reltuples::int as rows from pg_class where oid = cast(:name as regclass)"
    for name in ("student_hours", "student_activity", "student_task_statistics", "task_days"):
        rows_there = database.scalar(text(f"select count(*) from {name}"))
        assert rows_there
        assert database.scalar(text(known), {"name": name}) == rows_there, name


def test_an_unchanged_day_costs_nothing(database: Connection) -> None:
    figures_of(database, [run("10:00")])
    before = row(database, "select ctid::text, computed_at from daily_figures where course = ''")
    measures.refresh(database, [], zone="UTC", as_of=DAY)
    after = row(database, "select ctid::text, computed_at from daily_figures where course = ''")
    assert after == before


def test_a_day_loaded_again_writes_only_the_rows_that_differ(database: Connection) -> None:
    def places(user: str) -> list[dict[str, Any]]:
        return [
            place
            for table in ("student_hours", "student_activity", "student_task_statistics")
            for place in rows(database, f"select ctid::text from {table} where user_id = '{user}'")
        ]

    figures_of(database, [submit("10:00", False), submit("10:00", False, user="bob", task="t2")])
    ann, bob = places("ann"), places("bob")
    load(database, [submit("10:00", True)])
    measures.refresh(database, [DAY], zone="UTC", as_of=DAY)
    assert places("bob") == bob
    assert not any(place in ann for place in places("ann"))


def test_figures_follow_an_attempt_that_moves_to_another_task_in_the_same_hour(
    database: Connection,
) -> None:
    figures_of(database, [submit("10:00", True)])
    load(database, [submit("10:00", True, task="t2")])
    measures.refresh(database, [DAY], zone="UTC", as_of=DAY)
    assert [(t["task"], t["solvers"]) for t in measures.tasks(database)] == [("t2", 1)]
    assert row(database, "select last_task from student_activity where course = 'c1'") == {
        "last_task": "t2"
    }


def test_an_ungraded_submit_is_shown_and_in_no_denominator(database: Connection) -> None:
    figures_of(database, [submit("10:00", None), submit("10:01", True), run("10:02")])
    day = measures.newest_day(database)
    assert day is not None
    assert [day[c] for c in ("attempts", "runs", "submits", "correct", "wrong", "ungraded")] == [
        3, 1, 2, 1, 0, 1,
    ]  # fmt: skip
    assert day["success_pct"] == 100
    assert day["correct_of_all_pct"] == pytest.approx(100 / 3)
    [task] = measures.tasks(database)
    assert (task["submits"], task["ungraded"], task["attempts_per_solver"]) == (1, 1, 1)


def test_a_ratio_over_nothing_is_empty(database: Connection) -> None:
    figures_of(database, [run("10:00"), submit("11:00", None, user="bob", task="t2")])
    day = measures.newest_day(database)
    overall = measures.overall(database)
    assert day is not None
    assert overall is not None
    assert [day[c] for c in ("success_pct", "success_low_pct", "success_high_pct")] == [None] * 3
    assert day["attempts_trend_pct"] is None
    assert day["run_to_success_pct"] == 0
    empty = ("success_pct", "first_try_pct", "solve_pct", "attempts_per_solver", "median_wall_min")
    assert [overall[c] for c in empty] == [None] * 5


def test_an_attempt_without_a_task_counts_in_the_day_and_in_no_task(database: Connection) -> None:
    figures_of(database, [submit("10:00", True, course=None, task=None), submit("11:00", False)])
    day = measures.newest_day(database)
    assert day is not None
    assert (day["attempts"], day["without_task"], day["without_task_pct"]) == (2, 1, 50)
    assert [(c["course"], c["attempts"]) for c in measures.daily_by_course(database)] == [("c1", 1)]
    assert [(t["course"], t["submits"]) for t in measures.tasks(database)] == [("c1", 1)]


def test_staff_are_left_out_of_every_figure_and_kept_in_the_table(database: Connection) -> None:
    figures_of(database, [submit("10:00", True), submit("10:00", False, user="eve")], staff={"eve"})
    day, overall = measures.newest_day(database), measures.overall(database)
    assert day is not None
    assert overall is not None
    assert (day["users"], day["wrong"], overall["users"], overall["pairs"]) == (1, 0, 1, 1)
    assert row(database, "select count(*) as n from attempts") == {"n": 2}


def test_first_try_looks_at_the_first_graded_submit_alone(database: Connection) -> None:
    attempts = [
        submit("10:00", None), submit("10:01", True), submit("10:02", False),
        submit("10:00", False, user="bob"), submit("10:01", True, user="bob"),
        run("10:00", user="cat"),
    ]  # fmt: skip
    figures_of(database, attempts)
    [task] = measures.tasks(database)
    assert (task["users"], task["students"], task["solvers"]) == (3, 2, 2)
    assert (task["first_try_pct"], task["solve_pct"]) == (50, 100)
    assert (task["median_attempts_to_solve"], task["p90_attempts_to_solve"]) == (1.5, 2)


def test_a_run_at_the_same_instant_comes_before_its_submit(database: Connection) -> None:
    figures_of(database, [submit("10:00", True), run("10:00")])
    pair = row(database, "select * from student_task_statistics")
    assert (pair["blind_submits"], pair["is_instant"], pair["wall_min"]) == (0, False, 0)


def test_active_time_leaves_out_gaps_of_more_than_half_an_hour(database: Connection) -> None:
    attempts = [
        run("10:00"),
        run("10:30"),
        submit("11:00:00.000001", False),
        submit("11:05", True),
        submit("11:06", True),
    ]
    figures_of(database, attempts)
    pair = row(database, "select wall_min, active_min from student_task_statistics")
    assert pair == pytest.approx({"wall_min": 65.0, "active_min": 35 - 1e-6 / 60})


def test_instant_solves_are_counted_apart_from_the_times(database: Connection) -> None:
    figures_of(
        database,
        [submit("10:00", True), run("10:00", user="bob"), submit("10:20", True, user="bob")],
    )
    [task] = measures.tasks(database)
    assert (task["instant_solvers"], task["timed_solvers"], task["median_wall_min"]) == (1, 1, 20)


def test_a_submit_is_blind_when_no_run_came_since_the_last_submit(database: Connection) -> None:
    attempts = [
        submit("10:00", False),
        run("10:01"),
        run("10:02"),
        submit("10:03", True),
        submit("10:04", None),
        submit("10:05", False),
    ]
    figures_of(database, [*attempts, run("10:04:30", task="t2")])
    [task] = [t for t in measures.tasks(database) if t["task"] == "t1"]
    assert (task["runs_per_submit"], task["blind_pct"]) == (0.5, 75)
    assert (task["success_after_run_pct"], task["success_blind_pct"]) == (100, 0)


def wrong_ones(last: str, day: date, user: str = "ann", number: int = 5) -> list[Attempt]:
    end = at(last, day)
    return [Attempt(user, end - timedelta(minutes=n), "submit", False) for n in range(number)]


def test_stuck_becomes_gave_up_seven_days_later_without_a_new_attempt(
    database: Connection,
) -> None:
    figures_of(database, wrong_ones("00:10", DAY), as_of=DAY)
    states = []
    for later in range(5, 9):
        measures.refresh(database, [], zone="UTC", as_of=DAY + timedelta(days=later))
        [task] = measures.tasks(database)
        states.append((later, task["stuck"], task["gave_up"]))
        assert task["as_of"] == DAY + timedelta(days=later)
    assert states == [(5, 1, 0), (6, 1, 0), (7, 0, 1), (8, 0, 1)]
    [who] = measures.students_who_need_help(database)
    assert (who["user_id"], who["state"], who["graded"]) == ("ann", "gave_up", 5)


def test_four_wrong_submits_are_no_cry_for_help(database: Connection) -> None:
    figures_of(database, wrong_ones("10:00", DAY, number=4))
    assert measures.students_who_need_help(database) == []


def test_a_task_of_under_10_students_is_in_no_ranking(database: Connection) -> None:
    few = [submit("10:00", False, user=f"u{n}", task="few") for n in range(9)]
    hard = [submit("10:01", n < 2, user=f"u{n}", task="hard") for n in range(10)]
    easy = [submit("10:02", True, user=f"u{n}", task="easy") for n in range(10)]
    middling = [submit("10:03", n < 3, user=f"u{n}", task="middling") for n in range(10)]
    figures_of(database, [*few, *easy, *middling, *hard])
    ranked = rows(database, "select task, difficulty from hardest_tasks")
    assert ranked == [
        {"task": "hard", "difficulty": "hard"},
        {"task": "middling", "difficulty": None},
        {"task": "easy", "difficulty": "very_easy"},
    ]
    assert [t["task"] for t in measures.tasks(database)] == ["hard", "middling", "easy", "few"]
    assert measures.tasks(database)[-1]["difficulty"] is None


def test_the_trend_compares_with_the_same_weekday_of_the_four_weeks_before(
    database: Connection,
) -> None:
    numbers = {0: 6, 7: 2, 14: 3, 28: 4, 35: 100, 1: 50}
    attempts = [
        run(f"10:{n:02}:{s:02}", day=DAY - timedelta(days=back))
        for back, number in numbers.items()
        for n, s in (divmod(i, 60) for i in range(number))
    ]
    figures_of(database, attempts)
    day = measures.newest_day(database)
    assert day is not None
    assert day["attempts_trend_pct"] == pytest.approx(100)


def test_stickiness_counts_a_day_without_attempts_as_zero_students(database: Connection) -> None:
    figures_of(database, [run("10:00", user="bob", day=DAY - timedelta(days=29)), run("10:00")])
    day = measures.newest_day(database)
    assert day is not None
    assert (day["wau"], day["mau"]) == (1, 2)
    assert day["stickiness_pct"] == pytest.approx(100 * (2 / 30) / 2)


def test_activity_turns_at_7_and_14_days(database: Connection) -> None:
    figures_of(
        database,
        [
            run("10:00", user=f"{back:02}", day=DAY - timedelta(days=back))
            for back in (6, 7, 13, 14)
        ],
    )
    assert rows(
        database, "select user_id, days_inactive, activity from student_statistics order by user_id"
    ) == [
        {"user_id": "06", "days_inactive": 6, "activity": "active"},
        {"user_id": "07", "days_inactive": 7, "activity": "at_risk"},
        {"user_id": "13", "days_inactive": 13, "activity": "at_risk"},
        {"user_id": "14", "days_inactive": 14, "activity": "dropped"},
    ]


def test_the_heat_map_holds_the_last_28_days(database: Connection) -> None:
    figures_of(database, [run("10:00", day=DAY - timedelta(days=n)) for n in (27, 28)])
    assert [cell["attempts"] for cell in measures.heat_map(database) if not cell["course"]] == [1]
    assert len(rows(database, "select * from figure_12_heat_map_all_history")) == 2


def test_a_period_stands_beside_the_one_before(database: Connection) -> None:
    figures_of(
        database,
        [submit("10:00", True), submit("10:00", False, day=DAY - timedelta(days=7)),
         run("11:00", user="bob", day=DAY - timedelta(days=13))],
    )  # fmt: skip
    week = next(p for p in measures.periods(database) if (p["course"], p["period_days"]) == ("", 7))
    columns = ("attempts", "users", "success_pct", "new_users")
    assert [week[c] for c in columns] == [1, 1, 100, 0]
    assert [week[f"previous_{c}"] for c in columns] == [2, 2, 0, 2]
    everything = next(p for p in measures.periods(database) if not p["period_days"])
    assert [everything[f"previous_{c}"] for c in columns] == [None] * 4


def test_what_was_never_loaded_is_no_day_at_all(database: Connection) -> None:
    assert measures.as_of(database) is None
    assert measures.newest_day(database) is None
    measures.refresh(database, [DAY], zone="UTC", as_of=DAY)
    assert measures.as_of(database) == DAY
    assert measures.daily(database) == []
    assert measures.overall(database) is None


def test_a_range_of_days_holds_both_its_ends(database: Connection) -> None:
    figures_of(database, [run("10:00", day=DAY - timedelta(days=n)) for n in range(4)])
    days = measures.daily(database, DAY - timedelta(days=2), DAY - timedelta(days=1))
    assert [d["day"] for d in days] == [date(2025, 7, 22), date(2025, 7, 23)]


def test_an_attempt_after_the_newest_loaded_day_waits_for_its_turn(database: Connection) -> None:
    tomorrow = DAY + timedelta(days=1)
    figures_of(database, [run("10:00"), run("10:00", day=tomorrow)])
    assert [d["day"] for d in measures.daily(database)] == [DAY]
    measures.refresh(database, [], zone="UTC", as_of=tomorrow)
    assert [d["day"] for d in measures.daily(database)] == [DAY, tomorrow]
    measures.refresh(database, [], zone="UTC", as_of=DAY)
    assert [d["day"] for d in measures.daily(database)] == [DAY]


def test_every_column_of_the_figures_says_what_it_means(database: Connection) -> None:
    without = """
        select c.relname || '.' || a.attname
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'v')
          and (c.relkind = 'v' or c.relname ~ '(statistics|retention|student|staff|figure)')
          and col_description(c.oid, a.attnum) is null
    """
    assert list(database.scalars(text(without))) == []


# A day's refresh against a full recomputation, and both against plain Python.

TABLES = {
    "daily_statistics": "day",
    "course_daily_statistics": "day, course",
    "student_hours": "day, hour, course, user_id",
    "student_activity": "course, user_id",
    "student_task_statistics": "user_id, oauth_consumer_key, course, task",
    "task_statistics": "oauth_consumer_key, course, task",
    "retention": "course, cohort_week, weeks_later",
    "retention_counts": "course, cohort_week, week",
    "overall_statistics": "as_of",
}


def everything(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    found = {t: rows(connection, f"select * from {t} order by {key}") for t, key in TABLES.items()}
    for day in found["daily_statistics"]:
        del day["computed_at"]
    return found


def keyed(found: list[dict[str, Any]], *key: str) -> Figures:
    return {tuple(r[c] for c in key) if len(key) > 1 else r[key[0]]: r for r in found}


def assert_same(found: Figures, expected: Figures) -> None:
    assert found.keys() == expected.keys()
    for key, figures in expected.items():
        shown = {column: found[key][column] for column in figures}
        approximate = {
            column: pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value
            for column, value in figures.items()
        }
        assert shown == approximate, key


def assert_agrees_with_python(connection: Connection, oracle: Oracle) -> None:
    assert_same(keyed(measures.daily(connection), "day"), oracle.days(""))
    by_course = keyed(measures.daily_by_course(connection), "course", "day")
    assert_same(
        by_course,
        {(c, day): f for c in oracle.levels if c for day, f in oracle.days(c).items()},
    )
    pair_key = ("user_id", "oauth_consumer_key", "course", "task")
    pairs = rows(connection, "select * from student_task_statistics")
    assert_same(keyed(pairs, *pair_key), oracle.pairs())
    assert_same(keyed(measures.tasks(connection), *pair_key[1:]), oracle.tasks())
    students = rows(connection, "select * from student_statistics")
    assert_same(keyed(students, "user_id"), oracle.students())
    cells = keyed(measures.retention(connection), "course", "cohort_week", "weeks_later")
    assert_same(cells, oracle.retention())
    heat = keyed(measures.heat_map(connection), "course", "iso_weekday", "hour")
    assert_same(heat, oracle.heat_map())
    found = [p for p in measures.periods(connection) if p["attempts"]]
    assert_same(keyed(found, "course", "period_days"), oracle.periods())


def some_attempts(
    seeded: random.Random, first: date, days: int, number: int, users: int = 8
) -> list[Attempt]:
    """Few students, tasks and instants, so that ties, repeats and moves between tasks occur."""
    attempts = []
    for _ in range(number):
        moment = datetime.combine(first, datetime.min.time()) + timedelta(
            days=seeded.randrange(days), minutes=10 * seeded.randrange(144)
        )
        course, task = seeded.choice(
            [("c1", "t1"), ("c1", "t2"), ("c2", "t1"), ("c2", "t3"), (None, None)]
        )
        kind = seeded.choice(["run", "submit", "submit"])
        verdict = seeded.choice([True, False, False, None]) if kind == "submit" else None
        user, key = f"u{seeded.randrange(users)}", seeded.choice(["", "", None, "k"])
        attempts.append(Attempt(user, moment, kind, verdict, course, task, key))
    return attempts


def change_something(
    seeded: random.Random, connection: Connection, first: date, span: int, users: int
) -> set[date]:
    """The days (UTC, a day around each) in which attempts were added, changed or deleted."""
    start = first + timedelta(days=seeded.randrange(span))
    length = seeded.choice([1, 1, 2, 5])
    days = {start + timedelta(days=n) for n in range(-1, length + 1)}
    if seeded.random() < 0.3:
        instants = {"first": start, "end": start + timedelta(days=length), "u": "[0-4]$"}
        deleting = "delete from attempts where created_at >= :first and created_at < :end"
        only = seeded.choice([" and user_id ~ :u", ""])
        connection.execute(text(deleting + only), instants)
    else:
        load(connection, some_attempts(seeded, start, length, seeded.choice([1, 3, 20]), users))
    return days


def stored(connection: Connection) -> list[Attempt]:
    return [
        Attempt(*r)
        for r in connection.execute(
            text(
                "select user_id, created_at, attempt_type, is_correct, course, task, "
                "oauth_consumer_key from attempts"
            )
        )
    ]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("span", "users"), [(40, 8), (120, 40)], ids=["dense", "sparse"])
def test_the_refresh_of_changed_days_equals_a_full_recomputation(
    database: Connection, seed: int, span: int, users: int
) -> None:
    seeded = random.Random(seed)
    zone, staff, first = HARD_ZONE, {"u7"}, date(2025, 9, 20)
    load(database, some_attempts(seeded, first, span, 150, users))
    as_of = first + timedelta(days=span)
    measures.refresh(database, [], zone=zone, as_of=as_of, staff=staff)
    for _ in range(12):
        days = change_something(seeded, database, first, span + 10, users)
        as_of += timedelta(days=seeded.choice([0, 0, 1, 1, 3, -2]))
        if seeded.random() < 0.1:
            staff = {"u7", f"u{seeded.randrange(7)}"}
        if seeded.random() < 0.1:
            zone = seeded.choice(["UTC", HARD_ZONE, "Asia/Kathmandu"])
        measures.refresh(database, days, zone=zone, as_of=as_of, staff=staff)
        refreshed = everything(database)
        assert_agrees_with_python(database, Oracle(stored(database), zone, as_of, staff))
        with database.begin_nested() as aside:
            measures.refresh_all(database, zone=zone, as_of=as_of, staff=staff)
            assert everything(database) == refreshed
            aside.rollback()


def test_the_order_in_which_days_are_loaded_does_not_matter(database: Connection) -> None:
    seeded = random.Random(7)
    attempts = some_attempts(seeded, date(2025, 6, 1), 30, 200)
    days = [date(2025, 6, 1) + timedelta(days=n) for n in range(30)]
    seeded.shuffle(days)
    for day in days:
        load(database, [a for a in attempts if a.at.date() == day])
        measures.refresh(database, [day], zone="UTC", as_of=days[-1])
    measures.refresh(database, [], zone="UTC", as_of=max(days))
    refreshed = everything(database)
    measures.refresh_all(database, zone="UTC", as_of=max(days))
    assert everything(database) == refreshed


def test_days_refreshed_at_once_give_what_one_after_the_other_gives(warehouse: Warehouse) -> None:
    seeded = random.Random(3)
    first = date(2025, 6, 1)
    attempts = some_attempts(seeded, first, 12, 300)
    last = first + timedelta(days=11)

    def load_and_refresh(day: date) -> None:
        with warehouse.engine.begin() as connection:
            load(connection, [a for a in attempts if a.at.date() == day])
        with warehouse.engine.begin() as connection:
            measures.refresh(connection, [day], zone="UTC", as_of=last)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(load_and_refresh, [first + timedelta(days=n) for n in range(12)]))
    with warehouse.engine.begin() as connection:
        refreshed = everything(connection)
        measures.refresh_all(connection, zone="UTC", as_of=last)
        assert everything(connection) == refreshed
