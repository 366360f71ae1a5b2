import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_assets.resources.json_array import (
    ArrayScanner,
    NotAnArray,
    check_is_array,
    count_elements,
    element_spans,
)

DEEP = b"[" * 50_000 + b"]" * 50_000
RECORD = b'{"a": "},{[\\"", "b": [{}, {}], "c": null, "d": "' + b"x" * 150 + b'"}'
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text('[]{},"\\ax\ud800é'),
    lambda inside: st.lists(inside) | st.dictionaries(st.text('},{"'), inside),
)


@pytest.mark.parametrize(
    ("body", "elements"),
    [
        (b"[]", []),
        (b" \n[ ]\r\n\t", []),
        (b"\xef\xbb\xbf[1]", [b"1"]),
        (b'[1,-2.5e3 , "a\\"]", null, true]', [b"1", b"-2.5e3", b'"a\\"]"', b"null", b"true"]),
        (b"[NaN,Infinity,-Infinity,1e400]", [b"NaN", b"Infinity", b"-Infinity", b"1e400"]),
        (b'["\\ud800","\xff\x00\n"]', [b'"\\ud800"', b'"\xff\x00\n"']),
        (b"[" + DEEP + b"," + RECORD + b"]", [DEEP, RECORD]),
    ],
)
def test_a_whole_array_is_counted_whatever_its_elements_hold(
    body: bytes, elements: list[bytes]
) -> None:
    assert [body[span] for span in element_spans(body)] == elements
    assert count_elements(io.BytesIO(body)) == len(elements)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"null", b"{}", b'"[]"', b"[", b"[1", b"[1,", b"[1,]", b"[,]", b"[,1]"),
        *(b"[1 2]", b"[1,,2]", b"[1]]", b"[1] x", b"[]{}", b"[{]}", b'["a]', b'["a\\"]'),
        *(b"[{'a': None}]", b"[error]", b"[True]", b"[<html>]", b"[01x]", b"[1:2]"),
        *(
            b'[{"a": 1}\x00]',
            b"\xef\xbb\xbf",
            b" \xef\xbb\xbf[]",
            b"[" + b"1" * 100_000 + b"]",
            DEEP[:-1],
        ),
    ],
)
def test_what_is_no_whole_array_is_refused(body: bytes) -> None:
    with pytest.raises(NotAnArray):
        count_elements(io.BytesIO(body))
    with pytest.raises(NotAnArray):
        list(element_spans(body))


def test_a_large_array_is_counted_over_the_borders_of_its_blocks(tmp_path: Path) -> None:
    path = tmp_path / "answer.json"
    records = [RECORD] * 60_000
    for separator in (b",", b", ", b" ,\n"):
        path.write_bytes(b"[" + separator.join(records) + b"]")
        assert check_is_array(path) == 60_000


def test_one_record_that_a_strict_parser_refuses_does_not_change_the_count() -> None:
    records = [RECORD] * 60_000
    for place in (0, 30_000, 59_999):
        odd = [*records[:place], b'{"is_correct": NaN, "a": "\\ud800"}', *records[place + 1 :]]
        assert count_elements(io.BytesIO(b"[" + b",".join(odd) + b"]")) == 60_000


def test_a_large_array_that_stops_or_breaks_anywhere_is_refused() -> None:
    whole = b"[" + b",".join([RECORD] * 60_000) + b"]"
    for size in (1_000, 4 << 20, (4 << 20) + 17, len(whole) - 1, whole.rindex(b",{")):
        with pytest.raises(NotAnArray):
            count_elements(io.BytesIO(whole[:size]))
    middle = whole.index(b",{", len(whole) // 2)
    with pytest.raises(NotAnArray):
        count_elements(io.BytesIO(whole[:middle] + whole[middle + 1 :]))


@given(st.lists(JSON), st.sampled_from([None, 1]), st.booleans())
def test_every_array_that_json_can_write_has_the_elements_that_were_written(
    elements: list[object], indent: int | None, is_ascii: bool
) -> None:
    text = json.dumps(elements, indent=indent, ensure_ascii=is_ascii)
    body = text.encode("utf-8", "surrogatepass")
    found = [body[span].decode("utf-8", "surrogatepass") for span in element_spans(body)]
    assert [repr(json.loads(one)) for one in found] == [repr(one) for one in json.loads(text)]
    assert count_elements(io.BytesIO(body)) == len(elements)


@given(st.lists(JSON, min_size=1), st.data())
def test_no_beginning_of_an_array_passes_for_a_whole_one(
    elements: list[object], data: st.DataObject
) -> None:
    body = json.dumps(elements).encode()
    part = body[: data.draw(st.integers(0, len(body) - 1))]
    with pytest.raises(NotAnArray):
        count_elements(io.BytesIO(part))


@given(st.lists(JSON), st.data())
def test_it_does_not_matter_where_the_bytes_are_cut_into_pieces(
    elements: list[object], data: st.DataObject
) -> None:
    body = json.dumps(elements).encode()
    whole = [(span.start, span.stop) for span in element_spans(body)]
    scanner, found, at = ArrayScanner(), [], 0
    while at < len(body):
        size = data.draw(st.integers(1, 5))
        found += scanner.feed(body[at : at + size])
        at += size
    scanner.finish()
    assert found == whole


@given(st.binary() | st.text('[]{},"\\ 1aNn').map(str.encode))
def test_any_bytes_are_an_array_or_are_refused(body: bytes) -> None:
    try:
        count = count_elements(io.BytesIO(body))
    except NotAnArray:
        return
    assert count == len(list(element_spans(body)))
