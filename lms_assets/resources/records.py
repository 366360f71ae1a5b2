"""From an answer's bytes to the bytes of each record: whatever a lenient JSON reader can read.

The grader's answer is one JSON array. A strict reader does the common case; a
tolerant one reads the blocks that it refuses, since one lone surrogate, ``NaN``,
raw control character or absurd nesting must cost one record and not the day.
There is no other reader: what the API's client accepts, and so what is stored,
is what cleaning can read. Nothing here looks inside a record: what it must hold
is said in ``attempts/cleaning/``.
"""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import BinaryIO

import msgspec

BLOCK_BYTES = 4 * 1024 * 1024
# What bounds the memory: without it, a value that never ends would be held whole.
LONGEST_VALUE_BYTES = 16 * 1024 * 1024

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\n\r]*")
_BETWEEN_RECORDS = re.compile(rb"\}([ \t\n\r]*,)(?=[ \t\n\r]*\{)")
_BETWEEN_RECORDS_TAIL = 64 * 1024

_STRICT = msgspec.json.Decoder(list[msgspec.Raw])
# Numbers stay text: an integer of 5,000 digits must not be an error of reading.
_LENIENT = json.JSONDecoder(strict=False, parse_int=str, parse_float=str)


class NotAnArray(ValueError):  # noqa: N818 - a fact about the bytes
    """The body is not one whole JSON array.

    Args:
        what: What is wrong, in words; never a part of the body.
        position: The byte of the body where it shows, counted from 0.
    """

    def __init__(self, what: str, position: int) -> None:
        self.what = what
        self.position = position
        super().__init__(f"not a JSON array: {what} at byte {position}")


def count_records(stream: BinaryIO) -> int:
    """How many records the body holds, once it is known to be one whole JSON array.

    Raises:
        NotAnArray: It is something else, was cut short, or has an element that no
            lenient JSON reader can read.
    """
    return sum(len(records) for records in _Body(stream).blocks())


def record_chunks(stream: BinaryIO, size: int = 25_000) -> Iterator[list[bytes]]:
    """The records of the body as the bytes received, in order, at most ``size`` at a time.

    Memory: one block of the body and one chunk, unless a single record is larger;
    one of more than ``LONGEST_VALUE_BYTES`` is refused as no record at all.

    Args:
        stream: The body, decompressed, from its first byte.
        size: Records in every chunk but the last.

    Raises:
        NotAnArray: While iterating, after the chunks before the fault. Whoever
            must not begin with such a body asks :func:`count_records` first.
    """
    records = chain.from_iterable(_Body(stream).blocks())
    while chunk := list(islice(records, size)):
        yield chunk


class _Body:
    """A body that is read block by block, always from the start of a record."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._unread = b""
        self._position = 0
        self._wanted = BLOCK_BYTES
        self._at_end = False

    def blocks(self) -> Iterator[list[bytes]]:
        """The records of each block, in order.

        Raises:
            NotAnArray: At the fault.
        """
        self._open()
        is_open = True
        is_first = True
        while is_open:
            self._fill()
            records = self._strictly(is_first=is_first)
            if records is None:
                records, is_open = self._leniently(is_first=is_first)
            elif self._at_end and not self._unread:
                is_open = False
            is_first = is_first and not records
            if is_open and not records and len(self._unread) >= LONGEST_VALUE_BYTES:
                raise NotAnArray("a value is too long", self._position)
            # A record larger than the block asks for twice as much each time,
            # so that reading it again and again stays linear.
            self._wanted = BLOCK_BYTES if records else self._wanted * 2
            yield records

    def _open(self) -> None:
        self._fill()
        if self._unread.startswith(BYTE_ORDER_MARK):
            self._skip(len(BYTE_ORDER_MARK))
        self._skip_space()
        if not self._unread:
            raise NotAnArray("the body is empty", self._position)
        if not self._unread.startswith(b"["):
            raise NotAnArray("it does not begin with '['", self._position)
        self._skip(1)

    def _fill(self) -> None:
        while not self._at_end and len(self._unread) < self._wanted:
            received = self._stream.read(self._wanted - len(self._unread))
            self._unread += received
            self._at_end = not received

    def _skip(self, count: int) -> None:
        self._unread = self._unread[count:]
        self._position += count

    def _skip_space(self) -> None:
        """The next byte, if there is one, is read and is not white space."""
        while True:
            kept = self._unread.lstrip(b" \t\n\r")
            self._skip(len(self._unread) - len(kept))
            if self._unread or self._at_end:
                return
            self._fill()

    def _strictly(self, *, is_first: bool) -> list[bytes] | None:
        """The records up to the last sure boundary, by the fast reader; None where it refuses.

        What it accepts before a comma is exactly the records before that comma:
        reading JSON never depends on what comes later.
        """
        if self._at_end:
            text, end = b"[" + self._unread, len(self._unread)
        else:
            tail = max(0, len(self._unread) - _BETWEEN_RECORDS_TAIL)
            boundaries = list(_BETWEEN_RECORDS.finditer(self._unread, tail))
            if not boundaries:
                return None
            end = boundaries[-1].end()
            text = b"[" + self._unread[: boundaries[-1].start() + 1] + b"]"
        try:
            records = [bytes(raw) for raw in _STRICT.decode(text)]
        except (msgspec.MsgspecError, RecursionError):
            return None
        if not records and not is_first:
            return None
        self._skip(end)
        return records

    def _leniently(self, *, is_first: bool) -> tuple[list[bytes], bool]:
        """The records that are whole in what was read, and whether the array is still open."""
        # Latin-1 keeps every byte one character, so positions and bytes agree.
        text = self._unread.decode("latin-1")
        records: list[bytes] = []
        position = _skip_space(text, 0)
        if is_first and text.startswith("]", position):
            self._close(position + 1)
            return records, False
        consumed = 0
        while found := self._place_of_value(text, position):
            end, after = found
            records.append(text[position:end].encode("latin-1"))
            consumed = after + 1
            if text[after] == "]":
                self._close(consumed)
                return records, False
            position = _skip_space(text, consumed)
        if self._at_end:
            raise NotAnArray("the body was cut short", self._position + position)
        self._skip(consumed)
        return records, True

    def _close(self, consumed: int) -> None:
        """Nothing but white space follows the array.

        Raises:
            NotAnArray: Something does.
        """
        self._skip(consumed)
        self._wanted = BLOCK_BYTES
        self._skip_space()
        if self._unread:
            raise NotAnArray("something follows the array", self._position)

    def _place_of_value(self, text: str, start: int) -> tuple[int, int] | None:
        """Where the value ends, and where its comma or bracket is; None if the text stops before.

        Raises:
            NotAnArray: However the text goes on, it does not go on as an array.
        """
        try:
            end = _end_of_value(text, start)
        except _NotJson:
            raise NotAnArray("a value cannot be read", self._position + start) from None
        after = len(text) if end is None else _skip_space(text, end)
        if end is not None and text[after : after + 1] in (",", "]"):
            return end, after
        if end is not None and not _CUT_TOKEN.match(text, end):
            raise NotAnArray("no comma follows a value", self._position + after)
        return None


class _NotJson(ValueError):  # noqa: N818 - a fact about the text
    """However the text goes on, it is no JSON."""


def _end_of_value(text: str, start: int) -> int | None:
    """Where the value that begins at ``start`` ends; None if the text stops before.

    Raises:
        _NotJson: It is no value, however the text goes on.
    """
    # A refusal may only mean that the text was cut here, or that the value nests deep.
    with suppress(RecursionError, ValueError):
        return int(_LENIENT.raw_decode(text, start)[1])
    return _end_by_tokens(text, start)


def _skip_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


# Possessive groups would say the same shorter; Python before 3.11.5 matches them wrongly.
_TOKEN = re.compile(
    r"""[ \t\n\r]*(?:
      (?P<mark>[\[\]{},:])
    | (?P<string>"[^"\\]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\]*)*")
    | (?P<scalar>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?
               |true|false|null|NaN|-?Infinity)
    )""",
    re.VERBOSE,
)
# What may be left where the text was cut inside a token, or between two.
_CUT_TOKEN = re.compile(
    r"""[ \t\n\r]*(?:
      "[^"\\]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\]*)*(?:\\(?:u[0-9a-fA-F]{0,3})?)?
    | [-+.0-9A-Za-z]{0,9}
    )\Z""",
    re.VERBOSE,
)
_CLOSER = {"[": b"]", "{": b"}"}
# (what may come, what came) -> what may come then; all else is not JSON.
_GRAMMAR = {
    ("value", "string"): "comma",
    ("value", "scalar"): "comma",
    ("value or ]", "string"): "comma",
    ("value or ]", "scalar"): "comma",
    ("value", "["): "value or ]",
    ("value or ]", "["): "value or ]",
    ("value", "{"): "key or }",
    ("value or ]", "{"): "key or }",
    ("value or ]", "]"): "comma",
    ("key or }", "}"): "comma",
    ("key or }", "string"): "colon",
    ("key", "string"): "colon",
    ("colon", ":"): "value",
    ("comma", "]"): "comma",
    ("comma", "}"): "comma",
}


def _end_by_tokens(text: str, start: int) -> int | None:
    """As :func:`_end_of_value`, slowly, and however deep the value nests."""
    closers = bytearray()
    expected, position = "value", start
    while token := _TOKEN.match(text, position):
        position = token.end()
        kind = token["mark"] or str(token.lastgroup)
        if kind in "]}" and (not closers or chr(closers.pop()) != kind):
            raise _NotJson
        if kind == "," and expected == "comma" and closers:
            expected = "value" if closers[-1:] == b"]" else "key"
            continue
        if (expected, kind) not in _GRAMMAR:
            raise _NotJson
        if kind in _CLOSER:
            closers += _CLOSER[kind]
        expected = _GRAMMAR[expected, kind]
        if expected == "comma" and not closers:
            return position
    if not _CUT_TOKEN.match(text, position):
        raise _NotJson
    return None


_ODD_BYTE = re.compile(rb"[^\x20-\x7e]")
_STRING_OR_ODD = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[^\x20-\x7e\t\n\r]', re.DOTALL)
_ODD = re.compile(r"[\udc80-\udcff]|[^\x20-\x7e\udc80-\udcff]+")
_HIGH_SURROGATE = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\Z")


def ascii_text(record: bytes) -> str:
    r"""The record as received, in printable ASCII: JSON stays the same JSON.

    Characters beyond ASCII and raw control characters inside strings become
    ``\uXXXX``. A byte that is no UTF-8 becomes the lone surrogate ``\uDcXX``, a
    spelling that no program writes of itself, so the two can be told apart.
    Applied to its own result it changes nothing, so a kept record reads the
    same as the one received.
    """
    if not _ODD_BYTE.search(record):
        return record.decode("ascii")
    text = record.decode("utf-8", "surrogateescape")
    return _STRING_OR_ODD.sub(lambda found: _ODD.sub(_escaped, found[0]), text)


def _escaped(odd: re.Match[str]) -> str:
    if not "\udc80" <= odd[0] <= "\udcff":
        return json.dumps(odd[0])[1:-1]
    # Next to a high surrogate's escape it would read as one valid character.
    separator = "\\ufffd" if _HIGH_SURROGATE.search(odd.string[: odd.start()][-6:]) else ""
    return f"{separator}\\uDc{ord(odd[0]) & 0xFF:02x}"
