"""Errors of files as faults that name the folder, its disk and its setting.

The lake, LMS_HOME and the temporary files may lie on three disks, and the error `No space left on
device` names none of them. So ``files.errors_named`` puts the file's path into the error. Here
the error becomes a fault with a remedy.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lms_assets.faults import PermanentFault
from lms_assets.settings import load_settings


@contextmanager
def folder_errors_as_faults() -> Iterator[None]:
    """An OSError in the block that names a file becomes the fault of the file's folder.

    Raises:
        PermanentFault: ``host.folder_unusable``.
        OSError: The error names no file: it is about a connection, a pipe or a program.
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
    """The folder with its setting, such as ``TMPDIR=/tmp``; else only its path."""
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
    """The mount point of the file's disk, even if the file no longer exists."""
    return next(folder for folder in file.absolute().parents if os.path.ismount(folder))
