"""The edition of a page: a hash in its head that shows whether the page is still current."""

from hashlib import sha256

from sqlalchemy import Connection

from lms_assets.code_hash import code_hash
from lms_assets.statistics import measures
from lms_assets.statistics.presentation import Presentation

# The hash stands before styles and scripts, within the first bytes.
_HEAD_BYTES = 2_000


def edition_of(connection: Connection, presentation: Presentation) -> str:
    """A hash of the figures' last refresh, the language, the names and the code.

    Read it before the figures. If they change in between, the page is made once more than needed,
    but never too seldom.
    """
    refreshed = measures.refreshed_at(connection)
    # Figures and page are made from these.
    code = code_hash("lms_assets.statistics", "lms_assets.texts")
    names = sorted((key, name.title, name.link) for key, name in presentation.names.known.items())
    return sha256(repr((refreshed, presentation.language, names, code)).encode()).hexdigest()


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
