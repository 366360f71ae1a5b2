"""Files that appear whole: written aside, on the disk, then renamed; or else not at all."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from filelock import FileLock, Timeout

SCRATCH = "lms-scratch-"
SCRATCH_LOCK = ".lock"
SCRATCH_IS_MADE_WITHIN_S = 60


@contextmanager
def written_whole(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """What the block writes takes the place of ``path`` when it ends well.

    A reader meets the old file or the new one, also after a loss of power.

    Args:
        path: In a folder that exists; a link is written through, not replaced.
        mode: Who may read it.

    Raises:
        OSError: It cannot be written; the old file is as it was.
    """
    target = path.resolve()
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(mode)
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def write_whole(path: Path, content: str | bytes, *, mode: int = 0o600) -> None:
    """``content`` takes the place of ``path``, as :func:`written_whole` does it."""
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


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A private folder for what is being made; gone afterwards.

    A process that is killed leaves its folder, and a student's records in it, behind. So each
    holds a lock in its folder for as long as it lives, and the next one removes the folders
    whose lock is free.

    Raises:
        OSError: No folder can be made.
    """
    for left in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        _remove_if_left(left)
    with tempfile.TemporaryDirectory(prefix=SCRATCH) as name:
        folder = Path(name)
        with FileLock(folder / SCRATCH_LOCK):
            yield folder


def _remove_if_left(folder: Path) -> None:
    """The folder is gone if its process is; one that is just being made is left alone."""
    with suppress(OSError, Timeout):
        if time.time() - folder.stat().st_mtime > SCRATCH_IS_MADE_WITHIN_S:
            with FileLock(folder / SCRATCH_LOCK, timeout=0):
                shutil.rmtree(folder)
