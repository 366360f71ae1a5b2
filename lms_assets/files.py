"""Files that readers see whole or not at all: written aside, synced to the disk, then renamed."""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

SCRATCH = "lms-scratch-"
LOCK = ".lock"
DRAFT = ".draft"


@contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """A system's error inside that names no file names this one.

    The error of a ``write`` to a full disk does not say where that was.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def written_whole(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """The file that the block writes replaces ``path`` if the block ends without an error.

    A reader sees the old file or the new one, never a part, even after a loss of power.

    Args:
        path: A file in a folder that exists. If it is a link, the link stays and its target
            is replaced.
        mode: The new file's permissions.

    Raises:
        OSError: The file cannot be written. The old file is unchanged.
    """
    target = path.resolve()
    draft, descriptor = _new_draft(target)
    try:
        with errors_named(target), os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            draft.chmod(mode)
            if fcntl:
                # While the draft is locked, nobody takes it for an abandoned one.
                draft.replace(target)
        if not fcntl:
            draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: str | bytes, *, mode: int = 0o600) -> None:
    """``content`` replaces the file ``path``, as in :func:`written_whole`."""
    with written_whole(path, mode=mode) as file:
        file.write(content.encode("utf-8") if isinstance(content, str) else content)


def sync_folder(folder: Path) -> None:
    """The names in the folder survive a loss of power, where the system can promise that."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _new_draft(target: Path) -> tuple[Path, int]:
    """An empty draft beside the target, and its open descriptor, which holds the draft's lock."""
    while True:
        descriptor, name = tempfile.mkstemp(
            dir=target.parent, prefix=f".{target.name}.", suffix=DRAFT
        )
        if fcntl:
            # A file system without locks refuses; there no draft is ever taken for abandoned.
            with suppress(OSError):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        # Before it was locked, another process may have taken it for an abandoned one.
        if Path(name).exists():
            return Path(name), descriptor
        os.close(descriptor)


def remove_abandoned_drafts(folder: Path) -> None:
    """The drafts that killed writers left in the folder are deleted; those of living ones stay."""
    for draft in folder.glob(f".*{DRAFT}"):
        with suppress(OSError), _alone_with(draft):
            draft.unlink()


@contextmanager
def _alone_with(draft: Path) -> Iterator[None]:
    """Nobody writes the draft during the block.

    Raises:
        OSError: A living writer holds its lock. Windows has no such lock, but there nobody can
            delete a file that is open.
    """
    if not fcntl:
        yield
        return
    with draft.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A private folder for temporary files, deleted when the block ends.

    A killed process leaves its folder behind, with students' records in it. So each process
    holds a lock beside its folder while it lives, and the next process deletes the folders whose
    lock is free. The lock is made before the folder and deleted after it.

    Raises:
        OSError: No folder can be made.
    """
    remove_orphaned_scratch()
    folder = Path(tempfile.gettempdir(), f"{SCRATCH}{uuid.uuid4().hex}")
    lock = folder.with_name(folder.name + LOCK)
    with errors_named(folder), FileLock(lock):
        try:
            folder.mkdir(mode=0o700)
            yield folder
        finally:
            _remove(folder, lock)


def remove_orphaned_scratch() -> None:
    """The scratch folders of dead processes of this machine are deleted."""
    for lock in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*{LOCK}"):
        with suppress(OSError, Timeout), FileLock(lock, timeout=0):
            _remove(lock.with_name(lock.name.removesuffix(LOCK)), lock)


def _remove(folder: Path, lock: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    lock.unlink(missing_ok=True)
