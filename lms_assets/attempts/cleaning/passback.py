"""One text of ``passback_params``, which says where the mark of an attempt goes.

The text is a Python literal or JSON. An API record may also hold a JSON object instead of a text.
"""

import ast
import re
import warnings
from typing import Any, NamedTuple

from lms_assets.attempts.cleaning.fields import is_storable
from lms_assets.attempts.cleaning.reading import LENIENT, MAX_DEPTH, MAX_RECORD_BYTES, depth_of
from lms_assets.attempts.columns import PASSBACK_FIELDS

_NO_PASSBACK = frozenset({"", "{}", "None", "null"})
_USUAL_PASSBACK = re.compile(
    r"\{'oauth_consumer_key': '([^'\\\n\r]*+)', 'lis_result_sourcedid': '([^'\\\n\r]*+)'"
    r"(?:, 'lis_outcome_service_url': '([^'\\\n\r]*+)')?\}"
)
_CLAIMED_SOURCEDID = re.compile(r"""['"]lis_result_sourcedid['"]\s*:\s*['"]([^'"]*)""")

# Python's parser refuses NUL and lone surrogates. For the parser they are replaced by characters
# for private use, so that such a record is rejected as ``text_invalid``, as in JSON.
_CARRIED = {code: chr(0x10F000 + place) for place, code in enumerate([0, *range(0xD800, 0xE000)])}
_DELIVERED = {ord(carrier): chr(code) for code, carrier in _CARRIED.items()}


class Passback(NamedTuple):
    """The fields of one text of ``passback_params``.

    An unreadable text may still have a ``lis_result_sourcedid``.
    """

    is_readable: bool
    oauth_consumer_key: str | None = None
    lis_result_sourcedid: str | None = None
    lis_outcome_service_url: str | None = None


def passback_of(text: str) -> Passback:
    """The fields of the text, which is a Python literal, JSON or empty."""
    usual = _USUAL_PASSBACK.fullmatch(text)
    if usual:
        return Passback(True, *usual.groups())
    if text in _NO_PASSBACK:
        return Passback(True)
    literal = dict_within(text)
    if literal is None:
        claimed = _CLAIMED_SOURCEDID.search(text)
        return Passback(False, lis_result_sourcedid=claimed[1] if claimed else None)
    fields = [literal.get(name) for name in PASSBACK_FIELDS]
    if all(value is None or isinstance(value, str) for value in fields):
        return Passback(True, *fields)
    return Passback(False, lis_result_sourcedid=_as_sourcedid(fields[1]))


def _as_sourcedid(value: object) -> str | None:
    return value if isinstance(value, str) else None


def dict_within(text: str) -> dict[Any, Any] | None:
    """The dict of a JSON object or a Python literal; None for any other text.

    No expression is evaluated.
    """
    if text.count("{") + text.count("[") + text.count("(") > MAX_DEPTH and (
        depth_of(text) > MAX_DEPTH or len(text) > MAX_RECORD_BYTES
    ):
        return None
    try:
        value: object = LENIENT.decode(text)
    except (ValueError, RecursionError):
        value = _python_literal(text)
    return value if isinstance(value, dict) else None


def _python_literal(text: str) -> object:
    if len(text) > MAX_RECORD_BYTES:
        return None
    is_carried = not is_storable(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = ast.literal_eval(text.translate(_CARRIED) if is_carried else text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return _delivered(value) if is_carried and isinstance(value, dict) else value


def _delivered(literal: dict[Any, Any]) -> dict[Any, Any]:
    return {
        key: value.translate(_DELIVERED) if isinstance(value, str) else value
        for key, value in literal.items()
    }
