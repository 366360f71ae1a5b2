"""Whether some bytes are one whole JSON array, and where its elements lie.

An answer that was cut short must be told from a whole one before anything of it
is loaded, and a record that a strict parser refuses (NaN, a lone surrogate,
nesting without end) must not make a whole answer look cut. So the strict, fast
parser judges block by block, and where it refuses, a scanner that knows only
brackets, strings, words and commas has the last word. Memory is bounded by the
block, never by the answer.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

BOM = b"\xef\xbb\xbf"
_BLOCK = 4 << 20
_PIECE = 1 << 20
_GUESSES = 8
_LONGEST_WORD = 1 << 16
_CLOSERS = {ord("["): ord("]"), ord("{"): ord("}")}
_QUOTE, _COMMA, _OPENING, _CLOSING = (ord(c) for c in '",[]')

_BLANK = re.compile(rb"[ \t\r\n]+")
_WORD = re.compile(rb'[^ \t\r\n,:\[\]{}"]+')
# NaN and the infinities are no JSON, yet widespread writers, Python's among them, write them.
_KNOWN_WORD = re.compile(rb"true|false|null|NaN|-?Infinity|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
# What may stand inside an element outside its strings: brackets, which count, and the letters of
# words and numbers, which do not. Anything else is no JSON: Python's repr, HTML, a log line.
_STRUCTURE = re.compile(rb'["\[\]{}]|[^ \t\r\n,:\d+\-.eEtrufalsnNIiy]')
_STRING_EDGE = re.compile(rb'["\\]')


class NotAnArray(ValueError):  # noqa: N818 - a fact about the bytes, not about the program
    """The bytes are not one whole JSON array: something else, or cut short."""


class ArrayScanner:
    """Walks the bytes of an array, in pieces cut anywhere, by its outermost structure alone."""

    def __init__(self) -> None:
        self._awaits = "array"
        self._closers = bytearray()
        self._in_string = False
        self._is_escaped = False
        self._word = b""
        self._start = 0
        self._offset = 0

    @property
    def is_before_element(self) -> bool:
        """Whether the next byte may begin an element, and no element is open."""
        return self._awaits in ("first", "element")

    def feed(self, piece: bytes | memoryview) -> list[tuple[int, int]]:
        """Where the elements that end in this piece lie, counted from the array's first byte.

        Raises:
            NotAnArray: What was fed so far begins no JSON array.
        """
        spans: list[tuple[int, int]] = []
        at = 0
        while at < len(piece):
            if self._is_escaped:
                self._is_escaped, at = False, at + 1
            elif self._in_string:
                at = self._through_string(piece, at, spans)
            elif self._closers:
                at = self._through_element(piece, at, spans)
            else:
                at = self._between_elements(piece, at, spans)
        self._offset += len(piece)
        return spans

    def skip(self, size: int) -> None:
        """As if ``size`` bytes had been fed: whole elements, the last one's comma included."""
        self._awaits = "element"
        self._offset += size

    def finish(self) -> None:
        """The array was whole.

        Raises:
            NotAnArray: It stops before its end.
        """
        if self._awaits != "nothing":
            raise NotAnArray(f"it stops at byte {self._offset}, before the array's end")

    def _through_string(
        self, piece: bytes | memoryview, at: int, spans: list[tuple[int, int]]
    ) -> int:
        edge = _STRING_EDGE.search(piece, at)
        if edge is None:
            return len(piece)
        if edge.group() == b"\\":
            self._is_escaped = True
        else:
            self._in_string = False
            self._end_element(edge.end(), spans)
        return edge.end()

    def _through_element(
        self, piece: bytes | memoryview, at: int, spans: list[tuple[int, int]]
    ) -> int:
        found = _STRUCTURE.search(piece, at)
        if found is None:
            return len(piece)
        byte = piece[found.start()]
        if byte == _QUOTE:
            self._in_string = True
        elif byte in _CLOSERS:
            self._closers.append(_CLOSERS[byte])
        elif byte == self._closers[-1]:
            self._closers.pop()
            self._end_element(found.end(), spans)
        else:
            raise self._broken(found.start())
        return found.end()

    def _end_element(self, end: int, spans: list[tuple[int, int]]) -> None:
        if not self._closers:
            spans.append((self._start, self._offset + end))
            self._awaits = "comma"

    def _between_elements(
        self, piece: bytes | memoryview, at: int, spans: list[tuple[int, int]]
    ) -> int:
        word = _WORD.match(piece, at)
        if word is not None:
            return self._take_word(word, at)
        if self._awaits == "word":
            self._end_word(at, spans)
        blank = _BLANK.match(piece, at)
        return blank.end() if blank is not None else self._take_sign(piece[at], at)

    def _take_word(self, word: re.Match[bytes], at: int) -> int:
        if self._offset + at == 0 and word.group() == BOM:
            return word.end()
        if self.is_before_element:
            self._awaits, self._word, self._start = "word", b"", self._offset + at
        if self._awaits != "word":
            raise self._broken(at)
        self._word += bytes(word.group())
        if len(self._word) > _LONGEST_WORD:
            raise self._broken(at)
        return word.end()

    def _end_word(self, at: int, spans: list[tuple[int, int]]) -> None:
        if not _KNOWN_WORD.fullmatch(self._word):
            raise self._broken(at)
        spans.append((self._start, self._offset + at))
        self._awaits = "comma"

    def _take_sign(self, byte: int, at: int) -> int:
        if self._awaits == "array" and byte == _OPENING:
            self._awaits = "first"
        elif self._awaits in ("first", "comma") and byte == _CLOSING:
            self._awaits = "nothing"
        elif self._awaits == "comma" and byte == _COMMA:
            self._awaits = "element"
        elif self.is_before_element and (byte == _QUOTE or byte in _CLOSERS):
            self._begin_element(byte, at)
        else:
            raise self._broken(at)
        return at + 1

    def _begin_element(self, byte: int, at: int) -> None:
        self._awaits, self._start = "end", self._offset + at
        self._in_string = byte == _QUOTE
        if not self._in_string:
            self._closers.append(_CLOSERS[byte])

    def _broken(self, at: int) -> NotAnArray:
        return NotAnArray(f"byte {self._offset + at} fits no JSON array")


def element_spans(body: bytes | memoryview) -> Iterator[slice]:
    """Where each element of a whole JSON array lies in ``body``, in order.

    Elements are told apart by structure alone: one that a strict parser refuses
    still has its place. About 10 µs for a record: the way for what a fast parser
    refused, not the first one.

    Raises:
        NotAnArray: Something else, or cut short; the slices before it were already given.
    """
    scanner = ArrayScanner()
    view = memoryview(body)
    for at in range(0, len(view), _PIECE):
        yield from (slice(*span) for span in scanner.feed(view[at : at + _PIECE]))
    scanner.finish()


def check_is_array(path: Path) -> int:
    """How many elements the file's JSON array has, once it is known to be whole.

    Raises:
        NotAnArray: Something else, or cut short.
    """
    with path.open("rb") as stream:
        return count_elements(stream)


def count_elements(stream: BinaryIO) -> int:
    """How many elements the stream's JSON array has, once it is known to be whole.

    Raises:
        NotAnArray: Something else, or cut short.
    """
    scanner = ArrayScanner()
    count, held = 0, b""
    while block := stream.read(_BLOCK):
        known, held = _count_block(scanner, held + block)
        count += known
    count += len(scanner.feed(held))
    scanner.finish()
    return count


def _count_block(scanner: ArrayScanner, block: bytes) -> tuple[int, bytes]:
    """The elements that are known to end in the block, and the bytes that wait for the next one."""
    count, at = 0, 0
    while not scanner.is_before_element:
        edge = block.find(b"},", at) + 2
        if edge < 2:
            return count + len(scanner.feed(block[at:])), b""
        count += len(scanner.feed(block[at:edge]))
        at = edge
    cut = len(block)
    for _ in range(_GUESSES):
        cut = block.rfind(b"},", at, cut) + 1
        known = _strict_count(b"[" + block[at:cut] + b"]") if cut else None
        if known:
            scanner.skip(cut + 1 - at)
            return count + known, block[cut + 1 :]
    return count + len(scanner.feed(block[at:])), b""


def _strict_count(array: bytes) -> int | None:
    """How many elements, or None where the strict parser refuses.

    Bytes that are a whole array once brackets are put around them are whole
    elements: no cut inside a string or an element can pass.
    """
    try:
        return len(msgspec.json.decode(array, type=list[msgspec.Raw]))
    except (msgspec.DecodeError, RecursionError):
        return None
