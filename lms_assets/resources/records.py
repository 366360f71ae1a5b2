"""Splits an answer's bytes into the bytes of each record, with a lenient JSON reader.

The grader's answer is one JSON array. A strict reader reads the common case. A lenient reader
reads the blocks that the strict one refuses: a lone surrogate, ``NaN``, a raw control character
or absurd nesting must cost one record, not the whole day.

The API's client and cleaning both use this module, so cleaning can read every stored answer. The
content of a record is checked in ``attempts/cleaning/``, not here.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import Protocol

import msgspec

BLOCK_BYTES = 4 * 1024 * 1024
# Bounds the memory: without it, a value without an end would be read whole.
LONGEST_VALUE_BYTES = 16 * 1024 * 1024

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_SPACE = re.compile(r"[ \t\n\r]*")
_BETWEEN_RECORDS = re.compile(rb"\}([ \t\n\r]*,)(?=[ \t\n\r]*\{)")
_BETWEEN_RECORDS_TAIL = 64 * 1024

# The strict reader gives views of a block, which cost no copy.
Records = Sequence[bytes | msgspec.Raw]

_STRICT = msgspec.json.Decoder(list[msgspec.Raw])
# Numbers stay text, because Python refuses to convert an integer of 5,000 digits.
_LENIENT = json.JSONDecoder(strict=False, parse_int=str, parse_float=str)


class Readable(Protocol):
    """A body that is read from its first byte to its last."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, about so many; none at the end."""


class NotAnArray(ValueError):  # noqa: N818 - a fact about the bytes
    """The body is not one complete JSON array.

    Args:
        problem: The problem in words, without a part of the body.
        position: The position of the problem: a byte of the body, counted from 0.
    """

    def __init__(self, problem: str, position: int) -> None:
        self.problem = problem
        self.position = position
        super().__init__(f"not a JSON array: {problem} at byte {position}")


def count_records(stream: Readable) -> int:
    """The number of records in the body, which is one complete JSON array.

    Raises:
        NotAnArray: The body is something else, is cut short, or has an element that the lenient
            reader cannot read.
    """
    return sum(len(records) for records in _Body(stream).blocks())


def count_strictly(stream: Readable) -> int | None:
    """The number of records in the body; None where it needs the lenient reader.

    Memory holds a few blocks, whatever the body is. Where the answer is None, a part of the body
    was read.

    Args:
        stream: The body, decompressed, from its first byte.

    Raises:
        NotAnArray: The body is empty or begins as something else.
    """
    try:
        return sum(len(records) for records in _Body(stream, only_strictly=True).blocks())
    except _Refused:
        return None


def record_chunks(stream: Readable, size: int = 25_000) -> Iterator[list[bytes]]:
    """The records of the body in order, each as its unchanged bytes, in chunks.

    Memory holds one block of the body and one chunk, unless a single record is larger. A value of
    more than ``LONGEST_VALUE_BYTES`` raises NotAnArray.

    Args:
        stream: The body, decompressed, from its first byte.
        size: The number of records in each chunk; the last one may have fewer.

    Raises:
        NotAnArray: During the iteration, after the chunks before the problem. Call
            :func:`count_records` first if no chunk of a bad body may be used.
    """
    records = map(bytes, chain.from_iterable(_Body(stream).blocks()))
    while chunk := list(islice(records, size)):
        yield chunk


class _Body:
    """A body that is read block by block, always from the start of a record."""

    def __init__(self, stream: Readable, *, only_strictly: bool = False) -> None:
        self._stream = stream
        self._only_strictly = only_strictly
        self._unread = b""
        self._position = 0
        self._wanted = BLOCK_BYTES
        self._at_end = False

    def blocks(self) -> Iterator[Records]:
        """The records of each block, in order.

        Raises:
            NotAnArray: When the iteration reaches the problem.
            _Refused: The strict reader refuses a block, and only it may read.
        """
        self._open()
        is_open = True
        is_first = True
        while is_open:
            self._fill()
            records = self._strictly(is_first=is_first)
            if records is None and self._only_strictly:
                raise _Refused
            if records is None:
                records, is_open = self._leniently(is_first=is_first)
            elif self._at_end and not self._unread:
                is_open = False
            is_first = is_first and not records
            if is_open and not records and len(self._unread) >= LONGEST_VALUE_BYTES:
                raise NotAnArray("a value is too long", self._position)
            # While a record is larger than the block, the block is doubled, so that the repeated
            # reading of this record takes linear time.
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
        parts, size = [self._unread], len(self._unread)
        while not self._at_end and size < self._wanted:
            parts.append(self._stream.read(self._wanted - size))
            size += len(parts[-1])
            self._at_end = not parts[-1]
        self._unread = b"".join(parts)

    def _skip(self, count: int) -> None:
        self._unread = self._unread[count:]
        self._position += count

    def _skip_space(self) -> None:
        """White space is skipped; the next byte, if there is one, is no white space."""
        while True:
            kept = self._unread.lstrip(b" \t\n\r")
            self._skip(len(self._unread) - len(kept))
            if self._unread or self._at_end:
                return
            self._fill()

    def _strictly(self, *, is_first: bool) -> Records | None:
        """The records up to the last certain boundary, by the strict reader; None if it refuses.

        The text up to a comma between records can be read by itself, because the meaning of JSON
        text never depends on later text.
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
            records = _STRICT.decode(text)
        except (msgspec.MsgspecError, RecursionError):
            return None
        if not records and not is_first:
            return None
        self._skip(end)
        return records

    def _leniently(self, *, is_first: bool) -> tuple[Records, bool]:
        """The complete records of the block, and whether the array goes on."""
        # In Latin-1 each byte is one character, so positions in text and bytes agree.
        text = self._unread.decode("latin-1")
        records: list[bytes] = []
        position = _skip_space(text, 0)
        if is_first and text.startswith("]", position):
            self._close(position + 1)
            return records, False
        consumed = 0
        while place := self._place_of_value(text, position):
            end, after = place
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
        """Only white space follows the array.

        Raises:
            NotAnArray: Something else follows.
        """
        self._skip(consumed)
        self._wanted = BLOCK_BYTES
        self._skip_space()
        if self._unread:
            raise NotAnArray("something follows the array", self._position)

    def _place_of_value(self, text: str, start: int) -> tuple[int, int] | None:
        """The ends of the value and of the space after it; None if the text ends before.

        Raises:
            NotAnArray: No continuation of the text is an array.
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


class _Refused(ValueError):  # noqa: N818 - a fact about the bytes
    """The strict reader refuses a block."""


class _NotJson(ValueError):  # noqa: N818 - a fact about the text
    """No continuation of the text is JSON."""


def _end_of_value(text: str, start: int) -> int | None:
    """The end of the value that begins at ``start``; None if the text ends before.

    Raises:
        _NotJson: No continuation of the text is a value.
    """
    # The decoder also refuses a value that is cut at the end of the text or nested too deep.
    with suppress(RecursionError, ValueError):
        return int(_LENIENT.raw_decode(text, start)[1])
    return _end_by_tokens(text, start)


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


# Possessive groups would be shorter, but Python before 3.11.5 matches them wrongly.
_TOKEN = re.compile(
    r"""[ \t\n\r]*(?:
      (?P<mark>[\[\]{},:])
    | (?P<string>"[^"\\]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\]*)*")
    | (?P<scalar>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?
               |true|false|null|NaN|-?Infinity)
    )""",
    re.VERBOSE,
)
# The rest of a text that was cut inside a token or between two tokens.
_CUT_TOKEN = re.compile(
    r"""[ \t\n\r]*(?:
      "[^"\\]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\]*)*(?:\\(?:u[0-9a-fA-F]{0,3})?)?
    | [-+.0-9A-Za-z]{0,9}
    )\Z""",
    re.VERBOSE,
)
_CLOSER = {"[": b"]", "{": b"}"}
# (allowed next, token) -> allowed after it; any other pair is not JSON.
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
    """As :func:`_end_of_value`, but slower and for values of any depth."""
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
    r"""The record in printable ASCII, as the same JSON.

    Characters beyond ASCII and raw control characters inside strings become ``\uXXXX``. A byte
    that is no UTF-8 becomes the lone surrogate ``\uDcXX``. Programs do not write that mixed case,
    so such a byte can be recognised later. A second call changes nothing.
    """
    if not _ODD_BYTE.search(record):
        return record.decode("ascii")
    text = record.decode("utf-8", "surrogateescape")
    return _STRING_OR_ODD.sub(lambda match: _ODD.sub(_escaped, match[0]), text)


def _escaped(odd: re.Match[str]) -> str:
    if not "\udc80" <= odd[0] <= "\udcff":
        return json.dumps(odd[0])[1:-1]
    # After the escape of a high surrogate, the two would be read as one valid character.
    separator = "\\ufffd" if _HIGH_SURROGATE.search(odd.string[: odd.start()][-6:]) else ""
    return f"{separator}\\uDc{ord(odd[0]) & 0xFF:02x}"
