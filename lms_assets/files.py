"""Files that appear whole: written aside, on the disk, then renamed; or else not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


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
