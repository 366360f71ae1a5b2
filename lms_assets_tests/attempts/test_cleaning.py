"""Raw records become attempts, or are set aside with a reason; none is lost."""

import html
import io
import json
import subprocess
import sys
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_assets.attempts.cleaning import (
    MAX_DEPTH,
    MAX_RECORD_BYTES,
    RULES,
    Tombstones,
    Window,
    clean_day,
    cut_sourcedid,
    record_chunks,
)
from lms_assets.attempts.cleaning.rows import Record
from lms_assets.attempts.columns import KNOWN_KEYS, PASSBACK_FIELDS
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.table_schema import check_table
from lms_assets.attempts.watch import OTHER_NAMES, Watch

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

at = datetime.fromisoformat

DATA = Path(__file__).parents[1] / "data"
DAY = Window(at("2025-07-24"), at("2025-07-25"))
TOMORROW = at("2025-07-27")
ALWAYS = Window(at("2000-01-01"), at("2100-01-01"))

USER = "3583bf109f8b458e13ae1ac9d85c396a"
SOURCEDID = f"course-v1:Org+Course+Run:lms.example.org-0cf38fe58c764865bae254da886e119d:{USER}"
GOOD: dict[str, Any] = {
    "lti_user_id": USER,
    "passback_params": repr({"oauth_consumer_key": "", "lis_result_sourcedid": SOURCEDID}),
    "is_correct": 1,
    "attempt_type": "submit",
    "created_at": "2025-07-24 09:16:11.313646",
}


def record(**changes: object) -> dict[str, Any]:
    return GOOD | changes


def without(key: str) -> dict[str, Any]:
    return {name: value for name, value in GOOD.items() if name != key}


def run(**changes: object) -> dict[str, Any]:
    return record(attempt_type="run", is_correct=None, **changes)


def passback(**fields: object) -> str:
    return repr(fields)


def frame_of(tables: list[pa.Table]) -> pd.DataFrame:
    """The tables, one below the other, with pandas' own types that know missing values."""
    types = {pa.string(): pd.StringDtype("pyarrow"), pa.bool_(): pd.BooleanDtype()}
    return pa.concat_tables(tables).to_pandas(types_mapper=types.get)


class Cleaned:
    """What became of some records: the chunks' frames put together, and the counts."""

    def __init__(
        self,
        received: list[Any],
        *,
        window: Window = DAY,
        tombstones: Tombstones | None = None,
        size: int = 1000,
        tomorrow: datetime = TOMORROW,
    ) -> None:
        raw = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in received]
        pieces = [raw[at : at + size] for at in range(0, len(raw), size)] or [[]]
        chunks = list(clean_day(pieces, window=window, tomorrow=tomorrow, tombstones=tombstones))
        for chunk in chunks:
            check_table(chunk.attempts)
        self.attempts = frame_of([chunk.attempts for chunk in chunks])
        self.rejected = frame_of([chunk.rejected for chunk in chunks])
        self.fates = sum((chunk.fates for chunk in chunks), Fates())
        self.watch = sum((chunk.watch for chunk in chunks), Watch())
        assert self.fates.received == len(raw)
        assert self.fates.kept == len(self.attempts)
        assert sum(self.fates.rejected.values()) == len(self.rejected)

    @property
    def reasons(self) -> list[tuple[str, str]]:
        return list(zip(self.rejected["reason"], self.rejected["field"], strict=True))

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [
            {name: None if pd.isna(value) else value for name, value in row.items()}
            for row in self.attempts.to_dict("records")
        ]


def fate(received: object) -> str:
    """Kept, or the reason why not."""
    cleaned = Cleaned([received])
    return "kept" if len(cleaned.attempts) else cleaned.rejected["reason"].iloc[0]


def only(received: object) -> dict[str, Any]:
    return Cleaned([received]).rows[0]


# ------------------------------------------------------------ one good record


def test_a_good_record_becomes_an_attempt_with_its_course_and_task() -> None:
    assert Cleaned([GOOD]).rows == [
        {
            "user_id": USER,
            "oauth_consumer_key": "",
            "lis_result_sourcedid": SOURCEDID,
            "lis_outcome_service_url": None,
            "is_correct": True,
            "attempt_type": "submit",
            "created_at": pd.Timestamp("2025-07-24 09:16:11.313646"),
            "course": "course-v1:Org+Course+Run",
            "task": "lms.example.org-0cf38fe58c764865bae254da886e119d",
        }
    ]


@pytest.mark.parametrize(
    ("name", "day", "kept"),
    [
        ("records_2023-05-31.json", at("2023-05-31"), 2),
        ("records_2025-12-25_without_outcome_url.json", at("2025-12-25"), 3),
    ],
)
def test_the_real_records_are_all_kept(name: str, day: datetime, kept: int) -> None:
    received = json.loads((DATA / name).read_bytes())
    cleaned = Cleaned(
        received, window=Window(day, day + timedelta(days=1)), tomorrow=at("2026-01-01")
    )
    assert (cleaned.fates.kept, cleaned.watch.without_task) == (kept, 0)
    assert cleaned.attempts["user_id"].tolist() == [r["lti_user_id"] for r in received]
    assert cleaned.watch.user_mismatch == 0


def test_the_real_fortnight_is_kept_whole() -> None:
    with (DATA / "recodex_2017_attempts.json").open("rb") as body:
        chunks = list(clean_day(record_chunks(body, 300), window=ALWAYS, tomorrow=TOMORROW))
    attempts = frame_of([chunk.attempts for chunk in chunks])
    days = attempts.groupby(attempts["created_at"].dt.date.astype(str)).size()
    expected = json.loads((DATA / "recodex_2017_statistics.json").read_bytes())["01_days"]
    assert days.to_dict() == {day: figures["attempts"] for day, figures in expected.items()}


# ------------------------------------------------------------------- the rules


def test_a_record_with_every_key_of_the_contract_is_read_the_fast_way() -> None:
    assert set(Record.__struct_fields__) == KNOWN_KEYS


def test_the_reasons_are_these_in_this_order() -> None:
    assert [(rule.reason, rule.field) for rule in RULES] == [
        ("not_an_object", "record"),
        ("too_large", "record"),
        ("too_deep", "record"),
        ("user_id_invalid", "lti_user_id"),
        ("passback_params_invalid", "passback_params"),
        ("attempt_type_invalid", "attempt_type"),
        ("is_correct_invalid", "is_correct"),
        ("run_with_verdict", "is_correct"),
        ("created_at_invalid", "created_at"),
        ("text_invalid", "lti_user_id"),
        ("text_invalid", "oauth_consumer_key"),
        ("text_invalid", "lis_result_sourcedid"),
        ("text_invalid", "lis_outcome_service_url"),
    ]


BROKEN_ONE_BY_ONE = [
    ("user_id_invalid", {"lti_user_id": ""}),
    ("passback_params_invalid", {"passback_params": "{"}),
    ("attempt_type_invalid", {"attempt_type": "Submit"}),
    ("is_correct_invalid", {"is_correct": "1"}),
    ("created_at_invalid", {"created_at": "yesterday"}),
]


@pytest.mark.parametrize("first", range(len(BROKEN_ONE_BY_ONE)))
def test_the_first_rule_broken_is_the_reason(first: int) -> None:
    broken: dict[str, Any] = {}
    for _, change in BROKEN_ONE_BY_ONE[first:]:
        broken |= change
    assert fate(record(**broken)) == BROKEN_ONE_BY_ONE[first][0]


@pytest.mark.parametrize("value", [None, True, 0, 1.5, "text", "", [], [GOOD], [[]]])
def test_what_is_no_object_is_rejected(value: object) -> None:
    assert Cleaned([value]).reasons == [("not_an_object", "record")]


@pytest.mark.parametrize("junk", [b"", b"<html>", b"{", b"\xff\xfe\x00", b"'[[[[" * 9000])
def test_bytes_that_are_no_json_are_rejected_too(junk: object) -> None:
    assert Cleaned([junk]).reasons == [("not_an_object", "record")]


def padded(bytes_wanted: int, filler: str = "a") -> dict[str, Any]:
    empty = len(json.dumps(record(note=""), separators=(",", ":"), ensure_ascii=False).encode())
    return record(note=filler * ((bytes_wanted - empty) // len(filler.encode())))


def test_a_record_of_64_kib_is_kept_and_one_byte_more_is_too_large() -> None:
    assert MAX_RECORD_BYTES == 65_536
    assert fate(padded(65_536)) == "kept"
    assert fate(padded(65_537)) == "too_large"


def test_size_is_that_of_compact_utf_8_however_the_record_was_spelled() -> None:
    largest = padded(65_536 - 1, "Ж")
    escaped = json.dumps(largest, indent=8).encode()
    assert len(escaped) > 3 * 65_536 * 0.9
    assert fate(escaped) == "kept"
    assert fate(padded(65_536 + 2, "Ж")) == "too_large"


def nested(depth: int) -> bytes:
    """A good record with a key beside, that nests so deep as a whole."""
    inner = b"[" * (depth - 1) + b"]" * (depth - 1)
    return json.dumps(record(note=0)).encode().replace(b'"note": 0', b'"note": ' + inner)


def test_nesting_of_50_is_kept_and_of_51_is_too_deep() -> None:
    assert MAX_DEPTH == 50
    assert fate(nested(50)) == "kept"
    assert fate(nested(51)) == "too_deep"
    assert fate(nested(1500)) == "too_deep"


def test_nesting_without_end_is_too_deep_or_too_large_and_the_rest_loads() -> None:
    assert fate(nested(30_000)) == "too_deep"
    cleaned = Cleaned([GOOD, nested(100_000), run()])
    assert cleaned.reasons == [("too_large", "record")]
    assert cleaned.fates.kept == 2


def test_brackets_inside_text_are_not_nesting() -> None:
    assert fate(record(note="[{" * 100 + '"')) == "kept"


@pytest.mark.parametrize("user_id", ["u", "u" * 255, "Ж" * 255, " ", "=IMPORTXML(1)", "<script>\n"])
def test_a_user_id_of_1_to_255_characters_is_kept_exactly(user_id: object) -> None:
    assert only(record(lti_user_id=user_id))["user_id"] == user_id


@pytest.mark.parametrize("user_id", ["", "u" * 256, None, 7, 7.0, True, [], {}, ["u"]])
def test_any_other_user_id_is_rejected_never_cut_short(user_id: object) -> None:
    assert Cleaned([record(lti_user_id=user_id)]).reasons == [("user_id_invalid", "lti_user_id")]


def test_a_missing_user_id_is_rejected() -> None:
    assert fate(without("lti_user_id")) == "user_id_invalid"


@pytest.mark.parametrize("kind", ["run ", "RUN", "", "sumbit", None, 1, ["run"], {"run": 1}])
def test_an_attempt_type_other_than_run_or_submit_is_rejected(kind: object) -> None:
    assert fate(record(attempt_type=kind, is_correct=None)) == "attempt_type_invalid"


@pytest.mark.parametrize(
    ("spelled", "verdict"),
    [
        ("null", None),
        ("0", False),
        ("1", True),
        ("false", False),
        ("true", True),
        ("0.0", False),
        ("1.0", True),
        ("-0", False),
    ],
)
def test_a_verdict_is_read_by_the_stated_table(spelled: str, verdict: object) -> None:
    raw = json.dumps(record(is_correct="?")).replace('"?"', spelled).encode()
    assert only(raw)["is_correct"] is verdict


@pytest.mark.parametrize(
    "spelled",
    [
        '"1"',
        '"0"',
        '"true"',
        '""',
        "2",
        "-1",
        "0.5",
        "1.5",
        "1e400",
        "NaN",
        "Infinity",
        "[]",
        "{}",
        "[1]",
        "1" * 5000,
    ],
)
def test_any_other_verdict_is_rejected(spelled: str) -> None:
    raw = json.dumps(record(is_correct="?")).replace('"?"', spelled).encode()
    assert fate(raw) == "is_correct_invalid"


@pytest.mark.parametrize("verdict", [0, 1, True, False])
def test_a_run_with_a_verdict_is_rejected(verdict: object) -> None:
    assert fate(record(attempt_type="run", is_correct=verdict)) == "run_with_verdict"


@pytest.mark.parametrize("ungraded", [record(is_correct=None), without("is_correct")])
def test_a_submit_without_a_verdict_is_kept_and_counted_as_ungraded(
    ungraded: dict[str, Any],
) -> None:
    cleaned = Cleaned([ungraded, run(created_at="2025-07-24 10:00:00")])
    assert cleaned.attempts["is_correct"].isna().tolist() == [True, True]
    assert cleaned.watch.ungraded == 1


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-07-24 00:00:00", "2025-07-24 00:00:00"),
        ("2025-07-24T09:16:11", "2025-07-24 09:16:11"),
        ("2025-07-24 09:16:11.5", "2025-07-24 09:16:11.5"),
        ("2025-07-24 23:59:59.999999", "2025-07-24 23:59:59.999999"),
        ("2025-07-24 09:16:11Z", "2025-07-24 09:16:11"),
        ("2025-07-24T09:16:11.25+03:00", "2025-07-24 06:16:11.25"),
        ("2025-07-25 02:30:00+0300", "2025-07-24 23:30:00"),
        ("2025-07-23 22:00:00-05", "2025-07-24 03:00:00"),
        ("2025-07-24 09:16:11-00:30", "2025-07-24 09:46:11"),
    ],
)
def test_an_instant_is_read_by_the_rule_in_utc(text: str, moment: str) -> None:
    assert only(record(created_at=text))["created_at"] == pd.Timestamp(moment)


@pytest.mark.parametrize(
    "value",
    [
        "0000-00-00 00:00:00",
        "2025-02-30 00:00:00",
        "2025-13-01 00:00:00",
        "2025-07-24 24:00:00",
        "2025-07-24 23:59:60",
        "2025-07-24 09:16:11.3136467",
        "2025-07-24 09:16:11.",
        "2025-07-24 09:16",
        "2025-07-24",
        "20250724T091611",
        "2025-W30-4 09:16:11",
        " 2025-07-24 09:16:11",
        "2025-07-24 09:16:11\n",
        "2025-07-24  09:16:11",
        "2025-07-24 09:16:11,5",
        "2025-07-24 09:16:11 +03:00",
        "2025-07-24 09:16:11+24:00",
        "2025-07-24 09:16:11+03:60",
        "2025-07-24 09:16:11 UTC",
        "٢٠٢٥-07-24 09:16:11",
        "infinity",
        "now",
        "NaT",
        "",
        "2199-01-01 00:00:00",
        "0001-01-01 00:00:00+14:00",
        "9999-12-31 23:59:59-14:00",
        None,
        1753348571,
        [],
    ],
)
def test_an_impossible_instant_is_rejected_never_shifted(value: object) -> None:
    assert Cleaned([record(created_at=value)]).reasons == [("created_at_invalid", "created_at")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1999-12-31 23:59:59.999999", ["created_at_invalid"]),
        ("2000-01-01 00:00:00+00:01", ["created_at_invalid"]),
        ("2000-01-01 00:00:00", []),
        ("2025-07-26 23:59:59.999999", []),
        ("2025-07-26 23:59:59-00:01", ["created_at_invalid"]),
        ("2025-07-27 00:00:00", ["created_at_invalid"]),
    ],
)
def test_instants_are_believed_from_2000_to_the_end_of_tomorrow(
    text: str, expected: object
) -> None:
    cleaned = Cleaned([record(created_at=text)])
    assert cleaned.rejected["reason"].tolist() == expected
    assert cleaned.fates.outside_window == 1 - len(expected)


# ----------------------------------------------------------------- passback_params


@pytest.mark.parametrize("value", [None, "", "{}", "None", "null", "{ }", {}])
def test_no_passback_is_kept_with_its_fields_missing(value: object) -> None:
    cleaned = Cleaned([record(passback_params=value)])
    assert [cleaned.rows[0][name] for name in PASSBACK_FIELDS] == [None, None, None]
    assert (cleaned.watch.null_passback, cleaned.watch.without_task) == (1, 1)


def test_an_absent_passback_is_kept_with_its_fields_missing() -> None:
    assert Cleaned([without("passback_params")]).watch.null_passback == 1


def sourcedid_and_key(value: object) -> tuple[str | None, str | None]:
    row = only(record(passback_params=value))
    return row["lis_result_sourcedid"], row["oauth_consumer_key"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("{'lis_result_sourcedid': 'a:b:c'}", ("a:b:c", None)),
        ("{'oauth_consumer_key': '', 'lis_result_sourcedid': 'a:b:c'}", ("a:b:c", "")),
        ("{'oauth_consumer_key': None, 'lis_result_sourcedid': 'a:b:c'}", ("a:b:c", None)),
        ('{"oauth_consumer_key": null, "lis_result_sourcedid": "a:b:c"}', ("a:b:c", None)),
        ('{"lis_result_sourcedid": "a\\/b", "other": [1, {"x": true}]}', ("a/b", None)),
        ({"lis_result_sourcedid": "a:b:c", "oauth_consumer_key": "k"}, ("a:b:c", "k")),
        ("{'lis_result_sourcedid': 'a', 'other': [1, (2, None), {3}, 4j, b'5']}", ("a", None)),
        ("{'lis_result_sourcedid': 'a', 'lis_result_sourcedid': 'b'}", ("b", None)),
        ("{'lis_result_sourcedid': \"it's\", 'oauth_consumer_key': 'a\"b'}", ("it's", 'a"b')),
        ("{'lis_result_sourcedid': 'line\\nbreak \\d'}", ("line\nbreak \\d", None)),
        ('{"lis_result_sourcedid": "\\ud83d\\ude00"}', ("😀", None)),
        ("{'lis_result_sourcedid': '=IMPORTXML(1)<script>'}", ("=IMPORTXML(1)<script>", None)),
    ],
)
def test_passback_is_read_as_python_literal_json_or_object(value: object, expected: object) -> None:
    assert sourcedid_and_key(value) == expected


@pytest.mark.parametrize(
    "value",
    [
        "{'lis_result_sourcedid': 'cut short",
        "{'lis_result_sourcedid': 1}",
        "{'oauth_consumer_key': ['']}",
        {"lis_outcome_service_url": 5},
        {"oauth_consumer_key": {}},
        "['lis_result_sourcedid']",
        "[]",
        "'text'",
        "true",
        "0",
        "none",
        " ",
        "lis_result_sourcedid=a",
        "{'lis_result_sourcedid': open('/etc/passwd').read()}",
        "{'lis_result_sourcedid': f'{1}'}",
        "{'lis_result_sourcedid': 'a' + 'b'}",
        "dict(lis_result_sourcedid='a')",
        "{[]: 1}",
        "{**{}}",
        "{'lis_result_sourcedid'}",
        "{'lis_result_sourcedid': 'a',}}",
        "{'lis_result_sourcedid': 'raw\nbreak'}",
        "{'a': " + "[" * 60 + "]" * 60 + "}",
        "{'a': " + "(" * 9000 + ")" * 9000 + "}",
        "{'a': " + "-" * 30_000 + "1}",
        "{'a': " + "1+" * 15_000 + "1}",
        "{'a': " + "9" * 5_000 + "}",
        '{"a": ' + "[" * 5_000,
        5,
        0,
        False,
        [],
        ["{}"],
    ],
)
def test_any_other_passback_is_rejected(value: object) -> None:
    expected = [("passback_params_invalid", "passback_params")]
    assert Cleaned([record(passback_params=value)]).reasons == expected


def test_nothing_in_passback_is_ever_evaluated(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    code = f"{{'oauth_consumer_key': __import__('pathlib').Path({str(trace)!r}).touch()}}"
    assert fate(record(passback_params=code)) == "passback_params_invalid"
    assert not trace.exists()


@given(
    st.dictionaries(
        st.sampled_from([*PASSBACK_FIELDS, "other"]),
        st.none() | st.text(st.characters(exclude_categories=["Cs"])) | st.text("'\"\\:{},\n\r"),
    )
)
def test_passback_says_the_same_as_literal_as_json_and_as_object(
    fields: dict[str, str | None],
) -> None:
    if any("\0" in (value or "") for value in fields.values()):
        return
    forms = [repr(fields), json.dumps(fields), fields]
    rows = [only(record(passback_params=form)) for form in forms]
    expected = {name: fields.get(name) for name in PASSBACK_FIELDS}
    assert [{name: row[name] for name in PASSBACK_FIELDS} for row in rows] == [expected] * 3


# ---------------------------------------------------------------- texts, B1


@pytest.mark.parametrize(
    "odd",
    ["\0", chr(0xD800), chr(0xDFFF), chr(0xDE00) + chr(0xD83D)],
    ids=["NUL", "high", "low", "both"],
)
@pytest.mark.parametrize("name", PASSBACK_FIELDS)
def test_nul_and_lone_surrogates_in_a_kept_text_are_rejected(odd: str, name: str) -> None:
    fields = {name: f"a{odd}b"}
    for form in (fields, json.dumps(fields), repr(fields), f"{{{name!r}: 'a{odd}b'}}"):
        assert Cleaned([record(passback_params=form)]).reasons == [("text_invalid", name)]


@pytest.mark.parametrize("odd", ["\0", chr(0xD800), chr(0xDFFF)], ids=["NUL", "high", "low"])
def test_nul_and_lone_surrogates_in_a_user_id_are_rejected(odd: str) -> None:
    broken = record(lti_user_id=f"a{odd}b")
    assert Cleaned([broken]).reasons == [("text_invalid", "lti_user_id")]


def test_nul_in_the_usual_form_of_passback_is_text_invalid() -> None:
    text = "{'oauth_consumer_key': '', 'lis_result_sourcedid': 'a\0b'}"
    assert fate(record(passback_params=text)) == "text_invalid"


def test_nul_and_surrogates_in_what_is_not_kept_do_no_harm() -> None:
    odd = record(note="\0\ud800", passback_params="{'other': '\0\ud800'}")
    cleaned = Cleaned([odd])
    assert cleaned.fates.kept == 1
    assert cleaned.watch.unknown_keys == {"note": 1}


def test_bytes_that_are_no_utf_8_cost_one_record() -> None:
    bad = json.dumps(GOOD).encode().replace(USER.encode(), b"\xff\xc3", 1)
    cleaned = Cleaned([bad, GOOD])
    assert cleaned.reasons == [("text_invalid", "lti_user_id")]
    assert json.loads(cleaned.rejected["record"][0])["lti_user_id"] == "\udcff\udcc3"
    assert cleaned.fates.kept == 1


def test_an_invalid_byte_after_a_high_surrogate_does_not_become_a_character() -> None:
    bad = json.dumps(GOOD).encode().replace(USER.encode(), b"\\ud83d\x80", 1)
    cleaned = Cleaned([bad])
    assert cleaned.reasons == [("text_invalid", "lti_user_id")]
    assert Cleaned([cleaned.rejected["record"][0].encode()]).reasons == cleaned.reasons


def test_raw_control_characters_are_read_as_what_they_are() -> None:
    raw = json.dumps(record(lti_user_id="a?b")).encode().replace(b"a?b", b"a\nb")
    assert only(raw)["user_id"] == "a\nb"


def test_the_last_of_repeated_keys_is_the_one() -> None:
    raw = json.dumps(GOOD).encode().replace(b'"is_correct": 1', b'"is_correct": 2, "is_correct": 0')
    assert only(raw)["is_correct"] is False


# ------------------------------------------------------------- course and task

VARIANTS = json.loads((DATA / "sourcedid_variants.json").read_bytes())["cases"]


@pytest.mark.parametrize(
    "case", [case for case in VARIANTS if "link" in case["expect"]], ids=lambda case: case["name"]
)
def test_every_known_form_of_sourcedid_is_cut(case: dict[str, Any]) -> None:
    expected = case["expect"]
    assert cut_sourcedid(case["sourcedid"]) == (
        expected["context"],
        expected["link"],
        expected["user"],
    )


@pytest.mark.parametrize(
    "sourcedid",
    [
        case["sourcedid"]
        for case in VARIANTS
        if case["expect"].get("problem") in ("empty", "unrecognised")
    ]
    + [None, "one:colon", ":", "::", ":link:user", "course::user", '{"data": {"instanceid"']
    + ['{"data": {"typeid": "3:4:5"}}', '{"data": 5}', '{"a": "b:c:d"}', "[1]", "{" * 300],
)
def test_what_cannot_be_cut_names_no_task(sourcedid: str | None) -> None:
    if sourcedid is not None:
        assert cut_sourcedid(sourcedid)[:2] == (None, None)
    fields = {"lis_result_sourcedid": sourcedid}
    assert Cleaned([record(passback_params=fields)]).watch.without_task == 1


@pytest.mark.parametrize(
    ("sourcedid", "expected"),
    [
        ("a:b:c", ("a", "b", "c")),
        ("a:b:", ("a", "b", None)),
        ("a%3Ab:c%25:d", ("a:b", "c%", "d")),
        ("a+b:%D0%96:c", ("a+b", "Ж", "c")),
        ("a:%FF:c", ("a", "\ufffd", "c")),
        ('{"data": {"instanceid": 7, "userid": 42}}', ("moodle", "7", "42")),
        ('{"data": {"instanceid": "7"}}', ("moodle", "7", None)),
    ],
)
def test_a_sourcedid_is_cut_from_the_right_then_unquoted(sourcedid: str, expected: object) -> None:
    assert cut_sourcedid(sourcedid) == expected


@pytest.mark.parametrize(
    "sourcedid",
    ["a%00:b:c", "a:b%00:c", '{"data": {"instanceid": "\\ud800"}}', f"{'Ж' * 257}:b:c"],
)
def test_a_name_that_cannot_be_stored_or_indexed_is_no_name_and_the_row_is_kept(
    sourcedid: str | None,
) -> None:
    row = only(record(passback_params=json.dumps({"lis_result_sourcedid": sourcedid})))
    assert (row["course"], row["task"]) == (None, None)
    assert row["lis_result_sourcedid"] == sourcedid


def test_a_consumer_key_too_long_for_an_index_names_no_task() -> None:
    fields = {"lis_result_sourcedid": "a:b:c", "oauth_consumer_key": "k" * 513}
    assert only(record(passback_params=fields))["task"] is None
    assert only(record(passback_params=fields | {"oauth_consumer_key": "k" * 512}))["task"] == "b"


def test_the_form_with_an_apostrophe_is_read() -> None:
    (case,) = [case for case in VARIANTS if "passback_params" in case]
    row = only(record(passback_params=case["passback_params"]))
    assert row["oauth_consumer_key"] == "it's"
    assert (row["course"], row["task"]) == ("course-v1:O+C+R", "h-b")


def test_a_user_that_differs_from_the_sourcedids_is_kept_and_counted() -> None:
    (case,) = [case for case in VARIANTS if case["expect"].get("problem") == "user_mismatch"]
    fields = passback(lis_result_sourcedid=case["sourcedid"])
    differing = record(lti_user_id=case["lti_user_id"], passback_params=fields)
    cleaned = Cleaned([differing, GOOD])
    assert (cleaned.fates.kept, cleaned.watch.user_mismatch) == (2, 1)


# ------------------------------------------------- window, duplicates (A11), drift (A14)


def test_an_attempt_on_the_midnight_boundary_is_counted_once() -> None:
    edges = [run(created_at="2025-07-24 00:00:00"), run(created_at="2025-07-25 00:00:00")]
    today = Cleaned(edges)
    tomorrow = Cleaned(edges, window=Window(DAY.end, DAY.end + timedelta(days=1)))
    assert today.attempts["created_at"].tolist() == [pd.Timestamp("2025-07-24")]
    assert tomorrow.attempts["created_at"].tolist() == [pd.Timestamp("2025-07-25")]
    assert (today.fates.outside_window, tomorrow.fates.outside_window) == (1, 1)


@pytest.mark.parametrize("size", [1, 2, 100])
def test_a_repeated_attempt_is_kept_once_as_first_received(size: int) -> None:
    cleaned = Cleaned(
        [
            record(is_correct=0),
            run(),
            record(is_correct=1),
            record(is_correct=0),
            record(is_correct=False, created_at="2025-07-24T12:16:11.313646+03:00"),
            record(is_correct=0, passback_params=None),
        ],
        size=size,
    )
    assert cleaned.attempts["is_correct"].tolist() == [False, pd.NA]
    assert (cleaned.fates.duplicates, cleaned.fates.conflicting) == (4, 2)


def test_a_missing_and_an_empty_consumer_key_are_not_the_same() -> None:
    missing = passback(lis_result_sourcedid=SOURCEDID)
    cleaned = Cleaned([GOOD, record(passback_params=missing), record(note="ignored")])
    assert (cleaned.fates.duplicates, cleaned.fates.conflicting) == (2, 1)


def test_the_key_is_user_type_and_instant() -> None:
    others = [
        GOOD,
        record(lti_user_id="another"),
        record(attempt_type="run", is_correct=None),
        record(created_at="2025-07-24 09:16:11.313647"),
    ]
    assert Cleaned(others).fates.kept == 4


def test_rejected_and_outside_records_do_not_take_an_attempts_place() -> None:
    cleaned = Cleaned([record(is_correct=2), GOOD])
    assert (cleaned.fates.kept, cleaned.fates.duplicates) == (1, 0)


def test_a_new_key_is_ignored_and_reported() -> None:
    cleaned = Cleaned([record(score=0.5, attempt_id=7), record(score=None, created_at="?")])
    assert cleaned.watch.unknown_keys == {"score": 2, "attempt_id": 1}
    assert cleaned.fates.kept == 1


def test_a_renamed_key_is_quarantined_and_reported() -> None:
    renamed = without("lti_user_id") | {"user_id": USER}
    cleaned = Cleaned([renamed])
    assert cleaned.fates.rejected == {"user_id_invalid": 1}
    assert cleaned.watch.unknown_keys == {"user_id": 1}


def test_unknown_attempt_types_are_reported_trimmed_in_ascii() -> None:
    kinds = ["check", "check", "про\0верка", "x" * 500, None]
    seen = Cleaned([record(attempt_type=kind) for kind in kinds]).watch.unknown_attempt_types
    assert seen == {
        "check": 2,
        "\\u043f\\u0440\\u043e\\u0000\\u0432\\u0435\\u0440\\u043a\\u0430": 1,
        "x" * 40: 1,
        "null": 1,
    }


@pytest.mark.parametrize("size", [7, 1000])
def test_names_that_drift_without_end_are_remembered_up_to_a_bound(size: int) -> None:
    seen = Cleaned([record(**{f"key{n}": 1}) for n in range(200)], size=size).watch.unknown_keys
    assert len(seen) == 51
    assert sum(seen.values()) == 200
    assert seen[OTHER_NAMES] == 150


# ------------------------------------------------------------------- tombstones


class Forgotten:
    """Tombstones of some ids in plain text."""

    def __init__(self, *user_ids: str) -> None:
        self._user_ids = user_ids

    def erased_among(self, user_ids: Collection[str]) -> set[str]:
        [user_id.encode() for user_id in user_ids]
        return set(self._user_ids) & set(user_ids)


@pytest.mark.parametrize(
    "theirs",
    [
        GOOD,
        record(is_correct="broken"),
        record(passback_params="{broken"),
        record(created_at="2020-01-01 00:00:00"),
        record(lti_user_id="another"),
        record(lti_user_id=5),
        record(lti_user_id=5, passback_params={"lis_result_sourcedid": f"a:b:{USER}", "x": 1}),
        record(
            lti_user_id="another",
            passback_params={"lis_result_sourcedid": f"a:b:{USER}", "oauth_consumer_key": 5},
        ),
        record(
            lti_user_id="another",
            passback_params=f"{{'lis_result_sourcedid': 'a:b:{USER}', 'oauth_consumer_key':",
        ),
        record(
            lti_user_id="another",
            passback_params={
                "lis_result_sourcedid": json.dumps({"data": {"instanceid": 1, "userid": USER}})
            },
        ),
        padded(100_000),
        nested(51),
        nested(5_000),
    ],
)
def test_a_forgotten_students_record_is_erased_whatever_else_is_wrong_with_it(
    theirs: dict[str, Any] | bytes,
) -> None:
    cleaned = Cleaned([theirs], tombstones=Forgotten(USER))
    assert cleaned.fates == Fates(received=1, erased=1)


def test_a_user_id_that_is_a_number_is_covered_as_text() -> None:
    assert Cleaned([record(lti_user_id=42)], tombstones=Forgotten("42")).fates.erased == 1


def test_other_students_records_meet_their_usual_fates() -> None:
    odd = record(lti_user_id="a\ud800", passback_params=None)
    received = [GOOD, odd, None, run(lti_user_id="another", passback_params=None)]
    cleaned = Cleaned(received, tombstones=Forgotten("nobody"))
    assert cleaned.fates.erased == 0
    assert cleaned.fates.kept == 2


# ------------------------------------------------------------------- quarantine

ODD_RECORDS = [
    json.dumps(record(is_correct=7)).encode(),
    json.dumps(record(lti_user_id="Ж" * 300), ensure_ascii=False).encode(),
    json.dumps(record(lti_user_id="\0")).encode(),
    json.dumps(GOOD).encode().replace(b"submit", b"sub\x00\x1f\xffmit"),
    json.dumps(padded(80_000, "Ж"), ensure_ascii=False).encode(),
    nested(51),
    nested(30_000),
    b'{"lti_user_id": NaN,\n\t"x": 1e400}',
    b'[{"a":1}]',
    b"null",
]


@pytest.mark.parametrize("received", ODD_RECORDS, ids=range(len(ODD_RECORDS)))
def test_a_rejected_record_is_kept_whole_and_replays_equal(received: object) -> None:
    once = Cleaned([received])
    again = Cleaned([once.rejected["record"][0].encode("ascii")])
    assert len(once.rejected) == 1
    assert again.rejected.equals(once.rejected)
    if received.isascii() and b"\x00" not in received:
        assert once.rejected["record"][0].encode() == received


def test_a_record_that_a_mended_rule_lets_through_is_the_attempt_it_was() -> None:
    odd = record(lti_user_id="Ж😀", passback_params={"oauth_consumer_key": "ключ"})
    early = Cleaned([json.dumps(odd, ensure_ascii=False).encode()], tomorrow=at("2025-07-24"))
    assert early.reasons == [("created_at_invalid", "created_at")]
    late = Cleaned([early.rejected["record"][0].encode()])
    assert (late.rows[0]["user_id"], late.rows[0]["oauth_consumer_key"]) == ("Ж😀", "ключ")


# ------------------------------------------------------------------- properties

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=10,
)
MOMENTS = st.datetimes(at("2025-07-23 20:00"), at("2025-07-25 04:00")).map(
    lambda moment: moment.isoformat(sep=" ")
)
PASSBACKS = st.sampled_from(
    [GOOD["passback_params"], None, "", {}, passback(lis_result_sourcedid="a:b:c")]
)
NEAR_RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "lti_user_id": st.sampled_from(["a", "b", USER]) | JSON,
        "passback_params": PASSBACKS | JSON | JSON.map(json.dumps) | JSON.map(repr),
        "is_correct": st.sampled_from([None, 0, 1, True]) | JSON,
        "attempt_type": st.sampled_from(["run", "submit"]) | JSON,
        "created_at": MOMENTS | st.sampled_from(["2025-07-24 10:00:00"]) | JSON,
        "note": JSON,
    },
)
GOOD_RECORDS = st.fixed_dictionaries(
    {
        "lti_user_id": st.sampled_from(["a", "b", "Ж"]),
        "passback_params": PASSBACKS,
        "is_correct": st.none(),
        "attempt_type": st.sampled_from(["run", "submit"]),
        "created_at": MOMENTS | st.sampled_from(["2025-07-24 10:00:00", "2025-07-24 11:00:00"]),
    }
)
RECORDS = st.lists(NEAR_RECORDS | GOOD_RECORDS | JSON, max_size=12)


def spelled(value: object, is_ascii: bool) -> bytes:
    return json.dumps(value, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass")


@given(RECORDS, st.booleans(), st.integers(1, 5))
@settings(max_examples=300)
def test_any_json_has_one_fate_and_rejected_records_replay_equal(
    values: list[Any], is_ascii: bool, size: int
) -> None:
    body = b"[" + b",".join(spelled(value, is_ascii) for value in values) + b"]"
    received = list(chain.from_iterable(record_chunks(io.BytesIO(body))))
    cleaned = Cleaned(received, size=size)
    assert cleaned.fates.received == len(values)
    replayed = Cleaned([text.encode("ascii") for text in cleaned.rejected["record"]])
    assert replayed.rejected.equals(cleaned.rejected)
    assert replayed.fates.rejected == cleaned.fates.rejected


@given(st.lists(NEAR_RECORDS, max_size=6), st.booleans())
def test_the_strict_and_the_tolerant_reader_agree(values: list[Any], is_ascii: bool) -> None:
    strict = [spelled(value, is_ascii) for value in values]
    # A raw control character is what the strict reader refuses.
    tolerant = [b'{"\x01": 0' + (b"," if len(raw) > 2 else b"") + raw[1:] for raw in strict]
    one, other = Cleaned(list(strict)), Cleaned(list(tolerant))
    assert one.attempts.equals(other.attempts)
    assert one.reasons == other.reasons


@given(st.lists(st.binary(max_size=60), max_size=5))
def test_any_bytes_have_one_fate(junk: object) -> None:
    cleaned = Cleaned(list(junk))
    replayed = Cleaned([text.encode("ascii") for text in cleaned.rejected["record"]])
    assert replayed.rejected.equals(cleaned.rejected)


def as_set(attempts: pd.DataFrame) -> set[tuple[Any, ...]]:
    return {
        tuple(None if pd.isna(value) else value for value in row)
        for row in attempts.itertuples(index=False)
    }


@given(RECORDS, st.randoms(), st.integers(1, 5))
def test_the_order_received_does_not_matter_unless_records_conflict(
    values: list[Any], random: Random, size: int
) -> None:
    shuffled = random.sample(values, len(values))
    one, other = Cleaned(values), Cleaned(shuffled, size=size)
    fates = ("kept", "duplicates", "outside_window", "rejected")
    assert [getattr(one.fates, fate) for fate in fates] == [
        getattr(other.fates, fate) for fate in fates
    ]
    if one.fates.conflicting == 0:
        assert as_set(one.attempts) == as_set(other.attempts)


@given(RECORDS)
@settings(max_examples=40)
def test_a_day_equals_the_sum_of_its_hours(values: list[Any]) -> None:
    hours = [
        Window(DAY.start + timedelta(hours=n), DAY.start + timedelta(hours=n + 1))
        for n in range(24)
    ]
    parts = [Cleaned(values, window=hour) for hour in hours]
    whole = Cleaned(values)
    assert as_set(pd.concat([part.attempts for part in parts])) == as_set(whole.attempts)
    for name in ("kept", "duplicates", "conflicting"):
        assert sum(getattr(part.fates, name) for part in parts) == getattr(whole.fates, name)
    for name in ("ungraded", "without_task"):
        assert sum(getattr(part.watch, name) for part in parts) == getattr(whole.watch, name)


@given(RECORDS, st.integers(1, 4))
def test_the_size_of_the_chunks_does_not_matter(values: list[Any], size: int) -> None:
    whole, pieces = Cleaned(values), Cleaned(values, size=size)
    assert whole.attempts.equals(pieces.attempts)
    assert whole.rejected.equals(pieces.rejected)
    assert (whole.fates, whole.watch) == (pieces.fates, pieces.watch)


def test_many_repeats_over_many_chunks_are_each_known() -> None:
    start = at("2025-07-24")
    moments = [(start + timedelta(seconds=n % 3_000)).isoformat() for n in range(9_000)]
    received = [run(lti_user_id=f"u{n % 7}", created_at=moment) for n, moment in enumerate(moments)]
    cleaned = Cleaned(received, size=500)
    distinct = {(r["lti_user_id"], r["created_at"]) for r in received}
    assert cleaned.fates.kept == len(distinct)
    assert cleaned.fates.conflicting == 0


def test_no_records_are_no_attempts() -> None:
    assert Cleaned([]).fates == Fates()


def test_cleaning_needs_neither_dagster_nor_a_network() -> None:
    code = (
        "import sys, lms_assets.attempts.cleaning; "
        "sys.exit(any(name in sys.modules for name in ('dagster', 'requests', 'sqlalchemy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# ------------------------------------------------- in company as alone (R1, R2, R3)

NEIGHBOURS = st.sampled_from(["", "\0", "a", "a\0", "a\0b", "ann", "ann\0", "{}", "{}\0"])


def fates_of(records: list[dict[str, Any]], tombstones: Forgotten | None = None) -> list[str]:
    """Each record's fate in this company: distinct instants tell the records apart."""
    cleaned = Cleaned(records, tombstones=tombstones)
    kept = {str(moment) for moment in cleaned.attempts["created_at"]}
    refused = {
        json.loads(one)["created_at"]: reason
        for one, (reason, _) in zip(cleaned.rejected["record"], cleaned.reasons, strict=True)
    }
    moments = [r["created_at"] for r in records]
    return ["kept" if m in kept else refused.get(m, "erased") for m in moments]


@given(st.lists(st.tuples(NEIGHBOURS, NEIGHBOURS), max_size=8))
def test_no_fate_depends_on_the_neighbours(texts: list[tuple[str, str]]) -> None:
    records = [
        record(lti_user_id=user, passback_params=text, created_at=f"2025-07-24 00:00:0{n}")
        for n, (user, text) in enumerate(texts)
    ]
    forgotten = Forgotten("ann")
    alone = [fates_of([one], forgotten)[0] for one in records]
    assert fates_of(records, forgotten) == alone


def test_an_odd_text_does_not_take_those_that_begin_alike_with_it() -> None:  # R1, R2
    empty = [run(passback_params="", created_at=f"2025-07-24 00:00:{n:02}") for n in range(30)]
    odd = run(passback_params="\0")
    for records in ([odd, *empty], [*empty, odd]):
        cleaned = Cleaned(records)
        assert (cleaned.fates.kept, cleaned.fates.rejected_in_all) == (30, 1)


@pytest.mark.parametrize("written", [str, html.escape, quote, lambda t: quote(html.escape(t))])
def test_json_is_known_however_it_is_written(written: Callable[[str], str]) -> None:  # R51
    text = ' {"data": {"instanceid": "7", "userid": "42"}, "hash": "e3"}'
    assert cut_sourcedid(written(text)) == ("moodle", "7", "42")


# ---------------------------------------- the usual kind of record, read faster than others


def read_slowly(raw: bytes) -> bytes:
    """The same record, told so that it is not of the usual kind: only the slow way reads it."""
    return b'{"lti_user_id": [], ' + raw[1:]


USUAL_RECORDS = st.fixed_dictionaries(
    {
        "lti_user_id": st.sampled_from(["a", "b", "", "Ж", "a\0", "x" * 255, "x" * 256, "a%20"]),
        "attempt_type": st.sampled_from(["run", "submit"]),
        "created_at": MOMENTS
        | st.sampled_from(
            [
                "2025-07-24 10:00:00",
                "2025-07-24T10:00:00.5",
                "2025-02-29 10:00:00",
                "2024-02-29 10:00:00.000001",
                "2025-07-24 24:00:00",
                "2025-07-24 10:60:00.000000",
                "2025-13-24 10:00:00",
                "0000-01-01 00:00:00",
                "2025-07-24 10:00:00Z",
                "2025-07-24 10:00:00+03:00 ",
                "2025-07-24 10:00:00+030000",
                "2025/07/24 10:00:00",
                "２025-07-24 10:00:0",
                "1999-12-31 23:59:59.999999",
                "",
            ]
        )
        | st.text(max_size=26),
    },
    optional={
        "is_correct": st.sampled_from([None, 0, 1, True, False, 2, 1.0]),
        "passback_params": PASSBACKS
        | st.text(max_size=12)
        | st.text(max_size=30).map(lambda text: passback(lis_result_sourcedid=text))
        | st.text("ab:%{&\0Ж'", max_size=12).map(
            lambda text: passback(oauth_consumer_key=text, lis_result_sourcedid=text)
        ),
    },
)


@given(st.lists(USUAL_RECORDS, max_size=12), st.booleans(), st.integers(1, 12))
@settings(max_examples=400)
def test_the_fast_way_and_the_slow_way_agree(
    values: list[dict[str, Any]], is_ascii: bool, size: int
) -> None:
    received = [spelled(value, is_ascii) for value in values]
    forgotten = Forgotten("b", "Ж")
    fast = Cleaned(list(received), size=size, tombstones=forgotten)
    slow = Cleaned([read_slowly(raw) for raw in received], size=size, tombstones=forgotten)
    assert fast.attempts.equals(slow.attempts)
    assert fast.reasons == slow.reasons
    assert (fast.fates, fast.watch) == (slow.fates, slow.watch)


def test_a_day_that_mixes_both_ways_is_kept_in_the_order_received() -> None:
    moments = [f"2025-07-24 10:00:{n:02}" for n in range(40)]
    usual = [run(created_at=moment) for moment in moments]
    odd = [run(created_at=moment, note=1) for moment in moments]
    mixed = [one if n % 3 else other for n, (one, other) in enumerate(zip(usual, odd, strict=True))]
    again = Cleaned([*mixed, *usual])
    assert again.attempts.equals(Cleaned(usual).attempts)
    assert (again.fates.duplicates, again.fates.conflicting) == (40, 0)
