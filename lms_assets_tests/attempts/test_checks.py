"""What must hold of a loaded day, and what the checks see of the table."""

from datetime import date
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import text

from lms_assets.attempts.checks import (
    DayInTable,
    attempts_are_unique,
    day_in_table,
    every_attempt_lies_in_its_day,
    every_record_is_accounted_for,
)
from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets_tests.day_loads import DAY, loaded, record

UTC_ZONE = ZoneInfo("UTC")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(url=str(tmp_path / "lake"))


def test_a_loaded_day_passes_every_check(warehouse: Warehouse, lake: Lake) -> None:
    load = loaded(warehouse, lake, [record("ann"), record("bob", at="23:59:59.999999")])
    table = day_in_table(DAY, warehouse, zone=UTC_ZONE)
    assert table == DayInTable(stored=2, in_the_day=2, has_key=True)
    for check in (
        every_record_is_accounted_for,
        attempts_are_unique,
        every_attempt_lies_in_its_day,
    ):
        assert check(load, table)[0]


def test_an_attempt_that_somebody_deleted_is_missed(warehouse: Warehouse, lake: Lake) -> None:
    load = loaded(warehouse, lake, [record("ann"), record("bob")])
    with warehouse.begin() as connection:
        connection.execute(text("delete from attempts where user_id = 'ann'"))
    table = day_in_table(DAY, warehouse, zone=UTC_ZONE)
    assert every_record_is_accounted_for(load, table) == (
        False,
        {"received": 2, "kept": 2, "stored": 1},
    )


def test_a_table_without_its_key_is_not_trusted(warehouse: Warehouse, lake: Lake) -> None:
    load = loaded(warehouse, lake, [record("ann")])
    with warehouse.begin() as connection:
        connection.execute(text("alter table attempts drop constraint unique_attempt"))
        # Another key under the same name does not count.
        connection.execute(
            text("alter table attempts add constraint unique_attempt unique (id, user_id)")
        )
    table = day_in_table(DAY, warehouse, zone=UTC_ZONE)
    assert attempts_are_unique(load, table) == (False, {"stored": 1, "unique_attempt": False})


def test_a_day_on_which_the_clocks_change_is_counted_whole(
    warehouse: Warehouse, lake: Lake
) -> None:
    day = date(2025, 10, 26)
    times = ["00:30:00", "01:30:00", "21:59:59"]
    loaded(warehouse, lake, [record("ann", at=at, day=day) for at in times], day=day)
    table = day_in_table(day, warehouse, zone=ZoneInfo("Europe/Berlin"))
    assert table == DayInTable(stored=3, in_the_day=3, has_key=True)
