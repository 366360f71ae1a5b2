"""What a system's error says of a folder: which one, on which disk, and by which setting.

`No space left on device` alone blames nobody: the lake, LMS_HOME and the temporary files may
lie on three disks. So whoever writes a file names it in the error (``files.errors_named``), and
here, in one place, the error becomes a fault with a remedy.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lms_assets.faults import PermanentFault
from lms_assets.settings import load_settings


@contextmanager
def folders_told() -> Iterator[None]:
    """A system's error inside that names a file is raised as the fault of its folder.

    Raises:
        PermanentFault: ``host.folder_unusable``.
        OSError: It names no file by its path: a connection, a pipe, a program.
    """
    try:
        yield
    except OSError as error:
        file = Path(error.filename) if isinstance(error.filename, str) else Path()
        if not file.is_absolute():
            raise
        raise folder_fault(error, file) from None


def folder_fault(error: Exception, file: Path) -> PermanentFault:
    """The fault of the folder that holds the file."""
    reason = getattr(error, "strerror", None) or type(error).__name__
    place, disk = _place(file), _disk_of(file)
    return PermanentFault("host.folder_unusable", place=place, disk=disk, reason=reason)


def _place(file: Path) -> str:
    """The folder as a setting names it, where one does: ``TMPDIR=/tmp``."""
    settings = load_settings()
    folders = {"LMS_HOME": settings.lms_home, "TMPDIR": Path(tempfile.gettempdir())}
    if settings.lms_lake and "://" not in settings.lms_lake:
        folders["LMS_LAKE"] = Path(settings.lms_lake)
    holding = {name: folder for name, folder in folders.items() if file.is_relative_to(folder)}
    if not holding:
        return str(file.parent)
    name, folder = max(holding.items(), key=lambda named: len(named[1].parts))
    return f"{name}={folder}"


def _disk_of(file: Path) -> Path:
    """Where the file's disk is mounted, also once the file is gone."""
    return next(folder for folder in file.absolute().parents if os.path.ismount(folder))
