"""A refused record is kept whole, and gets in when today's rules let it."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from lms_assets.amends.replay import Replay, replay
from lms_assets.attempts import quarantine
from lms_assets.attempts.columns import REJECTED_SCHEMA
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.ledger import Load, newest_load
from lms_assets.attempts.merge import is_loaded_already
from lms_assets.attempts.quarantine import DayReplay, QuarantineCount
from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets_tests.day_loads import (
    DAY,
    TOMORROW,
    attempts_in,
    body_of,
    cleaned,
    counted,
    loaded,
    merged,
    record,
    stored,
    window_of,
)

NEXT_DAY = DAY + timedelta(days=1)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(url=str(tmp_path / "lake"))


class Only:
    """A tombstone of one student."""

    def __init__(self, user_id: str) -> None:
        self._user_id = user_id

    def erased_among(self, user_ids: Collection[str]) -> set[str]:
        return {self._user_id} & set(user_ids)


def loaded_by_old_rules(
    warehouse: Warehouse,
    lake: Lake,
    good: Sequence[Any],
    refused: Mapping[str, Sequence[Any]],
    *,
    day: date = DAY,
) -> Load:
    """The day as rules would have loaded it that refused more than today's: reason → records."""
    pull = cleaned(lake, stored(lake, body_of(good), records=len(good), day=day))
    rows = [
        {"reason": reason, "field": "record", "record": json.dumps(one)}
        for reason, records in refused.items()
        for one in records
    ]
    with lake.write_parquet("cleaned/old.rejected.parquet", REJECTED_SCHEMA) as bad:
        bad.write_table(pa.Table.from_pylist(rows, REJECTED_SCHEMA))
    by_reason = {reason: len(records) for reason, records in refused.items()}
    old = replace(
        pull,
        fates=pull.fates + Fates(received=len(rows), rejected=by_reason),
        rejected_key="cleaned/old.rejected.parquet",
        code_version="0",
    )
    return merged(warehouse, lake, old)


def replayed(warehouse: Warehouse, **chosen: Any) -> Replay:  # noqa: ANN401
    return replay(warehouse, window_of=window_of, tomorrow=TOMORROW, run_id="replay", **chosen)


def newest(warehouse: Warehouse, day: date = DAY) -> Load:
    with warehouse.begin() as connection:
        load = newest_load(connection, day)
    assert load is not None
    return load


def refused_in(warehouse: Warehouse) -> list[QuarantineCount]:
    with warehouse.begin() as connection:
        return quarantine.counts(connection)


def test_the_quarantine_is_counted_by_day_and_reason(warehouse: Warehouse, lake: Lake) -> None:
    loaded(warehouse, lake, [17, None, record("")])
    loaded(warehouse, lake, [record("", day=NEXT_DAY)], day=NEXT_DAY)
    assert refused_in(warehouse) == [
        QuarantineCount(DAY, "not_an_object", 2),
        QuarantineCount(DAY, "user_id_invalid", 1),
        QuarantineCount(NEXT_DAY, "user_id_invalid", 1),
    ]


def test_a_record_that_is_now_good_is_an_attempt_and_no_longer_refused(
    warehouse: Warehouse, lake: Lake
) -> None:
    before = loaded_by_old_rules(
        warehouse, lake, [record("ann")], {"old_rule": [record("bob"), record("eve", "run")]}
    )
    result = replayed(warehouse)
    assert result == Replay((DayReplay(DAY, Fates(received=2, inserted=2)),))
    assert result.changed_days == [DAY]
    assert [row["user_id"] for row in attempts_in(warehouse)] == ["ann", "bob", "eve"]
    assert refused_in(warehouse) == []
    counted(before, received=3, inserted=1, rejected={"old_rule": 2})
    counted(newest(warehouse), received=3, inserted=2, unchanged=1)
    assert newest(warehouse).stored == 3


def test_a_replay_leaves_the_day_as_stale_as_it_was(warehouse: Warehouse, lake: Lake) -> None:
    before = loaded_by_old_rules(warehouse, lake, [record("ann")], {"old_rule": [record("bob")]})
    replayed(warehouse)
    after = newest(warehouse)
    assert (after.checksum, after.code_version) == (before.checksum, "0")
    assert after.run_id == "replay"


def test_the_day_pulled_again_after_a_replay_finds_all_of_it_there(
    warehouse: Warehouse, lake: Lake
) -> None:
    loaded_by_old_rules(warehouse, lake, [record("ann")], {"old_rule": [record("bob")]})
    replayed(warehouse)
    records = [record("ann"), record("bob")]
    pull = cleaned(lake, stored(lake, body_of(records), records=2, hour=6))
    with warehouse.begin() as connection:
        assert not is_loaded_already(connection, pull)
    counted(merged(warehouse, lake, pull), received=2, unchanged=2)


def test_a_replay_is_what_a_pull_by_todays_rules_would_have_been(
    warehouse: Warehouse, lake: Lake
) -> None:
    records = [record("ann"), record("bob", "run"), record("eve", correct=None)]
    loaded(warehouse, lake, records)
    expected = attempts_in(warehouse)
    with warehouse.begin() as connection:
        connection.execute(text("truncate attempts, load_ledger"))
    loaded_by_old_rules(warehouse, lake, records[:1], {"old_rule": records[1:]})
    replayed(warehouse)
    assert attempts_in(warehouse) == expected


def test_a_record_that_is_still_bad_stays_as_it_is(warehouse: Warehouse, lake: Lake) -> None:
    loaded(warehouse, lake, [record("ann"), record("bob", is_correct=2), "odd"])
    before = warehouse.rows("select * from rejected_records order by id")
    result = replayed(warehouse)
    still = {"is_correct_invalid": 1, "not_an_object": 1}
    assert result.days == (DayReplay(DAY, Fates(received=2, rejected=still)),)
    assert warehouse.rows("select * from rejected_records order by id") == before
    assert len(warehouse.rows("select * from load_ledger")) == 1


def test_a_record_that_breaks_another_rule_now_has_its_reason(
    warehouse: Warehouse, lake: Lake
) -> None:
    loaded_by_old_rules(
        warehouse, lake, [record("ann")], {"old_rule": [record("bob", is_correct=2), 17]}
    )
    replayed(warehouse)
    assert warehouse.rows("select reason, field from rejected_records order by id") == [
        {"reason": "is_correct_invalid", "field": "is_correct"},
        {"reason": "not_an_object", "field": "record"},
    ]
    rejected = {"is_correct_invalid": 1, "not_an_object": 1}
    counted(newest(warehouse), received=3, unchanged=1, rejected=rejected)


def test_a_replayed_record_never_replaces_the_first_received(
    warehouse: Warehouse, lake: Lake
) -> None:
    same, other = record("ann", correct=1), record("ann", correct=0)
    loaded_by_old_rules(warehouse, lake, [record("ann", correct=1)], {"old_rule": [same, other]})
    result = replayed(warehouse)
    assert result.days == (DayReplay(DAY, Fates(received=2, duplicates=2, conflicting=1)),)
    assert [row["is_correct"] for row in attempts_in(warehouse)] == [True]
    assert refused_in(warehouse) == []
    counted(newest(warehouse), received=3, unchanged=1, duplicates=2, conflicting=1)


def test_of_equal_keys_in_the_quarantine_the_first_is_inserted(
    warehouse: Warehouse, lake: Lake
) -> None:
    twice = [record("bob", correct=0), record("bob", correct=1)]
    loaded_by_old_rules(warehouse, lake, [], {"old_rule": twice})
    result = replayed(warehouse)
    assert result.days == (
        DayReplay(DAY, Fates(received=2, inserted=1, duplicates=1, conflicting=1)),
    )
    assert [row["is_correct"] for row in attempts_in(warehouse)] == [False]


def test_a_good_record_of_another_day_is_counted_outside_and_not_stored(
    warehouse: Warehouse, lake: Lake
) -> None:
    loaded_by_old_rules(
        warehouse, lake, [record("ann")], {"old_rule": [record("bob", day=NEXT_DAY)]}
    )
    result = replayed(warehouse)
    assert result.days == (DayReplay(DAY, Fates(received=1, outside_window=1)),)
    assert result.changed_days == []
    assert [row["user_id"] for row in attempts_in(warehouse)] == ["ann"]
    counted(newest(warehouse), received=2, unchanged=1, outside_window=1)


def test_a_record_of_an_erased_student_leaves_the_quarantine(
    warehouse: Warehouse, lake: Lake
) -> None:
    loaded_by_old_rules(
        warehouse, lake, [record("ann")], {"old_rule": [record("bob"), record("bob", is_correct=2)]}
    )
    result = replayed(warehouse, tombstones=Only("bob"))
    assert result.days == (DayReplay(DAY, Fates(received=2, erased=2)),)
    assert refused_in(warehouse) == []
    counted(newest(warehouse), received=3, unchanged=1, erased=2)


def test_what_only_an_older_pull_held_is_replayed_and_the_newest_balance_stays(
    warehouse: Warehouse, lake: Lake
) -> None:
    loaded_by_old_rules(warehouse, lake, [record("ann")], {"old_rule": [record("bob")]})
    loaded(warehouse, lake, [record("ann")], hour=6)
    assert replayed(warehouse).days == (DayReplay(DAY, Fates(received=1, inserted=1)),)
    counted(newest(warehouse), received=1, unchanged=1, vanished=1)
    assert newest(warehouse).stored == 2


def test_only_the_days_and_the_reason_asked_for_are_replayed(
    warehouse: Warehouse, lake: Lake
) -> None:
    for day in (DAY, NEXT_DAY):
        refused = {"one": [record("ann", day=day)], "two": [record("bob", day=day)]}
        loaded_by_old_rules(warehouse, lake, [], refused, day=day)
    assert replayed(warehouse, reason="one", first=NEXT_DAY).changed_days == [NEXT_DAY]
    assert refused_in(warehouse) == [
        QuarantineCount(DAY, "one", 1),
        QuarantineCount(DAY, "two", 1),
        QuarantineCount(NEXT_DAY, "two", 1),
    ]
    assert replayed(warehouse, last=DAY).total == Fates(received=2, inserted=2)
    assert replayed(warehouse, first=date(2026, 1, 1)) == Replay(())
    assert refused_in(warehouse) == [QuarantineCount(NEXT_DAY, "two", 1)]


def test_what_adoption_set_aside_is_replayed_only_when_asked_for(
    warehouse: Warehouse, lake: Lake
) -> None:
    row = {
        "id": 1,
        "user_id": "ann",
        "oauth_consumer_key": "",
        "lis_result_sourcedid": None,
        "lis_outcome_service_url": None,
        "is_correct": True,
        "attempt_type": "submit",
        "created_at": "2025-07-24T10:00:00.5",
    }
    bad = row | {"attempt_type": "peek"}
    loaded_by_old_rules(warehouse, lake, [], {"adopted_invalid": [row, bad]})
    assert replayed(warehouse) == Replay(())
    result = replayed(warehouse, reason="adopted_invalid")
    still = {"attempt_type_invalid": 1}
    assert result.days == (DayReplay(DAY, Fates(received=2, inserted=1, rejected=still)),)
    assert [row["user_id"] for row in attempts_in(warehouse)] == ["ann"]
    assert refused_in(warehouse) == [QuarantineCount(DAY, "adopted_invalid", 1)]
    counted(newest(warehouse), received=2, inserted=1, rejected={"adopted_invalid": 1})


def test_each_day_is_told_of_when_it_is_done(warehouse: Warehouse, lake: Lake) -> None:
    loaded_by_old_rules(warehouse, lake, [], {"old_rule": [record("ann")]})
    told: list[DayReplay] = []
    result = replayed(warehouse, tell=told.append)
    assert tuple(told) == result.days


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)
ODD = st.one_of(
    JSON,
    st.builds(
        record,
        st.sampled_from(["ann", "bob", "", "\0", "\ud800"]),
        st.sampled_from(["run", "submit", "peek"]),
        st.sampled_from(["10:00:00", "25:00:00", "10:00:00Z"]),
        correct=st.sampled_from([None, 0, 1, "1", 2]),
        note=st.text(max_size=5),
    ),
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(records=st.lists(ODD, max_size=10))
def test_nothing_of_a_refused_record_is_lost(
    warehouse: Warehouse, lake: Lake, records: list[Any]
) -> None:
    with warehouse.begin() as connection:
        connection.execute(text("truncate attempts, rejected_records, load_ledger"))
    before = loaded(warehouse, lake, records)
    kept = warehouse.rows("select id, reason, field, record from rejected_records order by id")
    assert all(row["record"].isascii() for row in kept)
    result = replayed(warehouse).total
    refused = before.fates.rejected
    assert result == Fates(received=sum(refused.values()), rejected=refused)
    again = "select id, reason, field, record from rejected_records order by id"
    assert warehouse.rows(again) == kept
    assert newest(warehouse) == before
