"""A pull goes into the table by one transaction, and twice is once."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from lms_assets.attempts.ledger import load_of_run, newest_load
from lms_assets.attempts.loading import load_day
from lms_assets.attempts.merge import Mirror, is_loaded_already, record_unchanged
from lms_assets.attempts.tombstones import Erasure
from lms_assets.faults import PermanentFault
from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets_tests.attempts.plain_merge import PlainDay, key_of
from lms_assets_tests.day_loads import (
    COURSE,
    DAY,
    TASK,
    attempts_in,
    body_of,
    cleaned,
    counted,
    loaded,
    merged,
    of_another_version,
    record,
    stored,
)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(url=str(tmp_path / "lake"))


def rejected_in(warehouse: Warehouse) -> list[tuple[str, str]]:
    rows = warehouse.rows("select reason, record from rejected_records order by id")
    return [(row["reason"], row["record"]) for row in rows]


def test_an_attempt_stands_in_the_table_as_it_was_received(
    warehouse: Warehouse, lake: Lake
) -> None:
    loaded(warehouse, lake, [record("ann", at="10:00:00.000001", correct=0)])
    assert attempts_in(warehouse) == [
        {
            "user_id": "ann",
            "attempt_type": "submit",
            "created_at": datetime(2025, 7, 24, 10, 0, 0, 1, UTC).replace(tzinfo=None),
            "is_correct": False,
            "oauth_consumer_key": "",
            "lis_result_sourcedid": f"{COURSE}:{TASK}:ann",
            "lis_outcome_service_url": None,
            "course": COURSE,
            "task": TASK,
        }
    ]


def test_every_text_stands_in_the_table_as_it_is(warehouse: Warehouse, lake: Lake) -> None:
    odd = ['"', "a,b", "line\nbreak", "\\N", "\\.", "=IMPORTXML(1)", "<script>", "Ёж 🦔", " "]
    records = [record(user, correct=None) for user in odd]
    loaded(warehouse, lake, records)
    assert {row["user_id"] for row in attempts_in(warehouse)} == set(odd)


def test_the_same_pull_again_changes_nothing(warehouse: Warehouse, lake: Lake) -> None:
    records = [record("ann"), record("bob", "run"), record("eve", is_correct="yes"), 17]
    first = loaded(warehouse, lake, records)
    before, refused = attempts_in(warehouse), rejected_in(warehouse)
    second = loaded(warehouse, lake, records, hour=6)
    rejected = {"is_correct_invalid": 1, "not_an_object": 1}
    counted(first, received=4, inserted=2, rejected=rejected)
    counted(second, received=4, unchanged=2, rejected=rejected)
    assert attempts_in(warehouse) == before
    assert rejected_in(warehouse) == refused
    assert len(refused) == 2


def test_a_changed_attempt_is_updated_and_its_row_stays(warehouse: Warehouse, lake: Lake) -> None:
    loaded(warehouse, lake, [record("ann", correct=None), record("bob")])
    numbers = warehouse.rows("select id, user_id from attempts order by user_id")
    load = loaded(warehouse, lake, [record("ann", correct=1), record("bob")], hour=6)
    counted(load, received=2, updated=1, unchanged=1)
    assert [row["is_correct"] for row in attempts_in(warehouse)] == [True, True]
    assert warehouse.rows("select id, user_id from attempts order by user_id") == numbers


def test_what_the_answer_no_longer_holds_is_kept_and_counted(
    warehouse: Warehouse, lake: Lake
) -> None:
    loaded(warehouse, lake, [record("ann"), record("bob")])
    load = loaded(warehouse, lake, [record("bob"), record("eve")], hour=6)
    counted(load, received=2, inserted=1, unchanged=1, vanished=1)
    assert [row["user_id"] for row in attempts_in(warehouse)] == ["ann", "bob", "eve"]
    assert load.stored == 3


def test_a_mirror_deletes_what_the_answer_no_longer_holds(warehouse: Warehouse, lake: Lake) -> None:
    loaded(warehouse, lake, [record("ann"), record("bob"), record("eve")])
    answer = stored(lake, body_of([record("bob"), record("eve")]), records=2, hour=6)
    load = merged(warehouse, lake, cleaned(lake, answer), mirror=Mirror(is_on=True))
    counted(load, received=2, unchanged=2, vanished=1, deleted=1)
    assert [row["user_id"] for row in attempts_in(warehouse)] == ["bob", "eve"]


def test_a_mirror_of_less_than_half_is_refused_and_leaves_everything(
    warehouse: Warehouse, lake: Lake
) -> None:
    loaded(warehouse, lake, [record("ann"), record("bob"), record("eve")])
    answer = stored(lake, body_of([record("bob"), record("zoe")]), records=2, hour=6)
    pull = cleaned(lake, answer)
    with pytest.raises(PermanentFault) as refused:
        merged(warehouse, lake, pull, mirror=Mirror(is_on=True))
    assert (refused.value.code, refused.value.facts) == (
        "database.mirror_refused",
        {"gone": 2, "before": 3},
    )
    assert [row["user_id"] for row in attempts_in(warehouse)] == ["ann", "bob", "eve"]
    load = merged(warehouse, lake, pull, mirror=Mirror(is_on=True, force=True))
    assert [row["user_id"] for row in attempts_in(warehouse)] == ["bob", "zoe"]
    assert load.fates.vanished == 2


@pytest.mark.parametrize("mirror", [Mirror(), Mirror(is_on=True, force=True)])
def test_an_empty_answer_removes_nothing(warehouse: Warehouse, lake: Lake, mirror: Mirror) -> None:
    loaded(warehouse, lake, [record("ann"), {"broken": True}])
    before, refused = attempts_in(warehouse), rejected_in(warehouse)
    empty = cleaned(lake, stored(lake, b"[]", records=0, hour=6))
    load = merged(warehouse, lake, empty, mirror=mirror)
    assert (load.is_empty, load.stored) == (True, 1)
    assert attempts_in(warehouse) == before
    assert rejected_in(warehouse) == refused


def test_a_refused_record_is_kept_as_often_as_the_newest_answer_holds_it(
    warehouse: Warehouse, lake: Lake
) -> None:
    loaded(warehouse, lake, [17, 17])
    assert len(rejected_in(warehouse)) == 2
    loaded(warehouse, lake, [17, 17, 17], hour=6)
    assert len(rejected_in(warehouse)) == 3
    loaded(warehouse, lake, [17], hour=7)
    assert len(rejected_in(warehouse)) == 3


def test_an_answer_that_is_loaded_is_known_again(warehouse: Warehouse, lake: Lake) -> None:
    pull = cleaned(lake, stored(lake, body_of([record("ann")]), records=1))
    merged(warehouse, lake, pull)
    with warehouse.begin() as connection:
        assert is_loaded_already(connection, pull)
        assert not is_loaded_already(connection, of_another_version(pull, "other"))
        counted(record_unchanged(connection, pull, run_id="again"), received=1, unchanged=1)
        newest = newest_load(connection, DAY)
    assert newest is not None
    assert (newest.run_id, newest.stored) == ("again", 1)


def test_an_answer_is_counted_as_before_until_the_books_are_corrected(
    warehouse: Warehouse, lake: Lake
) -> None:
    records = [record("ann"), record("bob"), 17]
    pull = cleaned(lake, stored(lake, body_of(records), records=3))
    merged(warehouse, lake, pull)
    with warehouse.begin() as connection:
        assert is_loaded_already(connection, pull, as_counted=True)
        correct = "update load_ledger set inserted = inserted - 1, erased = 1"
        connection.execute(text(correct))
        assert not is_loaded_already(connection, pull, as_counted=True)


def test_an_answer_is_not_known_again_where_somebody_changed_the_table(
    warehouse: Warehouse, lake: Lake
) -> None:
    pull = cleaned(lake, stored(lake, body_of([record("ann"), record("bob")]), records=2))
    merged(warehouse, lake, pull)
    with warehouse.begin() as connection:
        connection.execute(text("delete from attempts where user_id = 'ann'"))
        assert not is_loaded_already(connection, pull)
    counted(merged(warehouse, lake, pull), received=2, inserted=1, unchanged=1)


USERS = st.sampled_from(["ann", "bob", "eve"])
TIMES = st.sampled_from(["00:00:00", "10:00:00.5", "23:59:59.999999"])
RECORDS = st.one_of(
    st.builds(record, USERS, st.just("run"), TIMES),
    st.builds(record, USERS, st.just("submit"), TIMES, correct=st.sampled_from([None, 0, 1])),
    st.builds(record, USERS, at=TIMES, sourcedid_user=st.sampled_from(["", "zoe"])),
    st.builds(record, USERS, at=TIMES, correct=st.just("bad")),
    st.sampled_from([None, 17, {"lti_user_id": ""}]),
)
ANSWERS = st.lists(RECORDS, max_size=12)
NEIGHBOURS = (DAY - timedelta(days=1), DAY + timedelta(days=1))
ON_ONE_DATABASE = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def rows_of(lake: Lake, key: str) -> list[dict[str, Any]]:
    return [row for batch in lake.batches(key) for row in batch.to_pylist()]


def emptied(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        connection.execute(text("truncate attempts, rejected_records, load_ledger"))


@ON_ONE_DATABASE
@given(records=ANSWERS)
def test_merging_twice_is_merging_once(
    warehouse: Warehouse, lake: Lake, records: list[object]
) -> None:
    emptied(warehouse)
    pull = cleaned(lake, stored(lake, body_of(records), records=len(records)))
    first = merged(warehouse, lake, pull)
    table, refused = attempts_in(warehouse), rejected_in(warehouse)
    second = merged(warehouse, lake, pull)
    assert (attempts_in(warehouse), rejected_in(warehouse)) == (table, refused)
    assert (second.fates.inserted, second.fates.updated, second.fates.vanished) == (0, 0, 0)
    assert second.fates.unchanged == first.fates.inserted == first.stored


@ON_ONE_DATABASE
@given(data=st.data(), records=ANSWERS)
def test_the_order_of_the_records_does_not_matter_to_the_table(
    warehouse: Warehouse, lake: Lake, data: st.DataObject, records: list[object]
) -> None:
    keys = [str(r) for r in records]
    pull = cleaned(lake, stored(lake, body_of(records), records=len(keys)))
    if pull.fates.conflicting:
        return
    emptied(warehouse)
    merged(warehouse, lake, pull)
    table, refused = attempts_in(warehouse), sorted(rejected_in(warehouse))
    emptied(warehouse)
    shuffled = data.draw(st.permutations(records))
    loaded(warehouse, lake, shuffled, hour=6)
    assert attempts_in(warehouse) == table
    assert sorted(rejected_in(warehouse)) == refused


@ON_ONE_DATABASE
@given(answers=st.lists(ANSWERS, min_size=1, max_size=4))
def test_every_record_of_every_pull_has_one_fate(
    warehouse: Warehouse, lake: Lake, answers: list[list[object]]
) -> None:
    emptied(warehouse)
    for hour, records in enumerate(answers):
        load = loaded(warehouse, lake, records, hour=hour)
        kept = load.fates.inserted + load.fates.updated + load.fates.unchanged
        assert load.fates.received == len(records)
        assert load.fates.received == kept + load.fates.duplicates + sum(
            load.fates.rejected.values()
        )
        assert load.stored == kept + load.fates.vanished == len(attempts_in(warehouse))


@ON_ONE_DATABASE
@given(answers=st.lists(st.tuples(ANSWERS, st.booleans()), min_size=1, max_size=4))
def test_the_merge_is_that_of_row_by_row_whatever_the_table_held(
    warehouse: Warehouse, lake: Lake, answers: list[tuple[list[object], bool]]
) -> None:
    emptied(warehouse)
    others = [loaded(warehouse, lake, [record(day=day)], day=day) for day in NEIGHBOURS]
    elsewhere = attempts_in(warehouse)
    plain = PlainDay()
    for hour, (records, is_mirror) in enumerate(answers):
        mirror = Mirror(is_on=is_mirror, force=True)
        answer = stored(lake, body_of(records), records=len(records), hour=hour)
        pull = cleaned(lake, answer)
        rows, refused = (rows_of(lake, key) for key in (pull.attempts_key, pull.rejected_key))
        fates = plain.merge(pull.fates, rows, [row["record"] for row in refused], mirror)
        load = merged(warehouse, lake, pull, run_id=f"run-{hour}", mirror=mirror)
        assert load.fates == fates
        assert load.stored == len(plain.attempts)
        with warehouse.begin() as connection:
            assert load_of_run(connection, f"run-{hour}") == load
    assert attempts_in(warehouse) == sorted([*elsewhere, *plain.attempts.values()], key=key_of)
    assert Counter(text for _, text in rejected_in(warehouse)) == plain.rejected
    assert [other.stored for other in others] == [1, 1]


def test_the_pull_that_was_asked_last_wins_however_late_the_other_is_answered(
    warehouse: Warehouse, lake: Lake
) -> None:  # R14
    older, newer = (
        replace(
            cleaned(lake, stored(lake, body_of(records), records=len(records), hour=hour)),
            asked_at=datetime(2025, 7, 25, hour),  # noqa: DTZ001
        )
        for hour, records in (
            (5, [record("ann", correct=0), record("eve")]),
            (6, [record("ann", correct=1)]),
        )
    )
    merged(warehouse, lake, newer, run_id="newer")
    before = attempts_in(warehouse)
    erasure = Erasure(key_file="nobody-was-erased")
    with warehouse.begin() as connection:
        late = load_day(connection, older, lake, Mirror(), erasure, run_id="older")
    assert late.overtaken
    counted(late, received=2, unchanged=2)
    assert attempts_in(warehouse) == before
    with warehouse.begin() as connection:
        newest = newest_load(connection, DAY)
        assert load_of_run(connection, "older") == late
    assert newest is not None
    assert newest.run_id == "newer"
