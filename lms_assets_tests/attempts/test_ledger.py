"""The books balance, by the database's own constraint, and tell what was loaded."""

from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import text

from lms_assets.attempts.corrections import Moved, corrected_load
from lms_assets.attempts.ledger import (
    Load,
    load_of_run,
    loaded_days,
    newest_load,
    newest_loaded_day,
    record_load,
    zone_of_ledger,
)
from lms_assets.faults import PermanentFault
from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets_tests.day_loads import DAY, body_of, cleaned, loaded, record, stored


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(url=str(tmp_path / "lake"))


def a_load(**counters: object) -> Load:
    nothing: dict[str, object] = {
        "day": "2025-07-24",
        "received": 0,
        "inserted": 0,
        "updated": 0,
        "unchanged": 0,
        "duplicates": 0,
        "conflicting": 0,
        "outside_window": 0,
        "rejected": {},
        "erased": 0,
        "vanished": 0,
        "stored": 0,
        "watch": {},
        "checksum": "c",
        "code_version": "1",
        "run_id": "run",
    }
    return Load(**(nothing | counters))  # type: ignore[arg-type]


def balance(load: Load) -> int:
    fates = load.inserted + load.updated + load.unchanged + load.duplicates + load.outside_window
    return load.received - fates - load.erased - sum(load.rejected.values())


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
    "counters",
    [
        {"received": 2, "inserted": 1},
        {"received": 1, "inserted": 1, "rejected": {"too_large": 1}},
        {"received": 1, "duplicates": 1, "conflicting": 2},
    ],
)
def test_books_that_do_not_balance_are_refused(
    warehouse: Warehouse, lake: Lake, counters: dict[str, object]
) -> None:
    pull = cleaned(lake, stored(lake, body_of([]), records=0))
    with pytest.raises(PermanentFault), warehouse.begin() as connection:
        record_load(connection, pull, a_load(**counters))
    assert warehouse.rows("select * from load_ledger") == []


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
    newest = a_load(received=10, inserted=5, updated=1, rejected={"a": 3, "b": 1})
    load = corrected_load(newest, Moved(from_rejected={"a": 2}, inserted=1, duplicates=1))
    assert (load.inserted, load.updated, load.unchanged) == (1, 0, 6)
    assert (load.duplicates, load.rejected, load.vanished) == (1, {"a": 1, "b": 1}, 0)
    assert balance(load) == 0


def test_records_that_only_an_older_pull_held_do_not_enter_the_balance() -> None:
    newest = a_load(received=6, inserted=5, rejected={"a": 1})
    load = corrected_load(newest, Moved(from_rejected={"a": 3}, inserted=2, outside_window=1))
    assert (load.inserted, load.outside_window, load.vanished) == (1, 0, 1)
    assert balance(load) == 0


def test_records_refused_for_another_reason_stay_refused() -> None:
    newest = a_load(received=3, inserted=1, rejected={"a": 2})
    load = corrected_load(newest, Moved(from_rejected={"a": 1}, to_rejected={"b": 1}))
    assert load.rejected == {"a": 1, "b": 1}
    assert balance(load) == 0


def test_erased_attempts_are_taken_from_the_kept_ones_first() -> None:
    newest = a_load(received=4, inserted=3, rejected={"a": 1}, vanished=2)
    load = corrected_load(newest, Moved(from_rejected={"a": 1}, from_kept=4, erased=5))
    assert (load.unchanged, load.erased, load.rejected, load.vanished) == (0, 4, {}, 1)
    assert balance(load) == 0
