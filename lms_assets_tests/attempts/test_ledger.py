"""The books balance, by the database's own constraint, and tell what was loaded."""

from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text

from lms_assets.attempts.corrections import corrected_fates
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.ledger import (
    load_of_run,
    loaded_days,
    newest_load,
    newest_loaded_day,
    zone_of_ledger,
)
from lms_assets.faults import PermanentFault
from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets_tests.day_loads import DAY, loaded, record


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(url=str(tmp_path / "lake"))


def test_a_day_without_a_pull_is_not_in_the_ledger(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        assert newest_load(connection, DAY) is None
        assert load_of_run(connection, "run") is None
        assert newest_loaded_day(connection) is None
        assert zone_of_ledger(connection) is None
        assert loaded_days(connection, DAY, DAY) == set()


def test_the_newest_pull_of_a_day_is_found_by_day_and_by_run(
    warehouse: Warehouse, lake: Lake
) -> None:
    first = loaded(warehouse, lake, [record("ann"), "odd"])
    second = loaded(warehouse, lake, [record("ann"), record("bob")], hour=6)
    with warehouse.begin() as connection:
        assert newest_load(connection, DAY) == second
        assert load_of_run(connection, first.run_id) == first
        assert zone_of_ledger(connection) == "UTC"
        assert newest_loaded_day(connection) == DAY


def test_an_empty_day_is_loaded_and_can_be_the_newest(warehouse: Warehouse, lake: Lake) -> None:
    loaded(warehouse, lake, [record("ann")])
    loaded(warehouse, lake, [], day=date(2025, 7, 25))
    with warehouse.begin() as connection:
        assert newest_loaded_day(connection) == date(2025, 7, 25)
        assert loaded_days(connection, date(2025, 7, 1), date(2025, 7, 31)) == {
            DAY,
            date(2025, 7, 25),
        }


@pytest.mark.parametrize(
    "change",
    ["received = received + 1", "conflicting = duplicates + 1", "deleted = vanished + 1"],
)
def test_the_database_refuses_books_that_do_not_balance(
    warehouse: Warehouse, lake: Lake, change: str
) -> None:
    loaded(warehouse, lake, [record("ann"), record("ann"), "odd"])
    with pytest.raises(PermanentFault), warehouse.begin() as connection:
        connection.execute(text(f"update load_ledger set {change}"))


def test_a_pull_that_fails_leaves_neither_attempts_nor_books(
    warehouse: Warehouse, lake: Lake
) -> None:
    with warehouse.begin() as connection:
        connection.execute(text("alter table load_ledger add check (day < '2000-01-01')"))
    with pytest.raises(PermanentFault):
        loaded(warehouse, lake, [record("ann"), "odd"])
    for table in ("attempts", "rejected_records", "load_ledger"):
        assert warehouse.rows(f"select * from {table}") == []


def test_records_that_are_now_good_move_from_refused_to_inserted() -> None:
    newest = Fates(received=10, inserted=5, updated=1, rejected={"a": 3, "b": 1})
    fates = corrected_fates(
        newest,
        left=Fates(received=2, rejected={"a": 2}),
        joined=Fates(received=2, inserted=1, duplicates=1),
    )
    assert fates == Fates(
        received=10, inserted=1, unchanged=6, duplicates=1, rejected={"a": 1, "b": 1}
    )


def test_records_that_only_an_older_pull_held_do_not_enter_the_balance() -> None:
    newest = Fates(received=6, inserted=5, rejected={"a": 1})
    fates = corrected_fates(
        newest,
        left=Fates(received=3, rejected={"a": 3}),
        joined=Fates(received=3, inserted=2, outside_window=1),
    )
    assert fates == Fates(received=6, inserted=1, unchanged=5, vanished=1)


def test_records_refused_for_another_reason_stay_refused() -> None:
    newest = Fates(received=3, inserted=1, rejected={"a": 2})
    fates = corrected_fates(
        newest,
        left=Fates(received=1, rejected={"a": 1}),
        joined=Fates(received=1, rejected={"b": 1}),
    )
    assert fates == Fates(received=3, unchanged=1, rejected={"a": 1, "b": 1})


def test_erased_attempts_are_taken_from_the_kept_ones_first() -> None:
    newest = Fates(received=4, inserted=3, rejected={"a": 1}, vanished=2)
    fates = corrected_fates(
        newest,
        left=Fates(received=5, rejected={"a": 1}, unchanged=4),
        joined=Fates(received=5, erased=5),
    )
    assert fates == Fates(received=4, erased=4, vanished=1)


def test_what_a_mirror_deleted_has_not_vanished_again() -> None:
    newest = Fates(received=1, rejected={"a": 1}, vanished=7, deleted=7)
    one = Fates(received=1, inserted=1)
    fates = corrected_fates(newest, left=Fates(received=1, rejected={"a": 1}), joined=one)
    assert fates == one
