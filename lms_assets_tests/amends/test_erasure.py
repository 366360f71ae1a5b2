"""A student who was erased is nowhere, does not come back, and is missed by nobody else."""

import json
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, event, text

from lms_assets.amends.erasure import Erased, erase
from lms_assets.amends.erasure_tables import STUDENT_TABLES
from lms_assets.amends.receipts import Receipt
from lms_assets.amends.replay import replay
from lms_assets.attempts.keys import hash_of
from lms_assets.attempts.ledger import Load, Pull, newest_load
from lms_assets.attempts.merge import is_loaded_already
from lms_assets.attempts.tombstones import Erasure, drop_erased, without_erased
from lms_assets.faults import PermanentFault
from lms_assets.resources.lake import Lake, RawAnswer
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics import measures
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
from lms_assets_tests.homes import wait_until

NEXT_DAY = DAY + timedelta(days=1)
STUDENT = "3583bf109f8b458e13ae1ac9d85c396a"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(url=str(tmp_path / "lake"))


@pytest.fixture
def erasure(tmp_path: Path) -> Erasure:
    return Erasure(key_file=str(tmp_path / "home" / "erasure.key"))


def refresh(connection: Connection, days: list[date]) -> None:
    measures.refresh(connection, days, zone="UTC", as_of=NEXT_DAY)


def erased(
    warehouse: Warehouse,
    lake: Lake,
    erasure: Erasure,
    user_id: str = STUDENT,
    **others: Any,  # noqa: ANN401
) -> Receipt:
    return erasure_of(warehouse, lake, erasure, user_id, **others).receipt


def erasure_of(
    warehouse: Warehouse,
    lake: Lake,
    erasure: Erasure,
    user_id: str = STUDENT,
    **others: Any,  # noqa: ANN401
) -> Erased:
    return erase(
        user_id,
        **{
            "warehouse": warehouse,
            "lake": lake,
            "erasure": erasure,
            "zone": ZoneInfo("UTC"),
            "recompute": refresh,
            **others,
        },
    )


def newest(warehouse: Warehouse, day: date = DAY) -> Load:
    with warehouse.begin() as connection:
        load = newest_load(connection, day)
    assert load is not None
    return load


def spoken_by(warehouse: Warehouse, lake: Lake) -> Iterator[tuple[str, str]]:
    """Every row of every table, and every object of the lake unpacked, each as text."""
    tables = warehouse.rows(
        "select format('%I.%I', schemaname, tablename) as name from pg_tables "
        "where schemaname = 'public'"
    )
    for table in tables:
        for row in warehouse.rows(f"select t::text as row from {table['name']} t"):
            yield table["name"], row["row"]
    for row in warehouse.rows(
        "select tablename, concat_ws(' ', most_common_vals, histogram_bounds) as seen "
        "from pg_stats where schemaname = 'public'"
    ):
        yield f"statistics of {row['tablename']}", row["seen"]
    for path in sorted(Path(lake.url).rglob("*")):
        yield str(path), path.name
        if path.name.endswith(".zst"):
            with pa.CompressedInputStream(path.open("rb"), "zstd") as body:
                yield str(path), body.read().decode("utf-8", "replace")
        elif path.name.endswith(".parquet"):
            yield str(path), str(pq.read_table(path).to_pydict())
        elif path.is_file():
            yield str(path), path.read_bytes().decode("utf-8", "replace")


def traces(warehouse: Warehouse, lake: Lake, user_id: str = STUDENT) -> list[str]:
    return sorted({place for place, said in spoken_by(warehouse, lake) if user_id in said})


def escaped(user_id: str) -> str:
    return "".join(f"%{ord(letter):02x}" for letter in user_id)


def passback(sourcedid: str) -> str:
    return str({"lis_result_sourcedid": sourcedid})


OF_THE_STUDENT = [
    record(STUDENT, "run"),
    record(STUDENT, at="10:05:00"),
    record(STUDENT, at="10:05:00"),
    record(STUDENT, at="10:06:00", day=NEXT_DAY),
    record(STUDENT, is_correct="odd"),
    record(STUDENT, created_at="never"),
    record("eve", at="11:00:00", sourcedid_user=STUDENT),
    record("eve", at="11:01:00", sourcedid_user=escaped(STUDENT)),
    record(
        "eve",
        at="11:02:00",
        passback_params=passback(
            json.dumps({"data": {"instanceid": "7", "userid": STUDENT}, "hash": "0"})
        ),
    ),
    record("eve", at="11:03:00", passback_params=f"{{'lis_result_sourcedid': 'a:b:{STUDENT}' oops"),
    record("eve", at="11:04:00", passback_params=f"code(); user = {STUDENT}"),
    record("", at="11:05:00", sourcedid_user=STUDENT),
    [STUDENT],
    STUDENT,
]
OF_OTHERS = [
    record("eve", at="12:00:00"),
    record("eve", "run", at="12:01:00"),
    record(f"{STUDENT}0", at="12:02:00"),
    record("zoe", at="12:03:00", sourcedid_user="Zoë%20Ё"),
    record("zoe", is_correct="odd"),
    record("zoe", at="12:04:00", day=NEXT_DAY),
    17,
]


def mixed() -> list[Any]:
    """The student's records among those of the others."""
    together: list[Any] = []
    for place, one in enumerate(OF_THE_STUDENT):
        together += [one, *OF_OTHERS[place : place + 1]]
    return together


def figures_in(warehouse: Warehouse) -> list[list[dict[str, Any]]]:
    tables = ("daily_statistics", "student_task_statistics", "student_activity", "student_hours")
    rows = [warehouse.rows(f"select * from {table} order by 1, 2, 3, 4") for table in tables]
    return [[{k: v for k, v in row.items() if k != "computed_at"} for row in one] for one in rows]


def with_figures(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        measures.refresh_all(connection, zone="UTC", as_of=NEXT_DAY)
        connection.execute(text("analyze"))


def test_no_trace_of_the_student_is_left_anywhere(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    loaded(warehouse, lake, mixed())
    loaded(warehouse, lake, mixed()[::-1], hour=6)
    loaded(warehouse, lake, mixed(), hour=7)
    loaded(warehouse, lake, [record(STUDENT, day=NEXT_DAY)], day=NEXT_DAY)
    with_figures(warehouse)
    places = " ".join(traces(warehouse, lake))
    for place in ("public.attempts", "rejected_records", "student_hours", "json.zst", "parquet"):
        assert place in places
    erased(warehouse, lake, erasure)
    assert traces(warehouse, lake, f"{STUDENT}0") != []
    said = [(place, text.replace(f"{STUDENT}0", "")) for place, text in spoken_by(warehouse, lake)]
    assert [place for place, text in said if STUDENT in text] == []
    assert [place for place, text in said if escaped(STUDENT) in text] == []


def test_other_students_rows_equal_those_without_the_erased_student(
    warehouse: Warehouse, lake: Lake, erasure: Erasure, tmp_path: Path, database_url: str
) -> None:
    loaded(warehouse, lake, OF_OTHERS)
    with_figures(warehouse)
    expected, figures = attempts_in(warehouse), figures_in(warehouse)
    refused = warehouse.rows("select day, reason, field, record from rejected_records order by id")
    with warehouse.begin() as connection:
        connection.execute(text("truncate attempts, rejected_records, load_ledger"))
    loaded(warehouse, lake, mixed(), hour=6)
    with_figures(warehouse)
    assert figures_in(warehouse) != figures
    erased(warehouse, lake, erasure)
    assert attempts_in(warehouse) == expected
    assert figures_in(warehouse) == figures
    again = "select day, reason, field, record from rejected_records order by id"
    assert warehouse.rows(again) == refused


def test_every_other_record_of_an_answer_stays_byte_for_byte(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    odd = b'[ {"a":1.50, "\\u0061" : NaN},\n' + body_of(OF_THE_STUDENT)[1:-1] + b',"\\ud800" ]'
    stored(lake, odd, records=len(OF_THE_STUDENT) + 2)
    erased(warehouse, lake, erasure)
    [answer] = lake.raw_answers(DAY)
    assert answer.records == 2
    with lake.open_raw(answer) as body:
        assert body.read() == b'[{"a":1.50, "\\u0061" : NaN},"\\ud800"]'


def test_an_answer_without_the_student_is_left_alone(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    stored(lake, b"[ " + body_of(OF_OTHERS)[1:], records=len(OF_OTHERS))
    before = lake.raw_answers(DAY)
    receipt = erased(warehouse, lake, erasure)
    assert lake.raw_answers(DAY) == before
    assert (receipt.raw_objects, receipt.cleaned_objects, receipt.attempts) == (0, 0, 0)


def test_the_books_say_how_many_were_erased(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    records = [record("ann"), record("bob"), record("bob", is_correct=2), record("ann", at="9"), 17]
    before = loaded(warehouse, lake, records)
    rejected = {"is_correct_invalid": 1, "created_at_invalid": 1, "not_an_object": 1}
    counted(before, received=5, inserted=2, rejected=rejected)
    erased(warehouse, lake, erasure, "bob")
    rejected = {"created_at_invalid": 1, "not_an_object": 1}
    counted(newest(warehouse), received=5, unchanged=1, erased=2, rejected=rejected)
    assert newest(warehouse).stored == 1
    assert newest(warehouse).checksum == before.checksum


def test_the_receipt_says_what_was_removed_and_not_whose(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    records = [record(STUDENT), record(STUDENT, is_correct=2), record("bob")]
    loaded(warehouse, lake, records)
    loaded(warehouse, lake, [record(STUDENT, day=NEXT_DAY)], day=NEXT_DAY)
    assert erased(warehouse, lake, erasure) == Receipt(
        id=1,
        days=2,
        attempts=2,
        rejected_records=1,
        other_rows=0,
        raw_objects=2,
        raw_records=3,
        cleaned_objects=3,
        cleaned_rows=3,
    )
    [row] = warehouse.rows("select * from erasure_receipts")
    assert row["ended_at"] >= row["begun_at"]
    assert STUDENT not in str(row)


def test_later_pulls_and_replays_drop_the_student(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    erased(warehouse, lake, erasure)
    tombstones = erasure.tombstones(warehouse)
    answer = stored(lake, body_of([record(STUDENT), record("bob")]), records=2)
    pull = cleaned(lake, answer, tombstones=tombstones)
    counted(merged(warehouse, lake, pull), received=2, inserted=1, erased=1)
    with warehouse.begin() as connection:
        connection.execute(
            text(
                "insert into rejected_records (day, reason, field, record, run_id) "
                "values (:day, 'old_rule', 'record', :record, 'restored')"
            ),
            {"day": DAY, "record": json.dumps(record(STUDENT, at="13:00:00"))},
        )
    result = replay(
        warehouse, window_of=window_of, tomorrow=TOMORROW, run_id="r", tombstones=tombstones
    )
    assert result.total.erased == 1
    assert [row["user_id"] for row in attempts_in(warehouse)] == ["bob"]


def test_a_later_answer_goes_into_the_lake_without_the_student(
    warehouse: Warehouse, lake: Lake, erasure: Erasure, tmp_path: Path
) -> None:
    stored(lake, body_of(mixed()), records=len(mixed()))
    erased(warehouse, lake, erasure)
    [before] = lake.raw_answers(DAY)
    body = tmp_path / "answer.json"
    body.write_bytes(body_of([one for one in mixed() if isinstance(one, dict)]))
    dropped = drop_erased(body, erasure.tombstones(warehouse))
    # The list and the text among them are no objects, and not in this body.
    assert dropped == len(OF_THE_STUDENT) - 2
    assert json.loads(body.read_bytes()) == [one for one in OF_OTHERS if isinstance(one, dict)]
    assert before.records == len(OF_OTHERS)


def test_an_answer_without_erased_students_goes_into_the_lake_as_it_came(
    warehouse: Warehouse, lake: Lake, erasure: Erasure, tmp_path: Path
) -> None:
    erased(warehouse, lake, erasure)
    body = tmp_path / "answer.json"
    body.write_bytes(b"[ 17 , \n 18]")
    assert drop_erased(body, erasure.tombstones(warehouse)) == 0
    assert drop_erased(body, None) == 0
    assert body.read_bytes() == b"[ 17 , \n 18]"
    assert [path.name for path in tmp_path.iterdir() if "kept" in path.name] == []


def test_a_pull_of_the_same_answer_without_the_student_finds_the_same_bytes(
    warehouse: Warehouse, lake: Lake, erasure: Erasure, tmp_path: Path
) -> None:
    records = [record(STUDENT), record("bob"), record("eve", is_correct=2)]
    loaded(warehouse, lake, records)
    erased(warehouse, lake, erasure)
    [rewritten] = lake.raw_answers(DAY)
    body = tmp_path / "answer.json"
    body.write_bytes(body_of(records))
    tombstones = erasure.tombstones(warehouse)
    dropped = drop_erased(body, tombstones)
    answer = stored(lake, body.read_bytes(), records=2, hour=6)
    assert answer == rewritten
    pull = cleaned(lake, replace(answer, erased=dropped), tombstones=tombstones)
    rejected = {"is_correct_invalid": 1}
    counted(merged(warehouse, lake, pull), received=3, unchanged=1, erased=1, rejected=rejected)


def test_the_day_can_be_cleaned_again_from_the_lake(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    loaded(warehouse, lake, mixed())
    erased(warehouse, lake, erasure)
    before = attempts_in(warehouse)
    answer = lake.newest_raw(DAY)
    assert answer is not None
    pull = cleaned(lake, answer, tombstones=erasure.tombstones(warehouse))
    load = merged(warehouse, lake, pull)
    assert (load.fates.inserted, load.fates.updated, load.fates.vanished, load.fates.received) == (
        0,
        0,
        0,
        len(OF_OTHERS),
    )
    assert attempts_in(warehouse) == before


def test_the_cleaned_day_can_be_loaded_again_by_its_reference(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    records = mixed()
    answer = stored(lake, body_of(records), records=len(records))
    pull = cleaned(lake, answer)
    merged(warehouse, lake, pull)
    for asset, said in (("raw_attempts", answer), ("cleaned_attempts", pull)):
        place = lake.reference(asset, str(DAY))
        place.parent.mkdir(parents=True)
        place.write_bytes(msgspec.json.encode(said))
    erased(warehouse, lake, erasure)
    raw = msgspec.json.decode(lake.reference("raw_attempts", str(DAY)).read_bytes(), type=RawAnswer)
    assert lake.raw_answers(DAY) == [raw]
    again = msgspec.json.decode(
        lake.reference("cleaned_attempts", str(DAY)).read_bytes(), type=Pull
    )
    refused = sum(pull.fates.rejected.values()) - sum(again.fates.rejected.values())
    assert again.fates.erased == pull.clean - again.clean + refused > 0
    with warehouse.begin() as connection:
        assert is_loaded_already(connection, again)
    load = merged(warehouse, lake, again)
    assert load.fates.unchanged == load.stored == len(attempts_in(warehouse))


def test_erasing_again_finds_nothing_and_says_so(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    loaded(warehouse, lake, mixed())
    erased(warehouse, lake, erasure)
    table = warehouse.rows("select * from load_ledger order by id")
    second = erased(warehouse, lake, erasure)
    assert second == Receipt(2, 0, 0, 0, 0, 0, 0, 0, 0)
    assert warehouse.rows("select * from load_ledger order by id") == table
    assert len(warehouse.rows("select * from tombstones")) == 1


class PowerCutError(Exception):
    """The machine is gone."""


@pytest.mark.parametrize("moment", range(8))
def test_an_erasure_that_was_cut_off_is_completed_by_the_next_call(
    warehouse: Warehouse, lake: Lake, erasure: Erasure, moment: int
) -> None:
    loaded(warehouse, lake, [record(STUDENT), record("bob"), record(STUDENT, is_correct=2)])
    loaded(warehouse, lake, [record(STUDENT), record("bob")], hour=6)
    loaded(warehouse, lake, [record("eve"), record(STUDENT)], hour=7)
    looked_at = 0

    def cut(_: object, *more: object) -> None:
        nonlocal looked_at
        looked_at += 1
        if looked_at > moment:
            raise PowerCutError

    def recompute(connection: Connection, days: list[date]) -> None:
        cut(days)
        refresh(connection, days)

    try:
        erased(warehouse, lake, erasure, recompute=recompute, progress=cut)
    except PowerCutError:
        assert erasure.tombstones(warehouse) is not None
    [receipt] = warehouse.rows("select attempts, raw_records, ended_at from erasure_receipts")
    completed = receipt["ended_at"] is not None
    erased(warehouse, lake, erasure)
    assert traces(warehouse, lake) == []
    [first, *more] = warehouse.rows("select * from erasure_receipts order by id")
    assert len(more) == completed
    # What was removed just before the cut may have gone uncounted, at most one object.
    assert (first["attempts"], first["rejected_records"]) == (1, 1)
    assert first["raw_records"] in (2, 3, 4)
    counted(newest(warehouse), received=2, unchanged=1, erased=1, vanished=1)


def test_unfinished_objects_are_removed(warehouse: Warehouse, lake: Lake, erasure: Erasure) -> None:
    loaded(warehouse, lake, [record("bob")])
    for folder in ("raw", "cleaned"):
        half = Path(lake.url) / folder / str(DAY) / ".half"
        half.write_text(STUDENT)
    erased(warehouse, lake, erasure)
    assert traces(warehouse, lake) == []


def test_tables_that_adoption_left_are_erased_from_too(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    with warehouse.begin() as connection:
        connection.execute(
            text('create table "Old attempts" (user_id text, lis_result_sourcedid text)')
        )
        connection.execute(text("insert into adopted_tables values ('Old attempts', 'etl')"))
        connection.execute(
            text(
                "insert into \"Old attempts\" values (:s, null), ('eve', :sourcedid), ('bob', null)"
            ),
            {"s": STUDENT, "sourcedid": f"c:t:{STUDENT}"},
        )
        connection.execute(
            text(
                "insert into rejected_records (day, reason, field, record, run_id) "
                "values (:day, 'adopted_duplicate', 'record', :record, 'adoption')"
            ),
            {"day": DAY, "record": json.dumps({"id": 1, "user_id": "ann"})},
        )
    receipt = erased(warehouse, lake, erasure)
    assert (receipt.other_rows, receipt.rejected_records) == (2, 0)
    assert warehouse.rows('select user_id from "Old attempts"') == [{"user_id": "bob"}]
    assert erased(warehouse, lake, erasure, "ann").rejected_records == 1


@pytest.mark.parametrize("kind", ["text", "integer"])
def test_another_programs_table_is_left_alone(
    warehouse: Warehouse, lake: Lake, erasure: Erasure, kind: str
) -> None:
    """R29: its rows were deleted, or a number for an id made every erasure fail."""
    with warehouse.begin() as connection:
        connection.execute(text(f"create table theirs (user_id {kind})"))
        connection.execute(text(f"insert into theirs values (cast('17' as {kind}))"))
    erased(warehouse, lake, erasure, "17")
    assert len(warehouse.rows("select * from theirs")) == 1


def test_every_table_of_ours_with_students_is_known_to_the_erasure(warehouse: Warehouse) -> None:
    tables = warehouse.rows(
        "select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid "
        "where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') "
        "and a.attname = 'user_id' order by 1"
    )
    assert {table["name"] for table in tables} == {"attempts", *STUDENT_TABLES}


def test_no_statement_of_an_erasure_holds_the_id(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    loaded(warehouse, lake, mixed())
    said: list[str] = []
    event.listen(
        warehouse.engine, "before_cursor_execute", lambda *seen: said.append(f"{seen[2]} {seen[3]}")
    )
    erased(warehouse, lake, erasure)
    assert len(said) > 20
    assert [one for one in said if STUDENT in one] == []


def test_lms_key_makes_new_tombstones_and_the_key_of_the_file_knows_the_old(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    erased(warehouse, lake, erasure, "ann")
    both = Erasure(key_file=erasure.key_file, key="5a" * 32)
    erased(warehouse, lake, both, "bob")
    elsewhere = Erasure(key_file=f"{erasure.key_file}.none", key="5a" * 32)
    with pytest.raises(PermanentFault) as missing:
        elsewhere.tombstones(warehouse)
    assert missing.value.code == "erasure.key_other"
    tombstones = both.tombstones(warehouse)
    assert tombstones is not None
    assert tombstones.erased_among(["ann", "bob", "eve"]) == {"ann", "bob"}
    hashes = {row["hash"] for row in warehouse.rows("select hash from tombstones")}
    assert hash_of(bytes.fromhex("5a" * 32), "bob") in hashes


def test_an_erasure_waits_until_what_is_being_stored_is_stored(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    """R15: a pull that began before the erasure brought the student back."""
    waiting = "select count(*) as n from pg_locks where not granted and locktype = 'advisory'"
    with ThreadPoolExecutor(1) as side:
        with erasure.while_storing(warehouse) as tombstones:
            assert tombstones is None
            begun = side.submit(erased, warehouse, lake, erasure)
            wait_until(lambda: warehouse.rows(waiting)[0]["n"], within_s=30)
            loaded(warehouse, lake, [record(STUDENT), record("bob")])
        assert begun.result().attempts == 1
    assert traces(warehouse, lake) == []


def test_a_day_cleaned_before_the_erasure_is_merged_without_the_student(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    """R15: the tombstones are read again under the lock of the day."""
    records = [record(STUDENT), record(STUDENT, is_correct=2), record("bob")]
    pull = cleaned(lake, stored(lake, body_of(records), records=3))
    with warehouse.begin() as connection:
        erasure.add_tombstone(connection, STUDENT)
    with warehouse.begin() as connection:
        rest = without_erased(pull, lake, erasure.until_commit(connection))
    assert (rest.pull.clean, rest.pull.fates.erased, rest.pull.fates.rejected) == (1, 2, {})
    assert [b.column("user_id").to_pylist() for b in rest.attempts() if b.num_rows] == [["bob"]]
    assert sum(batch.num_rows for batch in rest.rejected()) == 0


def test_a_short_id_is_found_only_where_it_is_the_students(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    records = [record("10"), record("bob", at="10:10:10"), record("eve", is_correct="10")]
    loaded(warehouse, lake, records)
    erased(warehouse, lake, erasure, "10")
    assert [row["user_id"] for row in attempts_in(warehouse)] == ["bob"]
    assert len(warehouse.rows("select * from rejected_records")) == 1


def test_the_key_is_private_and_made_once(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    key_file = Path(erasure.key_file)
    assert erasure.tombstones(warehouse) is None
    assert not key_file.exists()
    erased(warehouse, lake, erasure)
    key = key_file.read_bytes()
    assert len(key) == 32
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    erased(warehouse, lake, erasure, "bob")
    assert key_file.read_bytes() == key
    hashes = {row["hash"] for row in warehouse.rows("select hash from tombstones")}
    assert hashes == {hash_of(key, STUDENT), hash_of(key, "bob")}


def test_tombstones_cover_the_erased_alone(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    erased(warehouse, lake, erasure, "Ёж")
    tombstones = erasure.tombstones(warehouse)
    assert tombstones is not None
    assert tombstones.erased_among(["ann", "Ёж", "ёж"]) == {"Ёж"}
    assert tombstones.erased_among([]) == set()


def test_without_the_key_of_erasures_nothing_is_loaded(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    erased(warehouse, lake, erasure)
    key_file = Path(erasure.key_file)
    key = key_file.read_bytes()
    key_file.unlink()
    for ask in (
        lambda: erasure.tombstones(warehouse),
        lambda: erased(warehouse, lake, erasure, "bob"),
    ):
        with pytest.raises(PermanentFault) as missing:
            ask()
        assert missing.value.code == "erasure.key_missing"
    key_file.write_bytes(key[::-1])
    with pytest.raises(PermanentFault) as other:
        erasure.tombstones(warehouse)
    assert other.value.code == "erasure.key_other"


def test_a_key_whose_writing_was_interrupted_is_made_again(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    key_file = Path(erasure.key_file)
    key_file.parent.mkdir()
    key_file.write_bytes(b"half")
    erased(warehouse, lake, erasure)
    assert len(key_file.read_bytes()) == 32


@pytest.mark.parametrize("user_id", ["", "x" * 256, "a\0b"])
def test_what_is_no_user_id_is_refused(
    warehouse: Warehouse, lake: Lake, erasure: Erasure, user_id: str
) -> None:
    with pytest.raises(PermanentFault) as refused:
        erased(warehouse, lake, erasure, user_id)
    assert refused.value.code == "erasure.user_id_invalid"
    assert warehouse.rows("select * from tombstones") == []


def test_staff_are_refused_until_their_file_forgets_them(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    with pytest.raises(PermanentFault) as refused:
        erased(warehouse, lake, erasure, staff=["ann", STUDENT])
    assert refused.value.code == "erasure.is_staff"
    assert STUDENT not in str(refused.value)


def test_an_answer_that_cannot_be_read_is_named_after_all_else_is_done(
    warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> None:
    loaded(warehouse, lake, [record(STUDENT)])
    broken = stored(lake, b'[{"lti_user_id": "', records=1, hour=6)
    loaded(warehouse, lake, [record(STUDENT), record("bob")], hour=7)
    assert list(erasure_of(warehouse, lake, erasure).unreadable) == [broken.key]
    assert warehouse.rows("select ended_at from erasure_receipts") == [{"ended_at": None}]
    assert traces(warehouse, lake) == []
    lake.remove(broken.key)
    assert erased(warehouse, lake, erasure).raw_records == 2


USERS = st.sampled_from(["ann", STUDENT])
RECORDS = st.one_of(
    st.builds(
        record,
        USERS,
        st.sampled_from(["run", "submit", "peek"]),
        st.sampled_from(["10:00:00", "11:00:00"]),
        correct=st.sampled_from([None, 0, 1, "odd"]),
        sourcedid_user=st.sampled_from([None, "ann", STUDENT, escaped(STUDENT)]),
    ),
    st.sampled_from([17, STUDENT, {"lti_user_id": {"id": STUDENT}}, None]),
)


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(answers=st.lists(st.lists(RECORDS, max_size=8), min_size=1, max_size=3))
def test_whatever_was_pulled_no_trace_is_left_and_the_books_balance(
    warehouse: Warehouse,
    erasure: Erasure,
    answers: list[list[Any]],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    lake = Lake(url=str(tmp_path_factory.mktemp("lake") / "lake"))
    with warehouse.begin() as connection:
        connection.execute(
            text(
                "truncate attempts, rejected_records, load_ledger, erasure_receipts, tombstones, "
                "student_hours, student_activity, student_task_statistics"
            )
        )
    for hour, records in enumerate(answers):
        loaded(warehouse, lake, records, hour=hour)
    before = newest(warehouse)
    erased(warehouse, lake, erasure)
    assert traces(warehouse, lake) == []
    assert traces(warehouse, lake, escaped(STUDENT)) == []
    after = newest(warehouse)
    kept = after.fates.inserted + after.fates.updated + after.fates.unchanged
    assert after.fates.received == before.fates.received
    assert after.stored == len(attempts_in(warehouse)) >= kept
