"""The JSON value of a record.

A strict reader reads the common case. A lenient one reads ``NaN``, raw control characters and
bytes that are no UTF-8. Size and depth have bounds.
"""

import json
import re
from itertools import accumulate
from typing import Final

import msgspec

from lms_assets.resources.records import ascii_text

MAX_RECORD_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 50

_STRICT = msgspec.json.Decoder()
# Possessive groups would be shorter, but Python before 3.11.5 matches them wrongly.
_QUOTED = re.compile(r"\"[^\"\\]*(?:\\.[^\"\\]*)*\"|'[^'\\]*(?:\\.[^'\\]*)*'", re.DOTALL)
_PIECE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]|[^"\[\]{}]+|"', re.DOTALL)
_STRING_OR_SPACE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[ \t\n\r]+', re.DOTALL)


def _whole_number(digits: str) -> int | float:
    # Python refuses to convert integers of more than 4,300 digits.
    return int(digits) if len(digits) < 400 else float(digits)


LENIENT = json.JSONDecoder(strict=False, parse_int=_whole_number)


def value_of(record: bytes, *, may_be_deep: bool) -> object:
    """The record's value, with null for parts deeper than MAX_DEPTH; None if it is not JSON."""
    if not may_be_deep:
        try:
            return _STRICT.decode(record)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
    text = ascii_text(record)
    try:
        return LENIENT.decode(_shallow(text) if depth_of(text) > MAX_DEPTH else text)
    except (ValueError, RecursionError):
        return None


def may_be_deep(record: bytes) -> bool:
    """Whether the record has more than MAX_DEPTH opening brackets, so that it could be too deep."""
    return record.count(b"{") + record.count(b"[") > MAX_DEPTH


def depth_of(text: str) -> int:
    """The greatest number of open brackets; ``[{"a": []}]`` has 3. Those in strings don't count."""
    brackets = re.finditer(r"[\[\]{}()]", _QUOTED.sub("", text))
    return max(accumulate(1 if bracket[0] in "[{(" else -1 for bracket in brackets), default=0)


def _shallow(text: str) -> str:
    """The same JSON with null for containers deeper than MAX_DEPTH, so that it can be read."""
    kept: list[str] = []
    depth = 0
    for piece in _PIECE.findall(text):
        depth += piece in ("[", "{")
        if depth <= MAX_DEPTH:
            kept.append(piece)
        elif depth == MAX_DEPTH + 1 and piece in ("[", "{"):
            kept.append("null")
        depth -= piece in ("]", "}")
    return "".join(kept)


def compact_bytes(record: bytes) -> int:
    """The record's length as compact UTF-8 JSON, without the spaces and escapes it came with."""
    compact = _STRING_OR_SPACE.sub(_compact_piece, ascii_text(record))
    return len(compact.encode("utf-8", "backslashreplace"))


def _compact_piece(piece: re.Match[str]) -> str:
    if not piece[0].startswith('"'):
        return ""
    try:
        return json.dumps(LENIENT.decode(piece[0]), ensure_ascii=False)
    except ValueError:
        return piece[0]
