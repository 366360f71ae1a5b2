"""What was put into the lake is there, whole, in order, and once."""

import io
import sys
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_assets.faults import PermanentFault
from lms_assets.resources.lake import Lake, RawAnswer, checksum_of, reference_key

DAY = date(2025, 7, 24)
SCHEMA = pa.schema([pa.field("user_id", pa.string())])


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(url=str(tmp_path / "lake"))


def put(lake: Lake, folder: Path, body: bytes, hour: int, records: int = 1) -> RawAnswer:
    file = folder / "answer"
    file.write_bytes(body)
    pulled_at = datetime(2025, 7, 25, hour, tzinfo=UTC)
    return lake.store_raw(file, day=DAY, records=records, pulled_at=pulled_at)


def read(lake: Lake, answer: RawAnswer) -> bytes:
    with lake.open_raw(answer) as body:
        return body.read()


def objects(lake: Lake) -> list[str]:
    return sorted(path.name for path in (Path(lake.url) / "raw" / "2025-07-24").iterdir())


def test_a_day_that_was_never_pulled_has_no_answer(lake: Lake) -> None:
    assert lake.raw_answers(DAY) == []
    assert lake.newest_raw(DAY) is None
    assert lake.raw_days() == []
    assert lake.cleaned_keys() == []
    assert lake.unfinished() == []


@given(body=st.binary(max_size=5000))
@settings(max_examples=30, deadline=None)
def test_the_bytes_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, body: bytes
) -> None:
    folder = tmp_path_factory.mktemp("lake")
    lake = Lake(url=str(folder / "lake"))
    assert read(lake, put(lake, folder, body, 5)) == body


def test_an_answer_says_what_it_is(lake: Lake, tmp_path: Path) -> None:
    answer = put(lake, tmp_path, b"[1, 2]", 5, records=2)
    checksum = checksum_of(tmp_path / "answer")
    assert answer == RawAnswer(
        day="2025-07-24",
        key=f"raw/2025-07-24/20250725T050000000000Z-2-{checksum}.json.zst",
        checksum=checksum,
        records=2,
        pulled_at="2025-07-25T05:00:00",
    )
    assert lake.raw_answers(DAY) == [answer]
    assert lake.raw_days() == [DAY]


def test_equal_answers_are_kept_once(lake: Lake, tmp_path: Path) -> None:
    first = put(lake, tmp_path, b"[1]", 5)
    assert put(lake, tmp_path, b"[1]", 6) == first
    assert len(objects(lake)) == 1


def test_an_answer_that_came_back_is_the_newest_and_its_bytes_are_kept_once(
    lake: Lake, tmp_path: Path
) -> None:
    old = put(lake, tmp_path, b"[1]", 5)
    other = put(lake, tmp_path, b"[2]", 6)
    back = put(lake, tmp_path, b"[1]", 7)
    assert back == replace(old, pulled_at="2025-07-25T07:00:00")
    assert lake.raw_answers(DAY) == [old, other, back]
    assert lake.newest_raw(DAY) == back
    assert read(lake, back) == b"[1]"
    assert [name.rpartition(".")[2] for name in objects(lake)] == ["zst", "zst", "same"]


def test_an_answer_stored_by_a_clock_that_went_back_is_the_one_that_was_stored(
    lake: Lake, tmp_path: Path
) -> None:
    put(lake, tmp_path, b"[1]", 6)
    assert read(lake, put(lake, tmp_path, b"[2]", 5)) == b"[2]"


def test_an_empty_answer_never_stands_for_a_day_that_had_some(lake: Lake, tmp_path: Path) -> None:
    full = put(lake, tmp_path, b"[1]", 5)
    empty = put(lake, tmp_path, b"[]", 6, records=0)
    assert lake.raw_answers(DAY) == [full, empty]
    assert lake.newest_raw(DAY) == full


def test_an_answer_that_was_cut_off_while_it_was_written_is_not_one(
    lake: Lake, tmp_path: Path
) -> None:
    answer = put(lake, tmp_path, b"[1]", 5)
    name = answer.key.rpartition("/")[2]
    (Path(lake.url) / "raw" / "2025-07-24" / f".{name}").write_bytes(b"half")
    (Path(lake.url) / "raw" / ".DS_Store").write_bytes(b"")
    assert lake.raw_answers(DAY) == [answer]
    assert lake.raw_days() == [DAY]
    assert lake.unfinished() == [f"raw/2025-07-24/.{name}"]
    lake.remove(f"raw/2025-07-24/.{name}")
    assert lake.unfinished() == []


def write_until_it_breaks(lake: Lake, batch: pa.RecordBatch) -> None:
    with lake.write_parquet("cleaned/2025-07-24/b.parquet", SCHEMA) as writer:
        writer.write_batch(batch)
        raise ZeroDivisionError


def test_a_parquet_object_is_whole_or_not_there(lake: Lake) -> None:
    batch = pa.record_batch({"user_id": ["ann", "bob"]}, schema=SCHEMA)
    with lake.write_parquet("cleaned/2025-07-24/a.parquet", SCHEMA) as writer:
        writer.write_batch(batch)
    with pytest.raises(ZeroDivisionError):
        write_until_it_breaks(lake, batch)
    assert lake.cleaned_keys() == ["cleaned/2025-07-24/a.parquet"]
    assert lake.unfinished() == []
    assert lake.schema_of("cleaned/2025-07-24/a.parquet") == SCHEMA
    [stored] = lake.batches("cleaned/2025-07-24/a.parquet")
    assert stored.to_pylist() == [{"user_id": "ann"}, {"user_id": "bob"}]


def replaced(lake: Lake, folder: Path, answer: RawAnswer, body: bytes, records: int) -> RawAnswer:
    file = folder / "rewritten"
    file.write_bytes(body)
    return lake.replace_raw(answer, file, records=records)


def test_a_replaced_answer_keeps_its_place_among_the_pulls(lake: Lake, tmp_path: Path) -> None:
    first = put(lake, tmp_path, b"[1,2]", 5, records=2)
    second = put(lake, tmp_path, b"[3]", 6)
    put(lake, tmp_path, b"[1,2]", 7, records=2)
    new = replaced(lake, tmp_path, first, b"[1]", 1)
    answers = lake.raw_answers(DAY)
    assert answers == [new, second, replace(new, pulled_at="2025-07-25T07:00:00")]
    assert [read(lake, answer) for answer in answers] == [b"[1]", b"[3]", b"[1]"]
    assert [answer.records for answer in answers] == [1, 1, 1]
    assert not any(first.checksum in name for name in objects(lake))


def test_answers_that_became_equal_are_kept_once(lake: Lake, tmp_path: Path) -> None:
    kept = put(lake, tmp_path, b"[1]", 5)
    long = put(lake, tmp_path, b"[1,2]", 6, records=2)
    new = replaced(lake, tmp_path, long, b"[1]", 1)
    assert lake.raw_answers(DAY) == [kept, new]
    assert read(lake, new) == b"[1]"
    assert [name.rpartition(".")[2] for name in objects(lake)] == ["zst", "same"]


def test_replacing_again_after_it_was_cut_off_ends_the_same(lake: Lake, tmp_path: Path) -> None:
    first = put(lake, tmp_path, b"[1,2]", 5, records=2)
    put(lake, tmp_path, b"[3]", 6)
    put(lake, tmp_path, b"[1,2]", 7, records=2)
    folder = Path(lake.url) / "raw" / "2025-07-24"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    replaced(lake, tmp_path, first, b"[1]", 1)
    after = objects(lake)
    for name, content in before.items():
        (folder / name).write_bytes(content)
    assert len(lake.raw_answers(DAY)) == 5
    replaced(lake, tmp_path, first, b"[1]", 1)
    assert objects(lake) == after


def test_a_reference_to_a_replaced_answer_names_the_new_one(lake: Lake, tmp_path: Path) -> None:
    old = put(lake, tmp_path, b"[1,2]", 5, records=2)
    key = reference_key("raw_attempts", "2025-07-24")
    lake.objects.write(key, msgspec.json.encode(old))
    new = replaced(lake, tmp_path, old, b"[1]", 1)
    assert msgspec.json.decode(lake.objects.read(key), type=RawAnswer) == new


@pytest.mark.parametrize("left", [b"", b"(\xb5/\xfd", b"not zstd at all"])
def test_an_object_that_lost_its_bytes_is_healed_by_the_next_pull(
    lake: Lake, tmp_path: Path, left: bytes
) -> None:
    """R28: a loss of power leaves a file of 0 bytes under a name that tells of others."""
    old = put(lake, tmp_path, b"[1]", 5)
    (Path(lake.url) / old.key).write_bytes(left)
    healed = put(lake, tmp_path, b"[1]", 6)
    assert healed == old
    assert read(lake, healed) == b"[1]"
    put(lake, tmp_path, b"[2]", 7)
    (Path(lake.url) / old.key).write_bytes(left)
    again = put(lake, tmp_path, b"[1]", 8)
    assert [read(lake, answer) for answer in lake.raw_answers(DAY)] == [b"[1]", b"[2]", b"[1]"]
    assert again.pulled_at == "2025-07-25T08:00:00"


def test_a_marker_without_its_object_is_no_answer(lake: Lake, tmp_path: Path) -> None:
    put(lake, tmp_path, b"[1]", 5)
    put(lake, tmp_path, b"[2]", 6)
    back = put(lake, tmp_path, b"[1]", 7)
    (Path(lake.url) / back.key).unlink()
    assert [read(lake, answer) for answer in lake.raw_answers(DAY)] == [b"[2]"]


@pytest.mark.parametrize("url", ["foo://x", "s3x://bucket/prefix"])
def test_an_address_that_leads_nowhere_is_refused_in_a_sentence(url: str) -> None:
    """R47."""
    with pytest.raises(PermanentFault) as found:
        Lake(url=url).refuse_unusable()
    assert (found.value.code, found.value.facts["url"]) == ("lake.address_unusable", url)


def test_a_store_without_its_library_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """R47."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    known = sys.modules["fsspec.registry"]._registry
    monkeypatch.delitem(known, "s3", raising=False)
    with pytest.raises(PermanentFault) as found:
        Lake(url="s3://bucket/without-library").refuse_unusable()
    assert found.value.code == "lake.address_unusable"


def test_the_lake_can_be_written(lake: Lake) -> None:
    assert lake.check() == lake.url
    assert list(Path(lake.url).iterdir()) == []


def test_a_checksum_is_that_of_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(io.BytesIO().read())
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert checksum_of(tmp_path / "empty") == empty


def test_what_a_killed_process_left_of_a_day_is_removed(lake: Lake, tmp_path: Path) -> None:
    drafts = []
    for place in ("raw/2025-07-24", "cleaned/2025-07-24", "cleaned/2025-07-25"):
        folder = tmp_path / "lake" / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".object.parquet.ab12.draft").write_text("a student's id")
        drafts.append(f"{place}/.object.parquet.ab12.draft")
    assert sorted(lake.unfinished()) == sorted(drafts)
    reference = tmp_path / "lake/references/cleaned_attempts/.2025-07-24.json.ab12.draft"
    reference.parent.mkdir(parents=True)
    reference.touch()
    lake.remove_abandoned_drafts(date(2025, 7, 24))
    assert not reference.exists()
    assert lake.unfinished() == ["cleaned/2025-07-25/.object.parquet.ab12.draft"]
