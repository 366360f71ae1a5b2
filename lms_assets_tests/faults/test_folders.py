"""A disk that is full is told by its own place, whichever of our folders lies on it."""

import os
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from lms_assets.faults import PermanentFault
from lms_assets.faults.failures import FAULT, faults_as_failures
from lms_assets.faults.folders import folder_errors_as_faults
from lms_assets.files import scratch_folder
from lms_assets.resources.grader_api import GraderApi
from lms_assets.resources.lake import Lake
from lms_assets_tests.api_server import ApiServer, answer
from lms_assets_tests.driving import filled, small_disk
from lms_assets_tests.homes import home

pytestmark = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="Only root may mount a disk"
)

DAY = date(2025, 7, 24)
MANY = [
    {"created_at": f"{DAY} 10:00:00.{n:06d}", "note": os.urandom(40).hex()} for n in range(9000)
]


@pytest.fixture
def disk() -> Iterator[Path]:
    """A disk with room for half a megabyte."""
    with small_disk(4) as disk:
        filled(disk, left=1 << 19)
        yield disk


@pytest.fixture
def full_tmpdir(disk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(disk))
    return disk


def fault_of(work: Callable[[], object]) -> PermanentFault:
    with pytest.raises(PermanentFault) as found, folder_errors_as_faults():
        work()
    return found.value


def pull() -> None:
    with ApiServer(answer(MANY)) as api, scratch_folder() as folder:
        grader = GraderApi(url=api.url, client="c", client_key="k")
        window = datetime(2025, 7, 24), datetime(2025, 7, 25)  # noqa: DTZ001
        grader.attempts_between(*window, to=folder / "answer.json")


def test_a_full_disk_of_temporary_files_is_named_by_its_setting(full_tmpdir: Path) -> None:
    fault = fault_of(pull)
    assert fault.code == "host.folder_unusable"
    assert fault.cause() == (
        f"TMPDIR={full_tmpdir}, on the disk at {full_tmpdir}, cannot be read or written: "
        "No space left on device."
    )
    assert list(full_tmpdir.iterdir()) == [full_tmpdir / "filling"]


def test_a_full_disk_of_the_lake_is_named_by_its_setting(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = {"API_URL": "http://127.0.0.1:9", "API_CLIENT": "c", "API_CLIENT_KEY": "k"}
    for name, value in {**configured, "LMS_LAKE": str(disk / "lake")}.items():
        monkeypatch.setenv(name, value)
    body = tmp_path / "body"
    body.write_bytes(os.urandom(1 << 20))

    def store() -> None:
        lake = Lake(url=str(disk / "lake"))
        lake.store_raw(body, day=DAY, records=1, pulled_at=datetime.now(UTC))

    assert fault_of(store).facts["place"] == f"LMS_LAKE={disk / 'lake'}"


def test_a_folder_that_no_setting_names_is_named_by_its_path(
    disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    fault = fault_of(lambda: (disk / "other" / "file").write_bytes(b""))
    assert (fault.facts["place"], fault.facts["disk"]) == (str(disk / "other"), disk)


def test_an_error_that_names_no_file_stays_unchanged() -> None:
    with pytest.raises(dg.Failure) as found, faults_as_failures():
        raise PermanentFault("lake.no_answer", day=DAY)
    assert str(found.value.metadata[FAULT].value) == "lake.no_answer"
    with pytest.raises(BrokenPipeError), faults_as_failures():
        raise BrokenPipeError


@pytest.mark.slow
def test_a_run_over_a_full_disk_of_temporary_files_says_so_and_the_day_again_repairs_it(
    disk: Path,
) -> None:
    with ApiServer(answer(MANY)) as api, home(api, tmpdir=disk) as place:
        failed = place.lms("run", str(DAY))
        assert failed.returncode == 1
        assert f"TMPDIR={disk}, on the disk at {disk}, cannot be read or written" in failed.stdout
        assert "its disk has room" in failed.stdout
        told = place.rows("select facts from letters")
        assert told[0]["facts"]["cause"]["code"] == "host.folder_unusable"

        (disk / "filling").unlink()
        # Its records are no attempts, so the day is refused for another reason.
        assert "records were refused" in place.lms("run", str(DAY)).stdout
