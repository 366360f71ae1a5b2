"""Missing days are found in the ledger and asked for, a few at a time, in one batch."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text

from lms_assets.automation.catch_up import find_gaps, finished_days, request_days
from lms_assets.automation.gaps import AT_A_TIME, MAX_TRIES
from lms_assets.faults import PermanentFault, TemporaryFault
from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.batches import CATCH_UP_AGAIN
from lms_assets.runs.endings import GivenUpDay
from lms_assets.settings import Settings
from lms_assets.statistics import measures
from lms_assets_tests.day_loads import loaded, record
from lms_assets_tests.tiny_runs import ran, started

# Runs carry the real clock's time: an hour at which the schedule has had its turn.
NOW = datetime.now(UTC).replace(hour=12)
TODAY = NOW.date()
REFUSED = PermanentFault("api.credentials_refused", status=401)
DOWN = TemporaryFault("api.cut_short")


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(url=str(tmp_path / "lake"))


def settings(first: int = 3, catch_up: int = 30, **others: object) -> Settings:
    return Settings(lms_first_day=ago(first), lms_catch_up_days=catch_up, _env_file=None, **others)


def hold(warehouse: Warehouse, lake: Lake, *days: int) -> None:
    """The days are loaded, and their figures are computed."""
    for n in days:
        loaded(warehouse, lake, [record(day=ago(n))], day=ago(n))
    with warehouse.begin() as connection:
        measures.refresh(connection, [], zone="UTC", as_of=ago(min(days)))


def test_days_that_the_ledger_does_not_hold_are_missing(
    instance: dg.DagsterInstance, warehouse: Warehouse, lake: Lake
) -> None:
    hold(warehouse, lake, 2)
    assert find_gaps(instance, warehouse, settings(), now=NOW).days == [ago(3), ago(1)]


def test_a_day_whose_run_failed_after_its_load_is_done_once_the_run_was_executed_again(
    instance: dg.DagsterInstance, warehouse: Warehouse, lake: Lake
) -> None:  # R11
    hold(warehouse, lake, 2)
    failed = ran(instance, ago(2), fails_with=REFUSED)
    with warehouse.begin() as connection:
        connection.execute(text("update load_ledger set run_id = :run"), {"run": failed})
    assert finished_days(instance, warehouse, ago(3), ago(1)) == set()
    again = {"dagster__parent_run_id": failed, "dagster__root_run_id": failed}
    ran(instance, ago(2), fails_with=REFUSED, **again)
    assert finished_days(instance, warehouse, ago(3), ago(1)) == set()
    ran(instance, ago(2), **again)
    assert finished_days(instance, warehouse, ago(3), ago(1)) == {ago(2)}


def test_days_before_the_catch_up_window_are_left_to_a_person(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    found = find_gaps(instance, warehouse, settings(first=400, catch_up=2), now=NOW)
    assert found.days == [ago(2), ago(1)]


def test_no_day_is_caught_up_where_that_is_set_to_none(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    assert find_gaps(instance, warehouse, settings(catch_up=0), now=NOW).days == []


@pytest.mark.parametrize(("hour", "minute", "missing"), [(6, 0, []), (7, 59, []), (8, 0, [1])])
def test_yesterday_alone_is_left_to_the_schedule_until_an_hour_after_its_tick(
    instance: dg.DagsterInstance,
    warehouse: Warehouse,
    lake: Lake,
    hour: int,
    minute: int,
    missing: list[int],
) -> None:
    hold(warehouse, lake, 2, 3)
    now = NOW.replace(hour=hour, minute=minute)
    assert find_gaps(instance, warehouse, settings(), now=now).days == [ago(n) for n in missing]


@pytest.mark.parametrize(("hour", "missing"), [(3, [3, 2, 1]), (7, [3, 2])])
def test_after_a_pause_yesterday_is_caught_up_with_the_others_unless_its_tick_is_at_work(
    instance: dg.DagsterInstance, warehouse: Warehouse, hour: int, missing: list[int]
) -> None:
    found = find_gaps(instance, warehouse, settings(), now=NOW.replace(hour=hour))
    assert found.days == [ago(n) for n in missing]


def test_the_days_of_the_three_day_schedule_are_not_missing_before_their_tick(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    every_3_days = Settings(lms_first_day="2025-07-07", lms_schedule="every_3_days", _env_file=None)
    before, after = (datetime(2025, 7, day, 12, tzinfo=UTC) for day in (9, 10))
    assert find_gaps(instance, warehouse, every_3_days, now=before).days == []
    assert len(find_gaps(instance, warehouse, every_3_days, now=after).days) == 3


def test_a_machine_that_was_off_over_two_midnights_has_every_day_asked_for(
    instance: dg.DagsterInstance, warehouse: Warehouse, lake: Lake
) -> None:
    hold(warehouse, lake, 3)
    asked = request_days(
        instance, warehouse, find_gaps(instance, warehouse, settings(), now=NOW), now=NOW
    )
    assert asked.days == [ago(1), ago(2)]


def test_many_days_are_asked_for_a_few_at_a_time_in_one_batch(
    instance: dg.DagsterInstance, warehouse: Warehouse, lake: Lake
) -> None:
    wide = settings(first=5)
    asked: list[date] = []
    batches = set()
    for _ in range(5):
        gaps = find_gaps(instance, warehouse, wide, now=NOW)
        requests = request_days(instance, warehouse, gaps, now=NOW)
        assert len(requests.days) <= AT_A_TIME
        for day in requests.days:
            ran(instance, day, batch=requests.batch)
            loaded(warehouse, lake, [record(day=day)], day=day)
        asked += requests.days
        batches |= {requests.batch} - {""}
    assert asked == [ago(1), ago(2), ago(3), ago(4), ago(5)]
    assert len(batches) == 1


def test_no_more_are_asked_for_while_as_many_are_under_way(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    wide = settings(first=5)
    first = request_days(
        instance, warehouse, find_gaps(instance, warehouse, wide, now=NOW), now=NOW
    )
    for day in first.days:
        started(instance, day, **{"lms/batch": first.batch})
    gaps = find_gaps(instance, warehouse, wide, now=NOW)
    assert request_days(instance, warehouse, gaps, now=NOW).days == []


def test_a_day_that_runs_for_somebody_else_is_not_asked_for(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    started(instance, ago(1))
    gaps = find_gaps(instance, warehouse, settings(), now=NOW)
    assert request_days(instance, warehouse, gaps, now=NOW).days == [ago(2), ago(3)]


def test_a_day_that_came_in_meanwhile_is_not_asked_for(
    instance: dg.DagsterInstance, warehouse: Warehouse, lake: Lake
) -> None:
    wide = settings(first=4)
    first = request_days(
        instance, warehouse, find_gaps(instance, warehouse, wide, now=NOW), now=NOW
    )
    for day in first.days:
        ran(instance, day, batch=first.batch)
    hold(warehouse, lake, 1, 2, 3, 4)
    gaps = find_gaps(instance, warehouse, wide, now=NOW)
    assert request_days(instance, warehouse, gaps, now=NOW).days == []


def test_a_day_that_failed_rests_before_it_is_asked_for_again(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    ran(instance, ago(1), fails_with=DOWN)
    gaps = find_gaps(instance, warehouse, settings(first=1), now=NOW)
    failed = gaps.tries[ago(1)].last_failed_at
    assert failed is not None
    soon, later = (failed.replace(tzinfo=UTC) + timedelta(minutes=n) for n in (29, 31))
    assert request_days(instance, warehouse, gaps, now=soon).days == ()
    assert request_days(instance, warehouse, gaps, now=later).days == [ago(1)]
    (batch,) = warehouse.rows("select kind from batches")
    assert batch["kind"] == CATCH_UP_AGAIN


def test_a_day_that_failed_too_often_is_given_up(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    runs = [ran(instance, ago(1), fails_with=DOWN) for _ in range(MAX_TRIES)]
    gaps = find_gaps(instance, warehouse, settings(first=2), now=NOW)
    assert gaps.given_up == [GivenUpDay(ago(1), MAX_TRIES, runs[-1])]
    assert request_days(instance, warehouse, gaps, now=NOW).days == [ago(2)]


def test_a_day_that_failed_for_good_waits_until_something_was_mended(
    instance: dg.DagsterInstance, warehouse: Warehouse, lake: Lake
) -> None:
    ran(instance, ago(1), fails_with=REFUSED)
    ran(instance, ago(2), fails_with=DOWN)

    def need_a_person() -> set[date]:
        return set(find_gaps(instance, warehouse, settings(), now=NOW).need_a_person)

    assert need_a_person() == {ago(1)}
    hold(warehouse, lake, 3)
    assert need_a_person() == set()
