"""From an answer's bytes to the records' bytes."""

import io
import json
from itertools import chain
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lms_assets.resources import records
from lms_assets.resources.records import (
    NotAnArray,
    ascii_text,
    count_records,
    count_strictly,
    record_chunks,
)

RECORD = b'{"a": "},{[\\"", "b": [{}, {}], "c": null, "d": "' + b"x" * 150 + b'"}'
TEXT = st.text(st.characters()) | st.text('[]{},"\\ax\ud800é')
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


def spelled(value: object, *, is_ascii: bool = False) -> bytes:
    return json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")


def read(body: bytes, size: int = 50_000) -> list[bytes]:
    return list(chain.from_iterable(record_chunks(io.BytesIO(body), size)))


@given(st.lists(JSON), st.booleans())
def test_the_records_are_the_elements_as_received_whatever_the_block(
    values: list[Any], is_ascii: bool
) -> None:
    written = [spelled(value, is_ascii=is_ascii) for value in values]
    body = b"[" + b" ,\n".join(written) + b"]"
    assert read(body) == written
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "BLOCK_BYTES", 7)
        assert read(body) == written
        assert count_records(io.BytesIO(body)) == len(written)


@given(st.lists(st.fixed_dictionaries({"a": JSON, "b": JSON}), min_size=1), st.data())
def test_a_body_cut_anywhere_is_refused_by_every_block_size(
    values: list[Any], data: st.DataObject
) -> None:
    body = b"[" + b",".join(map(spelled, values)) + b"]"
    cut = data.draw(st.integers(0, len(body) - 1))
    for block in (5, 64, records.BLOCK_BYTES):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(records, "BLOCK_BYTES", block)
            with pytest.raises(NotAnArray):
                read(body[:cut])


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n",
        b"null",
        b"{}",
        b'"[]"',
        b'{"errors": ["wrong client"]}',
        b"<html><body>502 Bad Gateway</body></html>",
        b"\xff\xfe[\x00]\x00",
        b"\xef\xbb\xbf",
        b" \xef\xbb\xbf[]",
        b"[",
        b"[1",
        b"[1,",
        b'[{"a": 1}',
        b'[{"a": 1},',
        b'[{"a": 1},]',
        b'[{"a": 1}] {}',
        b"[1]]",
        b"[1] x",
        b"[]{}",
        b"[,]",
        b"[,1]",
        b"[1,]",
        b"[1,,2]",
        b"[1 2]",
        b"[1:2]",
        b"[01]",
        b"[01x]",
        b"[1.]",
        b"[+1]",
        b"[nul]",
        b"[True]",
        b"[error]",
        b"[<html>]",
        b"['a']",
        b"[{'a': None}]",
        b'["a]',
        b'["a\\"]',
        b"[{]}",
        b'[{"a": 1}\x00]',
        b'["\\x41"]',
        b'["\\u12"]',
        b'[{"a": 1,}]',
        b'[{"a" 1}]',
        b"[{1: 2}]",
        b"[" + b"[" * 3000 + b"}" * 3000 + b"]",
        b"[" + b"[" * 3000 + b"1 1" + b"]" * 3000 + b"]",
        b"[" + b'{"a":' * 3000 + b"}" * 3000 + b"]",
        b"[" + b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("block", [4, records.BLOCK_BYTES])
def test_a_body_that_is_not_one_whole_array_is_refused(
    monkeypatch: pytest.MonkeyPatch, body: bytes, block: int
) -> None:
    monkeypatch.setattr(records, "BLOCK_BYTES", block)
    with pytest.raises(NotAnArray):
        count_records(io.BytesIO(body))
    with pytest.raises(NotAnArray):
        read(body)


@given(st.binary() | st.text('[]{},:"\\ 1.-eaNn').map(str.encode), st.integers(1, 9))
@example(b'[1.5e+3, -Infinity, {"\\u00e9": [true]}]', 1)
def test_any_bytes_are_an_array_or_are_refused_whatever_the_block(body: bytes, block: int) -> None:
    """And what one reading accepts, every other reading reads to the same records."""
    try:
        whole = read(body)
    except NotAnArray:
        whole = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "BLOCK_BYTES", block)
        if whole is None:
            with pytest.raises(NotAnArray):
                count_records(io.BytesIO(body))
        else:
            assert count_records(io.BytesIO(body)) == len(whole)
            assert read(body) == whole
        try:
            strictly = count_strictly(io.BytesIO(body))
        except NotAnArray:
            assert whole is None
        else:
            assert strictly is None or (whole is not None and strictly == len(whole))


@given(st.text('[]{},:"\\/u 019.-+eEabNn'))
def test_an_array_is_what_a_lenient_json_reader_reads_as_a_list(text: str) -> None:
    try:
        expected = json.JSONDecoder(strict=False).decode(text)
    except ValueError:
        expected = None
    try:
        found = [json.loads(record, strict=False) for record in read(text.encode())]
    except NotAnArray:
        found = None
    assert repr(found) == repr(expected if isinstance(expected, list) else None)


def test_a_large_array_is_counted_over_the_borders_of_its_blocks() -> None:
    for separator in (b",", b", ", b" ,\n"):
        body = b"[" + separator.join([RECORD] * 60_000) + b"]"
        assert count_records(io.BytesIO(body)) == 60_000


def test_usual_records_are_counted_strictly_whatever_their_number() -> None:
    assert count_strictly(io.BytesIO(spelled([{"a": 1}] * 600_000))) == 600_000


def test_a_record_that_a_strict_reader_refuses_does_not_change_the_count() -> None:
    for place in (0, 30_000, 59_999):
        odd = [RECORD] * 60_000
        odd[place] = b'{"is_correct": NaN, "a": "\\ud800"}'
        assert count_records(io.BytesIO(b"[" + b",".join(odd) + b"]")) == 60_000


def test_a_large_array_that_stops_or_breaks_anywhere_is_refused() -> None:
    whole = b"[" + b",".join([RECORD] * 60_000) + b"]"
    for size in (1_000, 4 << 20, (4 << 20) + 17, len(whole) - 1, whole.rindex(b",{")):
        with pytest.raises(NotAnArray):
            count_records(io.BytesIO(whole[:size]))
    middle = whole.index(b",{", len(whole) // 2)
    with pytest.raises(NotAnArray) as refused:
        count_records(io.BytesIO(whole[:middle] + whole[middle + 1 :]))
    assert (refused.value.problem, refused.value.position) == ("no comma follows a value", middle)


class Endless(io.RawIOBase):
    """A body without end, that counts what was read of it."""

    def __init__(self, beginning: bytes, then: bytes) -> None:
        self._beginning, self._then = beginning, then
        self.given = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        piece = self._beginning or self._then * (size // len(self._then))
        self._beginning = b""
        self.given += len(piece)
        return piece


@pytest.mark.parametrize(
    ("beginning", "then", "what"),
    [
        (b'[{"a": 1}, {"b": oops}', b',{"a": 1}', "a value cannot be read"),
        (b"[{'a': 1}", b',{"a": 1}', "a value cannot be read"),
        (b'[{"a": 1} {"a": 1}', b',{"a": 1}', "no comma follows a value"),
        (b'[{"a": 1}] [1', b',{"a": 1}', "something follows the array"),
        (b"[" + b"[" * 5_000 + b"1 1", b",[]", "a value cannot be read"),
        (b'[{"a": "', b"a", "a value is too long"),
        (b"[1", b"1", "a value is too long"),
        (b"[{}", b" ", "a value is too long"),
    ],
)
def test_a_broken_body_is_not_read_to_its_end(
    monkeypatch: pytest.MonkeyPatch, beginning: bytes, then: bytes, what: str
) -> None:
    monkeypatch.setattr(records, "BLOCK_BYTES", 1 << 12)
    monkeypatch.setattr(records, "LONGEST_VALUE_BYTES", 1 << 16)
    body = Endless(beginning, then)
    with pytest.raises(NotAnArray) as refused:
        count_records(body)
    assert refused.value.problem == what
    assert body.given <= 1 << 17


def test_the_refusal_says_where_and_nothing_of_the_body() -> None:
    with pytest.raises(NotAnArray) as refused:
        count_records(io.BytesIO(b'[{"lti_user_id": "secret"}, {"lti_user_id": sec'))
    assert refused.value.position == 28
    assert "secret" not in str(refused.value)


def test_a_comma_before_the_end_is_refused_where_a_block_ends_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(records, "BLOCK_BYTES", 8)
    with pytest.raises(NotAnArray):
        read(b'[{"a": 1}, {"a": 2},]')


@pytest.mark.parametrize(
    "record",
    [
        b'{"a": NaN, "b": -Infinity, "c": 1e400}',
        b'{"a": "\\ud800"}',
        b'{"a": "one\ntwo\x00three"}',
        b'{"a": "\xff\xfe"}',
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 5_000 + b'[NaN, true, "b", -1.5e3]' + b"}" * 5_000,
        b"1" * 5_000,
        b'"' + b"a" * (9 * 1024 * 1024) + b'"',
    ],
    ids=["NaN", "surrogate", "control", "not UTF-8", "deep", "deep object", "long number", "large"],
)
def test_a_record_that_a_strict_reader_refuses_costs_no_other(record: bytes) -> None:
    good = b'{"a": 1}'
    assert read(b"[" + good + b"," + record + b", " + good + b"]") == [good, record, good]


@pytest.mark.parametrize(
    ("body", "elements"),
    [
        (b"[]", []),
        (b" \n[ ]\r\n\t", []),
        (b"\xef\xbb\xbf [1]\n", [b"1"]),
        (b'[1,-2.5e3 , "a\\"]", null, true]', [b"1", b"-2.5e3", b'"a\\"]"', b"null", b"true"]),
        (b"[NaN,Infinity,-Infinity,1e400]", [b"NaN", b"Infinity", b"-Infinity", b"1e400"]),
        (b'["\\ud800","\xff\x00\n"]', [b'"\\ud800"', b'"\xff\x00\n"']),
        (b" " * 9_000_000 + b"[1" + b" " * 9_000_000 + b"]" + b" " * 9_000_000, [b"1"]),
    ],
    ids=["empty", "space", "byte order mark", "scalars", "not finite", "odd text", "much space"],
)
def test_a_whole_array_is_read_whatever_its_elements_hold(
    body: bytes, elements: list[bytes]
) -> None:
    assert read(body) == elements
    assert count_records(io.BytesIO(body)) == len(elements)


def test_chunks_have_the_size_asked_for_and_keep_the_order() -> None:
    chunks = list(record_chunks(io.BytesIO(b"[1,2,3,4,5]"), size=2))
    assert chunks == [[b"1", b"2"], [b"3", b"4"], [b"5"]]


def test_an_empty_array_has_no_chunk() -> None:
    assert list(record_chunks(io.BytesIO(b" [ ] "))) == []


class Trickle(io.RawIOBase):
    """A stream that gives a byte at a time, as sockets may."""

    def __init__(self, body: bytes) -> None:
        self._body = io.BytesIO(body)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._body.read(min(size, 1))


def test_a_stream_that_gives_less_than_asked_is_read_to_its_end() -> None:
    assert count_records(Trickle(b'[{"a": 1}, {"b": 2}]  ')) == 2


@pytest.mark.parametrize(
    ("received", "kept"),
    [
        (b'{"a": "plain"}', '{"a": "plain"}'),
        (b'{"a":\n\t"\\n\\u0000"}', '{"a":\n\t"\\n\\u0000"}'),
        ('{"a": "Ж😀"}'.encode(), '{"a": "\\u0416\\ud83d\\ude00"}'),
        (b'{"a": "\x00\n\x7f"}', '{"a": "\\u0000\\n\\u007f"}'),
        (b'{"a": "\\udcff\xff"}', '{"a": "\\udcff\\uDcff"}'),
        (b'{"a": "\\ud83d\x80"}', '{"a": "\\ud83d\\ufffd\\uDc80"}'),
    ],
)
def test_a_record_is_kept_in_printable_ascii_and_odd_bytes_stay_distinct(
    received: bytes, kept: str
) -> None:
    assert ascii_text(received) == kept


@given(JSON, st.booleans())
def test_json_in_ascii_says_the_same_and_stays_as_it_is(value: object, is_ascii: bool) -> None:
    text = json.dumps(value, ensure_ascii=is_ascii)
    if text.encode("utf-8", "replace").decode() != text:
        return
    kept = ascii_text(text.encode())
    assert kept.isascii()
    assert repr(json.loads(kept)) == repr(json.loads(text))
    assert ascii_text(kept.encode()) == kept


@given(st.binary())
def test_any_bytes_become_ascii_that_stays_as_it_is(received: bytes) -> None:
    kept = ascii_text(received)
    assert kept.isascii()
    assert "\0" not in kept
    assert ascii_text(kept.encode()) == kept
