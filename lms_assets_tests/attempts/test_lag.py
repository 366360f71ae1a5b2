"""A day is marked with each change of its attempts, and the mark goes with its new figures."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import Connection

from lms_assets.attempts.lag import lagging_days, mark_lagging
from lms_assets.attempts.merge import Mirror
from lms_assets.automation.catch_up import finished_days
from lms_assets.faults import PermanentFault
from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics import measures
from lms_assets_tests.day_loads import DAY, body_of, cleaned, loaded, merged, record, stored

NEXT_DAY = DAY + timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(url=str(tmp_path / "lake"))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def lag(warehouse: Warehouse) -> set[date]:
    with warehouse.begin() as connection:
        return lagging_days(connection)


def refresh(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        measures.refresh(connection, [], zone="UTC", as_of=NEXT_DAY)


def attempts_by_day(warehouse: Warehouse) -> dict[date, int]:
    with warehouse.begin() as connection:
        return {row["day"]: row["attempts"] for row in measures.daily(connection)}


def test_a_day_whose_rows_changed_lags_until_its_figures_are_computed(
    warehouse: Warehouse, lake: Lake
) -> None:
    loaded(warehouse, lake, [record("ann")])
    loaded(warehouse, lake, [record("ann", day=NEXT_DAY)], day=NEXT_DAY)
    assert lag(warehouse) == {DAY, NEXT_DAY}
    refresh(warehouse)
    assert lag(warehouse) == set()
    loaded(warehouse, lake, [record("ann"), record("bob")], hour=6)
    assert lag(warehouse) == {DAY}
    assert attempts_by_day(warehouse) == {DAY: 1, NEXT_DAY: 1}
    refresh(warehouse)
    assert attempts_by_day(warehouse) == {DAY: 2, NEXT_DAY: 1}


def test_an_unchanged_day_does_not_lag(warehouse: Warehouse, lake: Lake) -> None:
    loaded(warehouse, lake, [record("ann")])
    refresh(warehouse)
    loaded(warehouse, lake, [record("ann")], hour=6)
    assert lag(warehouse) == set()


def test_an_empty_day_that_is_new_lags_until_the_figures_stand_at_its_end(
    warehouse: Warehouse, lake: Lake
) -> None:
    loaded(warehouse, lake, [])
    assert lag(warehouse) == {DAY}


def test_a_day_that_a_mirror_made_smaller_lags(warehouse: Warehouse, lake: Lake) -> None:
    loaded(warehouse, lake, [record("ann"), record("bob"), record("cat")])
    refresh(warehouse)
    answer = stored(lake, body_of([record("ann"), record("bob")]), records=2, hour=6)
    merged(warehouse, lake, cleaned(lake, answer), mirror=Mirror(is_on=True))
    assert lag(warehouse) == {DAY}


def test_a_load_that_is_rolled_back_leaves_no_mark(warehouse: Warehouse, lake: Lake) -> None:
    def load_and_die(connection: Connection) -> None:
        mark_lagging(connection, [DAY])
        raise PermanentFault("database.refused", reason="killed")

    with pytest.raises(PermanentFault):
        warehouse.in_transaction(load_and_die)
    assert lag(warehouse) == set()


def test_a_change_during_a_refresh_keeps_its_mark(warehouse: Warehouse, lake: Lake) -> None:
    loaded(warehouse, lake, [record("ann")])
    with warehouse.begin() as refreshing:
        measures.refresh(refreshing, [], zone="UTC", as_of=DAY)
        # Neither waits for the other, though both touch the marks of one day.
        loaded(warehouse, lake, [record("ann"), record("bob")], hour=6)
    assert lag(warehouse) == {DAY}
    refresh(warehouse)
    assert attempts_by_day(warehouse) == {DAY: 2}


def test_a_day_is_finished_only_when_its_figures_do_not_lag(
    warehouse: Warehouse, lake: Lake, instance: dg.DagsterInstance
) -> None:
    # R8, R12: killed after the merge, or only the assets up to the table were run.
    loaded(warehouse, lake, [record("ann")])
    assert finished_days(instance, warehouse, DAY, DAY) == set()
    refresh(warehouse)
    assert finished_days(instance, warehouse, DAY, DAY) == {DAY}


def test_marks_are_taken_by_a_refresh_of_all_too(warehouse: Warehouse, lake: Lake) -> None:
    loaded(warehouse, lake, [record("ann")])
    with warehouse.begin() as connection:
        measures.refresh_all(connection, zone="UTC", as_of=DAY)
    assert lag(warehouse) == set()


def test_a_mark_says_when_it_was_made(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        mark_lagging(connection, [DAY, DAY])
    [mark] = warehouse.rows("select day, marked_at from lagging_days")
    assert mark["day"] == DAY
    assert abs(mark["marked_at"] - datetime.now(UTC)) < timedelta(minutes=5)
