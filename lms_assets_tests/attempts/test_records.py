"""From an answer's bytes to the records' bytes."""

import io
import json
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_assets.attempts import records
from lms_assets.attempts.records import NotAnArray, ascii_text, count_records, record_chunks

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
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
        b'{"errors": ["wrong client"]}',
        b"<html><body>502 Bad Gateway</body></html>",
        b"\xff\xfe[\x00]\x00",
        b"[",
        b'[{"a": 1}',
        b'[{"a": 1},',
        b'[{"a": 1},]',
        b'[{"a": 1}] {}',
        b"[1]]",
        b"[,1]",
        b"[1 2]",
        b"[01]",
        b"[1.]",
        b"[+1]",
        b"[nul]",
        b"['a']",
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
def test_what_is_not_one_whole_array_is_refused(body: bytes) -> None:
    with pytest.raises(NotAnArray):
        count_records(io.BytesIO(body))
    with pytest.raises(NotAnArray):
        read(body)


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


def test_a_byte_order_mark_is_no_fault() -> None:
    assert read(b"\xef\xbb\xbf [1]\n") == [b"1"]


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
