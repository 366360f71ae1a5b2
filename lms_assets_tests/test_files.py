"""What is being made leaves nothing behind, however its process ends."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from lms_assets.files import SCRATCH_IS_MADE_WITHIN_S, scratch_folder, write_whole

HOLDS = """
import sys, time
from lms_assets.files import scratch_folder
with scratch_folder() as folder:
    (folder / "answer.json").write_text("a student's record")
    print(folder, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files of this test alone."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def holding() -> "tuple[subprocess.Popen[str], Path]":
    """A process in the middle of its work, and its scratch folder, which looks old."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    folder = Path(process.stdout.readline().strip())
    old = time.time() - 2 * SCRATCH_IS_MADE_WITHIN_S
    os.utime(folder, (old, old))
    return process, folder


def test_what_a_killed_process_left_is_removed_by_the_next(temporary: Path) -> None:
    process, folder = holding()
    process.kill()
    process.wait()
    assert (folder / "answer.json").exists()
    with scratch_folder() as own:
        assert [path for path in temporary.iterdir() if path != own] == []
    assert list(temporary.iterdir()) == []


def test_what_a_living_process_holds_is_left_alone(temporary: Path) -> None:
    process, folder = holding()
    try:
        with scratch_folder():
            assert (folder / "answer.json").exists()
    finally:
        process.kill()
        process.wait()


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    file = tmp_path / "held"
    write_whole(file, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(file, "\ud800")
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["held"]
