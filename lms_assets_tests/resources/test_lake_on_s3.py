"""The lake in a store as S3: the same answers, and none half written, whatever the store does."""

import uuid
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from s3fs import S3FileSystem

from lms_assets.faults import PermanentFault, TemporaryFault
from lms_assets.resources.lake import Lake, RawAnswer
from lms_assets_tests.s3_server import BUCKET, KEYS, S3Server, s3_server

DAY = date(2025, 7, 24)
SCHEMA = pa.schema([pa.field("user_id", pa.string())])


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[S3Server, str]]:
    with s3_server() as served:
        yield served


@pytest.fixture
def store(server: tuple[S3Server, str]) -> S3Server:
    return server[0]


@pytest.fixture
def lake(server: tuple[S3Server, str], monkeypatch: pytest.MonkeyPatch) -> Lake:
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": server[1]}.items():
        monkeypatch.setenv(name, value)
    return Lake(url=f"s3://{BUCKET}/{uuid.uuid4().hex}")


def put(lake: Lake, folder: Path, body: bytes, hour: int) -> RawAnswer:
    file = folder / "answer"
    file.write_bytes(body)
    pulled_at = datetime(2025, 7, 25, hour, tzinfo=UTC)
    return lake.store_raw(file, day=DAY, records=1, pulled_at=pulled_at)


def read(lake: Lake, answer: RawAnswer) -> bytes:
    with lake.open_raw(answer) as body:
        return body.read()


def test_answers_are_kept_once_and_in_order(lake: Lake, tmp_path: Path) -> None:
    assert lake.raw_answers(DAY) == []
    first = put(lake, tmp_path, b"[1]", 5)
    assert put(lake, tmp_path, b"[1]", 6) == first
    put(lake, tmp_path, b"[2]", 7)
    put(lake, tmp_path, b"[1]", 8)
    assert [read(lake, answer) for answer in lake.raw_answers(DAY)] == [b"[1]", b"[2]", b"[1]"]
    assert lake.raw_days() == [DAY]
    assert lake.unfinished() == []


def test_a_large_answer_comes_back_as_it_was(lake: Lake, tmp_path: Path) -> None:
    body = bytes(n * n % 251 for n in range(1 << 20)) * 12
    assert read(lake, put(lake, tmp_path, body, 5)) == body


def test_an_answer_is_replaced_in_its_place(lake: Lake, tmp_path: Path) -> None:
    old = put(lake, tmp_path, b"[1, 2]", 5)
    (tmp_path / "rest").write_bytes(b"[1]")
    new = lake.replace_raw(old, tmp_path / "rest", records=1)
    assert lake.raw_answers(DAY) == [new]
    assert read(lake, new) == b"[1]"


def test_another_process_sees_objects_that_were_put_after_its_first_look(
    lake: Lake, tmp_path: Path
) -> None:
    other = Lake(url=lake.url)
    assert other.raw_answers(DAY) == []
    answer = put(lake, tmp_path, b"[1]", 5)
    assert other.raw_answers(DAY) == [answer]


def break_off(lake: Lake, batch: pa.RecordBatch) -> None:
    with lake.write_parquet("cleaned/2025-07-24/b.parquet", SCHEMA) as writer:
        writer.write_batch(batch)
        raise ZeroDivisionError


def test_an_object_whose_writing_broke_off_is_not_there(lake: Lake) -> None:
    batch = pa.record_batch({"user_id": ["ann"]}, schema=SCHEMA)
    with lake.write_parquet("cleaned/2025-07-24/a.parquet", SCHEMA) as writer:
        writer.write_batch(batch)
    with pytest.raises(ZeroDivisionError):
        break_off(lake, batch)
    assert lake.cleaned_keys() == ["cleaned/2025-07-24/a.parquet"]
    assert [b.to_pylist() for b in lake.batches("cleaned/2025-07-24/a.parquet")] == [
        [{"user_id": "ann"}]
    ]


def test_a_store_that_is_slow_and_asks_for_patience_is_asked_again(
    lake: Lake, store: S3Server, tmp_path: Path
) -> None:
    store.latency_s, store.refusing, store.cutting = 0.05, 2, 1
    try:
        answer = put(lake, tmp_path, b"[1]", 5)
    finally:
        store.latency_s, store.refusing, store.cutting = 0.0, 0, 0
    assert read(lake, answer) == b"[1]"
    assert lake.raw_answers(DAY) == [answer]


def test_a_list_that_lags_loses_no_answer(lake: Lake, store: S3Server, tmp_path: Path) -> None:
    assert lake.raw_answers(DAY) == []
    store.lists_late = True
    try:
        answer = put(lake, tmp_path, b"[1]", 5)
        assert read(lake, answer) == b"[1]"
        again = put(lake, tmp_path, b"[1]", 6)
        assert read(lake, again) == b"[1]"
    finally:
        store.lists_late = False
    assert {read(lake, one) for one in lake.raw_answers(DAY)} == {b"[1]"}


def test_a_missing_bucket_and_a_store_that_is_down_have_faults_of_their_own(
    lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises((PermanentFault, TemporaryFault)) as found:
        Lake(url="s3://nowhere-at-all/x").check()
    assert found.value.stage == "lake"
    S3FileSystem.clear_instance_cache()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(TemporaryFault) as found_down:
        Lake(url="s3://another-one/y").check()
    assert found_down.value.code == "lake.unreachable"
