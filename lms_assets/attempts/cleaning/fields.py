"""What one field of a record may say, and what it means.

How ``is_correct`` is read, with JSON's own types:

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
    """0 wrong, 1 correct, or one of the two numbers above."""
    if value is None or isinstance(value, bool | int | float):
        return VERDICTS.get(value, UNKNOWN_VERDICT)
    return UNKNOWN_VERDICT


_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?"
)


def moment_of(value: object) -> datetime | None:
    """The instant in naive UTC, or None for whatever is not spelled as the rule says."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def as_text(value: object) -> str | None:
    """Text as it is, None as None, anything else as JSON."""
    return value if value is None or isinstance(value, str) else json.dumps(value)


_SURROGATE = re.compile(r"[\ud800-\udfff]")


def is_storable(text: str | None) -> bool:
    """Whether PostgreSQL and UTF-8 take it: no NUL, no lone surrogate."""
    return text is None or ("\0" not in text and (text.isascii() or not _SURROGATE.search(text)))
