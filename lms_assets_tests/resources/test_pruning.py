"""What is pruned from the lake, and that nothing is lost by it that could not be made again."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from lms_assets.resources.lake import Lake, LakeReferences, RawAnswer
from lms_assets.resources.pruning import prune_cleaned, prune_raw

DAY = date(2025, 7, 24)
PULLED = datetime(2025, 7, 25, tzinfo=UTC)
DAYS = dg.DailyPartitionsDefinition(start_date="2025-07-24", end_date="2025-07-26")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(url=str(tmp_path / "lake"))


def put(lake: Lake, folder: Path, body: bytes, *, after: int, records: int = 1) -> RawAnswer:
    file = folder / "answer"
    file.write_bytes(body)
    pulled_at = PULLED + timedelta(days=after)
    return lake.store_raw(file, day=DAY, records=records, pulled_at=pulled_at)


def cleaned(lake: Lake, name: str, *, days_ago: int) -> str:
    key = f"cleaned/2025-07-24/{name}.parquet"
    lake.objects.write(key, b"rows")
    written = (datetime.now(UTC) - timedelta(days=days_ago)).timestamp()
    os.utime(Path(lake.url) / key, (written, written))
    return key


def test_cleaned_objects_are_pruned_by_when_they_were_written(lake: Lake) -> None:
    """F4."""
    cleaned(lake, "old", days_ago=200)
    young = cleaned(lake, "young", days_ago=100)
    assert prune_cleaned(lake, before=datetime.now(UTC) - timedelta(days=180)) == 1
    assert lake.cleaned_keys() == [young]


def test_the_newest_answer_of_a_day_stays_however_old_it_is(lake: Lake, tmp_path: Path) -> None:
    put(lake, tmp_path, b"one", after=0)
    put(lake, tmp_path, b"two", after=1)
    newest = put(lake, tmp_path, b"three", after=2)
    assert prune_raw(lake, before=PULLED + timedelta(days=999)) == 2
    assert lake.raw_answers(DAY) == [newest]
    with lake.open_raw(newest) as body:
        assert body.read() == b"three"


def test_an_empty_newest_answer_does_not_let_the_one_with_records_go(
    lake: Lake, tmp_path: Path
) -> None:
    full = put(lake, tmp_path, b"one", after=0)
    empty = put(lake, tmp_path, b"[]", after=1, records=0)
    assert prune_raw(lake, before=PULLED + timedelta(days=999)) == 0
    assert lake.raw_answers(DAY) == [full, empty]


def test_an_object_that_a_younger_pull_brought_again_stays(lake: Lake, tmp_path: Path) -> None:
    put(lake, tmp_path, b"one", after=0)
    put(lake, tmp_path, b"two", after=1)
    again = put(lake, tmp_path, b"one", after=2)
    assert prune_raw(lake, before=PULLED + timedelta(days=999)) == 1
    assert lake.newest_raw(DAY) == again
    with lake.open_raw(again) as body:
        assert body.read() == b"one"


def test_markers_of_pruned_bytes_are_pruned_with_them(lake: Lake, tmp_path: Path) -> None:
    for after, body in enumerate([b"one", b"two", b"one", b"three"]):
        put(lake, tmp_path, body, after=after)
    prune_raw(lake, before=PULLED + timedelta(days=999))
    assert [path.suffix for path in (Path(lake.url) / "raw" / "2025-07-24").iterdir()] == [".zst"]


def test_answers_younger_than_the_limit_stay(lake: Lake, tmp_path: Path) -> None:
    for after in range(4):
        put(lake, tmp_path, str(after).encode(), after=after)
    assert prune_raw(lake, before=PULLED + timedelta(days=2)) == 2
    assert len(lake.raw_answers(DAY)) == 2


def test_a_reference_to_a_pruned_object_counts_as_absent(lake: Lake) -> None:
    """F4. The day is then materialized from its raw answer, which makes the object again."""

    @dg.asset(partitions_def=DAYS, io_manager_key="lake_references")
    def cleaned_day() -> dict[str, str]:
        return {"attempts_key": cleaned(lake, "day", days_ago=200)}

    @dg.asset(partitions_def=DAYS, io_manager_key="lake_references")
    def table(cleaned_day: dict[str, str]) -> None:
        assert lake.objects.exists(cleaned_day["attempts_key"])

    with dg.DagsterInstance.ephemeral() as instance:

        def ran(*assets: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
            return dg.materialize(
                [cleaned_day, table],
                selection=[asset.key for asset in assets],
                partition_key="2025-07-24",
                resources={"lake_references": LakeReferences(lake=lake)},
                instance=instance,
                raise_on_error=False,
            )

        assert ran(cleaned_day, table).success
        assert ran(table).success
        prune_cleaned(lake, before=datetime.now(UTC) - timedelta(days=180))
        (failed,) = ran(table).get_step_failure_events()
        assert "materialize it first" in str(failed.step_failure_data.error)
        assert ran(cleaned_day, table).success


def test_a_reference_to_an_answer_that_an_erasure_rewrote_leads_to_what_is_left(
    lake: Lake, tmp_path: Path
) -> None:
    """A run may write its reference after the erasure, which then could not correct it."""
    pulled = put(lake, tmp_path, b"[1, 2]", after=0, records=2)
    rest = tmp_path / "rest.json"
    rest.write_bytes(b"[2]")

    @dg.asset(partitions_def=DAYS, io_manager_key="lake_references")
    def raw_day() -> RawAnswer:
        lake.replace_raw(pulled, rest, records=1)
        return pulled

    @dg.asset(partitions_def=DAYS, io_manager_key="lake_references")
    def cleaned_day(raw_day: RawAnswer) -> None:
        with lake.open_raw(lake.standing(raw_day)) as body:
            assert body.read() == b"[2]"

    resources = {"lake_references": LakeReferences(lake=lake)}
    assert dg.materialize(
        [raw_day, cleaned_day], partition_key="2025-07-24", resources=resources
    ).success
