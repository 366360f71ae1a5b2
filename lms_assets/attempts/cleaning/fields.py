"""The allowed values of a record's fields, and their meaning.

The verdict by the JSON value of ``is_correct``:

    null, absent      no verdict: a run, or an ungraded submit
    0, 0.0, false     wrong
    1, 1.0, true      correct
    anything else     rejected: "1", "", 2, 0.5, 1e400, NaN, [], {}
"""

import json
import re
from datetime import UTC, datetime

VERDICTS: dict[float | None, int] = {None: -1, 0: 0, 1: 1}
NO_VERDICT, CORRECT, UNKNOWN_VERDICT = -1, 1, 2


def verdict_of(value: object) -> int:
    """The verdict as a number: -1 no verdict, 0 wrong, 1 correct, 2 not a verdict."""
    if value is None or isinstance(value, bool | int | float):
        return VERDICTS.get(value, UNKNOWN_VERDICT)
    return UNKNOWN_VERDICT


_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?"
)


def moment_of(value: object) -> datetime | None:
    """The instant in naive UTC; None if the value is not a text of an existing instant.

    The text is ``2025-07-24 10:00:00``, with ``T`` or a space, up to 6 digits of a fraction, and
    an optional offset: ``Z``, ``+03``, ``+0300`` or ``+03:00``. Without an offset it is UTC.
    """
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def as_text(value: object) -> str | None:
    """Text and None unchanged, any other value as JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


_SURROGATE = re.compile(r"[\ud800-\udfff]")


def is_storable(text: str | None) -> bool:
    """Whether PostgreSQL can store the text: it has no NUL and no lone surrogate."""
    return text is None or ("\0" not in text and (text.isascii() or not _SURROGATE.search(text)))
