"""Whether a file is as it was last written and from what, so that the same is not made again.

Beside the file lies a hidden one with two hashes: of the file's bytes, and of what they were made
from. A file that a person has changed has other bytes.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import msgspec

from lms_assets.code_hash import code_hash
from lms_assets.files import write_whole


@dataclass(frozen=True)
class Writing:
    """The last writing of a file.

    Attributes:
        file: A hash of the bytes.
        source: A hash of what they were made from; see :func:`hash_of`.
        shown: The titles of what the file shows, where it has any.
    """

    file: str
    source: str
    shown: list[str] = field(default_factory=list)


def hash_of(source: object) -> str:
    """A hash of the source, by its notation, and of our code, which makes the bytes of it."""
    return sha256(repr((source, code_hash("lms_assets"))).encode()).hexdigest()


def last_writing(path: Path) -> Writing | None:
    """The last writing of the file; None if the file has been changed or removed since."""
    try:
        writing = msgspec.json.decode(_beside(path).read_bytes(), type=Writing)
        is_unchanged = writing.file == _hash_of_bytes(path)
    except (OSError, msgspec.DecodeError):
        return None
    return writing if is_unchanged else None


def remember_writing(path: Path, source: str, shown: list[str] | None = None) -> None:
    """The file, which has just been written, is known by its bytes and by what it was made from."""
    writing = Writing(_hash_of_bytes(path), source, shown or [])
    write_whole(_beside(path), msgspec.json.encode(writing))


def made_once(path: Path, source: object, make: Callable[[], bytes]) -> bytes:
    """What ``make`` gives for the source; what the file holds if it was made from the same one.

    The file is only for the next time: where it cannot be written, nothing is lost.
    """
    key, last = hash_of(source), last_writing(path)
    if last is not None and last.source == key:
        return path.read_bytes()
    made = make()
    with suppress(OSError):
        write_whole(path, made)
        remember_writing(path, key)
    return made


def _hash_of_bytes(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.written")
