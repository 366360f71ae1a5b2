"""Equal bytes are cleaned once by equal rules, and only then."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from lms_assets.attempts.cleaned_before import earlier_pull
from lms_assets.attempts.ledger import Pull
from lms_assets.resources.lake import Lake, RawAnswer, reference_key
from lms_assets_tests.day_loads import DAY, body_of, cleaned, record, stored, window_of

RECORDS = [record("ann"), record("bob", "run"), record("ann"), 17]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(url=str(tmp_path / "lake"))


def noted(lake: Lake, pull: Pull) -> Pull:
    """The pull is what the asset handed on last."""
    lake.objects.write(reference_key("cleaned_attempts", pull.day), msgspec.json.encode(pull))
    return pull


def found(lake: Lake, answer: RawAnswer) -> Pull | None:
    return earlier_pull(lake, answer, window_of(DAY), zone="UTC")


def answered(lake: Lake, records: list[object], *, hour: int = 5) -> RawAnswer:
    return stored(lake, body_of(records), records=len(records), hour=hour)


def test_the_same_bytes_again_are_the_pull_that_they_were(lake: Lake) -> None:
    pull = noted(lake, cleaned(lake, answered(lake, RECORDS)))
    assert found(lake, answered(lake, RECORDS, hour=6)) == pull


def test_a_day_that_was_never_cleaned_is_cleaned(lake: Lake) -> None:
    assert found(lake, answered(lake, RECORDS)) is None


def test_other_bytes_are_cleaned(lake: Lake) -> None:
    noted(lake, cleaned(lake, answered(lake, RECORDS)))
    assert found(lake, answered(lake, [*RECORDS, record("eve")], hour=6)) is None


@pytest.mark.parametrize(
    "other",
    [
        {"code_version": "0"},
        {"zone": "Europe/Moscow"},
        {"window_end": window_of(DAY).end + timedelta(hours=1)},
    ],
)
def test_what_other_rules_or_another_window_made_is_made_anew(
    lake: Lake, other: dict[str, object]
) -> None:
    answer = answered(lake, RECORDS)
    noted(lake, replace(cleaned(lake, answer), **other))  # type: ignore[arg-type]
    assert found(lake, answer) is None


def test_more_records_that_were_erased_are_counted_anew(lake: Lake) -> None:
    answer = answered(lake, RECORDS)
    noted(lake, cleaned(lake, answer))
    assert found(lake, replace(answer, erased=1)) is None


def test_a_record_that_the_clock_refused_is_judged_again(lake: Lake) -> None:
    answer = answered(lake, [*RECORDS, record("eve", at="99:99:99")])
    noted(lake, cleaned(lake, answer))
    assert found(lake, answer) is None


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


@pytest.mark.parametrize("damage", [Path.unlink, _cut])
@pytest.mark.parametrize("ending", ["-v*[0-9].parquet", ".rejected.parquet"])
def test_an_object_that_is_lost_or_cut_short_is_made_anew(
    lake: Lake, damage: Callable[[Path], object], ending: str
) -> None:
    answer = answered(lake, RECORDS)
    noted(lake, cleaned(lake, answer))
    (lost,) = Path(lake.url).rglob(f"*{ending}")
    damage(lost)
    assert found(lake, answer) is None


def test_an_object_with_fewer_rows_than_were_counted_is_made_anew(lake: Lake) -> None:
    answer = answered(lake, RECORDS)
    pull = noted(lake, cleaned(lake, answer))
    with lake.write_parquet(pull.attempts_key, lake.schema_of(pull.attempts_key)):
        pass
    assert found(lake, answer) is None


def test_a_note_that_cannot_be_read_is_none(lake: Lake) -> None:
    answer = answered(lake, RECORDS)
    lake.objects.write(reference_key("cleaned_attempts", answer.day), b'{"day": ')
    assert found(lake, answer) is None
