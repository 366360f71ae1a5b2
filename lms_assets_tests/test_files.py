"""What is being made leaves nothing behind, however its process ends."""

import errno
import fcntl
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from lms_assets.files import (
    remove_abandoned_drafts,
    remove_orphaned_scratch,
    scratch_folder,
    write_whole,
    written_whole,
)

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
    """A process in the middle of its work, and its scratch folder."""
    process = subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_scratch_folder_of_a_killed_process_is_removed_by_the_next_process(
    temporary: Path,
) -> None:
    process, folder = holding()
    process.kill()
    process.wait()
    assert (folder / "answer.json").exists()
    with scratch_folder() as own:
        assert [path for path in temporary.iterdir() if path.is_dir()] == [own]
    assert list(temporary.iterdir()) == []


def test_a_scratch_folder_of_a_killed_process_is_removed_without_a_new_one(temporary: Path) -> None:
    process, _ = holding()
    process.kill()
    process.wait()
    remove_orphaned_scratch()
    assert list(temporary.iterdir()) == []


def test_a_scratch_folder_of_a_living_process_is_left_alone(temporary: Path) -> None:
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


def test_a_killed_writers_draft_is_removed_and_its_neighbours_stay(tmp_path: Path) -> None:
    drafts = [tmp_path / ".held.x1y2z3.draft", tmp_path / ".held.1.draft"]
    others = [tmp_path / name for name in ("held", ".held.lock", "a.draft")]
    for file in (*drafts, *others):
        file.write_text("a student's id")
    remove_abandoned_drafts(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted(others)


def test_a_living_writers_draft_stays_and_becomes_the_file(tmp_path: Path) -> None:
    with written_whole(tmp_path / "held") as file:
        file.write(b"whole")
        remove_abandoned_drafts(tmp_path)
    remove_abandoned_drafts(tmp_path)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("held", b"whole")]


def test_a_file_is_written_where_the_file_system_has_no_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with written_whole(tmp_path / "held") as file:
        file.write(b"whole")
        remove_abandoned_drafts(tmp_path)
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("held", b"whole")]


def test_a_folder_that_is_not_there_has_no_drafts(tmp_path: Path) -> None:
    remove_abandoned_drafts(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
