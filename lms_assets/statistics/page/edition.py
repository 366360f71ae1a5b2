"""The edition of a page: a hash in its head that shows whether the page is still current."""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable

from sqlalchemy import Connection, text

from lms_assets.statistics.presentation import Presentation

# The hash stands before styles and scripts, within the first bytes.
_HEAD_BYTES = 2_000
_REFRESHED = "select extract(epoch from max(refreshed_at))::text from figure_settings"


def edition_of(connection: Connection, presentation: Presentation) -> str:
    """A hash of the figures' last refresh, the language, the names and the code.

    Read it before the figures. If they change in between, the page is made once more than needed,
    but never too seldom.
    """
    refreshed = connection.scalar(text(_REFRESHED))
    names = sorted((key, name.title, name.link) for key, name in presentation.names.known.items())
    return sha256(repr((refreshed, presentation.language, names, _code())).encode()).hexdigest()


def is_of(presentation: Presentation, edition: str) -> bool:
    """Whether the page exists and has this edition.

    Raises:
        OSError: The file exists but cannot be read.
    """
    objects, key = presentation.page_place
    if not objects.exists(key):
        return False
    with objects.opened(key) as file:
        return f'content="{edition}"'.encode() in file.read(_HEAD_BYTES)


@cache
def _code() -> str:
    """A hash of the code, SQL, templates and texts from which figures and page are made."""
    rooms = (files("lms_assets.statistics"), files("lms_assets.texts"))
    contents = sorted(content for room in rooms for content in _contents(room))
    return sha256(b"".join(contents)).hexdigest()


def _contents(room: Traversable) -> list[bytes]:
    contents: list[bytes] = []
    for item in room.iterdir():
        if item.is_dir() and item.name != "__pycache__":
            contents += _contents(item)
        elif item.is_file():
            contents.append(item.read_bytes())
    return contents
