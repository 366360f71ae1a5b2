"""What a page was made of. It says so in its head: the same edition need not be made again."""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from sqlalchemy import Connection, text

from lms_assets.statistics.presentation import Presentation

# The head stands in the first bytes, before styles and scripts.
_HEAD_BYTES = 2_000
_REFRESHED = "select extract(epoch from max(refreshed_at))::text from figure_settings"


def edition_of(connection: Connection, presentation: Presentation) -> str:
    """A hash of all that the page shows and is made by: the figures by their last refresh.

    Read it before the figures: a page that is newer than it says is only made once more.
    """
    refreshed = connection.scalar(text(_REFRESHED))
    names = sorted((key, name.title, name.link) for key, name in presentation.names.known.items())
    return sha256(repr((refreshed, presentation.language, names, _code())).encode()).hexdigest()


def is_of(page: Path, edition: str) -> bool:
    """Whether the file is there and of this edition.

    Raises:
        OSError: It is there and cannot be read.
    """
    if not page.exists():
        return False
    with page.open("rb") as file:
        return f'content="{edition}"'.encode() in file.read(_HEAD_BYTES)


@cache
def _code() -> str:
    """A hash of the code, SQL, templates and texts that figures and page are made by."""
    rooms = (files("lms_assets.statistics"), files("lms_assets.texts"))
    contents = sorted(content for room in rooms for content in _contents(room))
    return sha256(b"".join(contents)).hexdigest()


def _contents(room: Traversable) -> list[bytes]:
    found: list[bytes] = []
    for item in room.iterdir():
        if item.is_dir() and item.name != "__pycache__":
            found += _contents(item)
        elif item.is_file():
            found.append(item.read_bytes())
    return found
