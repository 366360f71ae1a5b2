"""What a record says: JSON as leniently as any reader takes it, within bounds of size and depth."""

import json
import re
from itertools import accumulate
from typing import Final

import msgspec

from lms_assets.resources.records import ascii_text

MAX_RECORD_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 50

_STRICT = msgspec.json.Decoder()
# Possessive groups would say the same shorter; Python before 3.11.5 matches them wrongly.
_QUOTED = re.compile(r"\"[^\"\\]*(?:\\.[^\"\\]*)*\"|'[^'\\]*(?:\\.[^'\\]*)*'", re.DOTALL)
_PIECE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]|[^"\[\]{}]+|"', re.DOTALL)
_STRING_OR_SPACE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[ \t\n\r]+', re.DOTALL)


def _whole_number(digits: str) -> int | float:
    # Python refuses to convert integers of more than 4,300 digits.
    return int(digits) if len(digits) < 400 else float(digits)


LENIENT = json.JSONDecoder(strict=False, parse_int=_whole_number)


def value_of(record: bytes, *, may_be_deep: bool) -> object:
    """What the record says, cut off below the depth allowed; None where it is no JSON."""
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
    """Whether it holds so many brackets that it could nest too deep."""
    return record.count(b"{") + record.count(b"[") > MAX_DEPTH


def depth_of(text: str) -> int:
    """How many containers are open at once, at most; brackets inside strings do not count."""
    brackets = re.finditer(r"[\[\]{}()]", _QUOTED.sub("", text))
    return max(accumulate(1 if bracket[0] in "[{(" else -1 for bracket in brackets), default=0)


def _shallow(text: str) -> str:
    """The same JSON with null for whatever lies deeper than allowed, so that it can be read."""
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
    """The record's length as compact UTF-8 JSON, however it was spelled when received."""
    compact = _STRING_OR_SPACE.sub(_compact_piece, ascii_text(record))
    return len(compact.encode("utf-8", "backslashreplace"))


def _compact_piece(piece: re.Match[str]) -> str:
    if not piece[0].startswith('"'):
        return ""
    try:
        return json.dumps(LENIENT.decode(piece[0]), ensure_ascii=False)
    except ValueError:
        return piece[0]
