"""What a raw record must be to become an attempt, and the one fate that each record has.

Pure: bytes in, frames and counts out. The fates, in this order: *erased* (its
student asked to be forgotten), *rejected* (a rule below, the first that fails),
*outside the window*, *duplicate*, *kept*. Their sum is what was received, always.

How ``is_correct`` is read (B5), with JSON's own types:

    null, absent      no verdict: a run, or an ungraded submit
    0, 0.0, false     wrong
    1, 1.0, true      correct
    anything else     rejected: "1", "", 2, 0.5, 1e400, NaN, [], {}
"""

import ast
import hashlib
import json
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from html import unescape
from itertools import accumulate
from typing import Any, Final, Protocol
from urllib.parse import unquote, unquote_plus

import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from lms_assets.attempts.distinct import numbered
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.watch import Watch, few_names, printable_name
from lms_assets.days import Window
from lms_assets.resources.records import NotAnArray, ascii_text, count_records, record_chunks

__all__ = [
    "CODE_VERSION",
    "FIRST_MOMENT",
    "KNOWN_KEYS",
    "MAX_DEPTH",
    "MAX_RECORD_BYTES",
    "PASSBACK_FIELDS",
    "RULES",
    "CleanedChunk",
    "NotAnArray",
    "Rule",
    "Tombstones",
    "Window",
    "clean_day",
    "count_records",
    "course_and_task",
    "record_chunks",
]

CODE_VERSION: Final = "2"

MAX_RECORD_BYTES: Final = 64 * 1024
MAX_DEPTH: Final = 50
MAX_USER_ID_LENGTH: Final = 255
FIRST_MOMENT: Final = datetime.fromisoformat("2000-01-01")
# PostgreSQL refuses an index entry over 2,704 bytes; the widest index holds a
# user id of at most 1,020 bytes beside consumer key, course and task.
MAX_NAME_BYTES: Final = 512

KNOWN_KEYS: Final = frozenset(
    {"lti_user_id", "passback_params", "is_correct", "attempt_type", "created_at"}
)
PASSBACK_FIELDS: Final = ("oauth_consumer_key", "lis_result_sourcedid", "lis_outcome_service_url")

_TEXT: Final = "string[pyarrow]"

Flags = npt.NDArray[np.bool_]
Objects = npt.NDArray[np.object_]


class Tombstones(Protocol):
    """Who asked to be forgotten."""

    def covers(self, user_ids: "pd.Series[str]") -> "pd.Series[bool]":
        """For each of the user ids, in order, whether it is one of theirs."""
        ...


# ----------------------------------------------------- reading a whole record

_STRICT = msgspec.json.Decoder()
# Possessive groups would say the same shorter; Python before 3.11.5 matches them wrongly.
_QUOTED = re.compile(r"\"[^\"\\]*(?:\\.[^\"\\]*)*\"|'[^'\\]*(?:\\.[^'\\]*)*'", re.DOTALL)
_PIECE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]|[^"\[\]{}]+|"', re.DOTALL)
_STRING_OR_SPACE = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[ \t\n\r]+', re.DOTALL)


def _whole_number(digits: str) -> int | float:
    # Python refuses to convert integers of more than 4,300 digits.
    return int(digits) if len(digits) < 400 else float(digits)


_LENIENT = json.JSONDecoder(strict=False, parse_int=_whole_number)


def _value(record: bytes, *, may_be_deep: bool) -> object:
    """What the record says, cut off below the depth allowed; None where it is no JSON."""
    if not may_be_deep:
        try:
            return _STRICT.decode(record)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            pass
    text = ascii_text(record)
    try:
        return _LENIENT.decode(_shallow(text) if _depth(text) > MAX_DEPTH else text)
    except (ValueError, RecursionError):
        return None


def _may_be_deep(record: bytes) -> bool:
    return record.count(b"{") + record.count(b"[") > MAX_DEPTH


def _depth(text: str) -> int:
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


def _compact_bytes(record: bytes) -> int:
    """The record's length as compact UTF-8 JSON, however it was spelled when received."""
    compact = _STRING_OR_SPACE.sub(_compact_piece, ascii_text(record))
    return len(compact.encode("utf-8", "backslashreplace"))


def _compact_piece(piece: re.Match[str]) -> str:
    if not piece[0].startswith('"'):
        return ""
    try:
        return json.dumps(_LENIENT.decode(piece[0]), ensure_ascii=False)
    except ValueError:
        return piece[0]


# ------------------------------------------------------------- reading a field

_VERDICTS: dict[float | None, int] = {None: -1, 0: 0, 1: 1}
_NO_VERDICT, _UNKNOWN_VERDICT = -1, 2


def _verdict(value: object) -> int:
    if value is None or isinstance(value, bool | int | float):
        return _VERDICTS.get(value, _UNKNOWN_VERDICT)
    return _UNKNOWN_VERDICT


_MOMENT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[ T](?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{1,6})?"
    r"(?:Z|[+-](?:[01][0-9]|2[0-3])(?::?[0-5][0-9])?)?"
)


def _moment(value: object) -> datetime | None:
    """The instant in naive UTC, or None for whatever is not spelled as the rule says."""
    if not isinstance(value, str) or not _MOMENT.fullmatch(value):
        return None
    try:
        moment = datetime.fromisoformat(value)
        return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None


def _as_text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


_SURROGATE = re.compile(r"[\ud800-\udfff]")


def _is_storable(text: str | None) -> bool:
    """Whether PostgreSQL and UTF-8 take it: no NUL, no lone surrogate."""
    return text is None or ("\0" not in text and (text.isascii() or not _SURROGATE.search(text)))


# ----------------------------------------------------------- passback_params

_NO_PASSBACK = frozenset({"", "{}", "None", "null"})
_USUAL_PASSBACK = re.compile(
    r"\{'oauth_consumer_key': '([^'\\\n\r]*+)', 'lis_result_sourcedid': '([^'\\\n\r]*+)'"
    r"(?:, 'lis_outcome_service_url': '([^'\\\n\r]*+)')?\}"
)
_CLAIMED_SOURCEDID = re.compile(r"""['"]lis_result_sourcedid['"]\s*:\s*['"]([^'"]*)""")

# Python's parser takes neither NUL nor lone surrogates: they travel through it
# as characters for private use, so that the rule on texts is the one to speak.
_CARRIED = {code: chr(0x10F000 + place) for place, code in enumerate([0, *range(0xD800, 0xE000)])}
_DELIVERED = {ord(carrier): chr(code) for code, carrier in _CARRIED.items()}


@dataclass(frozen=True)
class _Passback:
    """What one text of ``passback_params`` says; unreadable ones may still name a sourcedid."""

    is_readable: bool
    oauth_consumer_key: str | None = None
    lis_result_sourcedid: str | None = None
    lis_outcome_service_url: str | None = None


def _passback(text: str) -> _Passback:
    usual = _USUAL_PASSBACK.fullmatch(text)
    if usual:
        return _Passback(True, *usual.groups())
    if text in _NO_PASSBACK:
        return _Passback(True)
    said = _dict_within(text)
    if said is None:
        claimed = _CLAIMED_SOURCEDID.search(text)
        return _Passback(False, lis_result_sourcedid=claimed[1] if claimed else None)
    fields = [said.get(name) for name in PASSBACK_FIELDS]
    if all(value is None or isinstance(value, str) for value in fields):
        return _Passback(True, *fields)
    return _Passback(False, lis_result_sourcedid=_as_sourcedid(fields[1]))


def _as_sourcedid(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _dict_within(text: str) -> dict[Any, Any] | None:
    """The dict that the text spells as a JSON object or a Python literal; nothing is evaluated."""
    if text.count("{") + text.count("[") + text.count("(") > MAX_DEPTH and (
        _depth(text) > MAX_DEPTH or len(text) > MAX_RECORD_BYTES
    ):
        return None
    try:
        said: object = _LENIENT.decode(text)
    except (ValueError, RecursionError):
        said = _python_literal(text)
    return said if isinstance(said, dict) else None


def _python_literal(text: str) -> object:
    if len(text) > MAX_RECORD_BYTES:
        return None
    is_carried = not _is_storable(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said = ast.literal_eval(text.translate(_CARRIED) if is_carried else text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    return _delivered(said) if is_carried and isinstance(said, dict) else said


def _delivered(said: dict[Any, Any]) -> dict[Any, Any]:
    return {
        key: value.translate(_DELIVERED) if isinstance(value, str) else value
        for key, value in said.items()
    }


# ------------------------------------------------------------ course and task


def course_and_task(sourcedids: "pd.Series[str]") -> pd.DataFrame:
    """Which course and task each ``lis_result_sourcedid`` names, and which user.

    Open edX writes ``context:link:user``, each part URL-quoted, where the
    context holds colons of its own: so it is cut from the right, then unquoted.
    Moodle writes a JSON object, which some consumers escape for HTML or URLs. What
    cannot be cut (no text, fewer than two colons, an empty part, a broken object, a
    name that cannot be stored or is too long for an index) names no task.

    Args:
        sourcedids: Text or missing.

    Returns:
        ``course``, ``task``, ``sourcedid_user`` (text or None), by the same index.

    Source: the LTI consumers of Open edX (``lti_xblock.py``) and Moodle (``mod_lti``).
    """
    parts = [_cut(text) if isinstance(text, str) else (None, None, None) for text in sourcedids]
    columns = ["course", "task", "sourcedid_user"]
    return pd.DataFrame(parts, index=sourcedids.index, columns=columns, dtype=object)


def _cut(sourcedid: str) -> tuple[str | None, str | None, str | None]:
    said = _json_within(sourcedid)
    if said is not None:
        course, task, user = _cut_moodle(said)
    elif sourcedid.count(":") < 2:
        return None, None, None
    else:
        course, task, user = (
            unquote(part) if "%" in part else part for part in sourcedid.rsplit(":", 2)
        )
    if not (_is_name(course) and _is_name(task)):
        course = task = None
    return course, task, user or None


def _json_within(sourcedid: str) -> dict[Any, Any] | None:
    """The JSON object that the text spells, plain, HTML-escaped or URL-quoted.

    Empty for a broken object; None where the text spells none.
    """
    spellings = [text for text in _spellings(sourcedid) if text.startswith(("{", '"{'))]
    for text in spellings:
        said = _dict_within(_unquoted(text))
        if said is not None:
            return said
    return {} if spellings else None


def _spellings(text: str) -> Iterator[str]:
    """The text as it may have been meant, the likeliest first."""
    if not any(sign in text for sign in "{%&"):
        return
    escaped, quoted = unescape(text), unquote(text)
    for each in (text, escaped, quoted, unquote_plus(text), unescape(quoted), unquote(escaped)):
        yield each.strip().removeprefix("\ufeff").lstrip()


def _unquoted(text: str) -> str:
    """The text within, where the text is a JSON string itself."""
    if text.startswith('"'):
        with suppress(ValueError, RecursionError):
            return str(_LENIENT.decode(text))
    return text


def _cut_moodle(said: dict[Any, Any]) -> tuple[str | None, str | None, str | None]:
    data = said.get("data")
    if not isinstance(data, dict):
        return None, None, None
    instance, user = (_moodle_id(data.get(name)) for name in ("instanceid", "userid"))
    return "moodle", instance, user


def _moodle_id(value: object) -> str | None:
    is_id = isinstance(value, str | int) and not isinstance(value, bool)
    return str(value) if is_id else None


def _is_name(text: str | None) -> bool:
    if not text or not _is_storable(text):
        return False
    return len(text.encode()) <= MAX_NAME_BYTES


# ------------------------------------------------------------------- the rules


@dataclass(frozen=True)
class _Rows:
    """The records of one chunk as columns: one entry per record, in the order received."""

    records: list[bytes]
    tomorrow: datetime

    @cached_property
    def may_be_deep(self) -> list[bool]:
        return list(map(_may_be_deep, self.records))

    @cached_property
    def values(self) -> list[object]:
        return [
            _value(record, may_be_deep=may_be_deep)
            for record, may_be_deep in zip(self.records, self.may_be_deep, strict=True)
        ]

    @cached_property
    def is_object(self) -> Flags:
        return _flags(isinstance(value, dict) for value in self.values)

    @cached_property
    def objects(self) -> list[dict[str, Any]]:
        return [value if isinstance(value, dict) else {} for value in self.values]

    @cached_property
    def is_too_large(self) -> Flags:
        # An escape is at most six times as long as what was received.
        is_suspect = _flags(len(record) > MAX_RECORD_BYTES // 6 for record in self.records)
        return self._holds_of(is_suspect, lambda r: _compact_bytes(r) > MAX_RECORD_BYTES)

    @cached_property
    def is_too_deep(self) -> Flags:
        is_suspect = _flags(self.may_be_deep)
        return self._holds_of(is_suspect, lambda record: _depth(ascii_text(record)) > MAX_DEPTH)

    def _holds_of(self, is_suspect: Flags, holds: Callable[[bytes], bool]) -> Flags:
        flags = np.zeros(len(self.records), dtype=bool)
        for place in np.flatnonzero(is_suspect):
            flags[place] = holds(self.records[place])
        return flags

    def column(self, key: str) -> list[Any]:
        """What each record says under the key, None where it says nothing."""
        return [said.get(key) for said in self.objects]

    @cached_property
    def user_id(self) -> Objects:
        return _objects(self.column("lti_user_id"))

    @cached_property
    def is_user_id(self) -> Flags:
        return _flags(
            isinstance(user_id, str) and 0 < len(user_id) <= MAX_USER_ID_LENGTH
            for user_id in self.user_id
        )

    @cached_property
    def is_storable_user_id(self) -> Flags:
        odd = {u for u in set(self.user_id[self.is_user_id]) if not _is_storable(u)}
        if not odd:
            return np.ones(len(self.records), dtype=bool)
        return _flags(not (isinstance(u, str) and u in odd) for u in self.user_id)

    @cached_property
    def attempt_type(self) -> Objects:
        return _objects(self.column("attempt_type"))

    @cached_property
    def is_submit(self) -> Flags:
        return np.asarray(self.attempt_type == "submit", dtype=bool)

    @cached_property
    def is_run(self) -> Flags:
        return np.asarray(self.attempt_type == "run", dtype=bool)

    @cached_property
    def verdict(self) -> npt.NDArray[np.int64]:
        return np.array([_verdict(value) for value in self.column("is_correct")], dtype=np.int64)

    @cached_property
    def created_at(self) -> npt.NDArray[np.datetime64]:
        """Microseconds, naive UTC; NaT where it is no instant."""
        moments = [_moment(value) for value in self.column("created_at")]
        column = pa.array(moments, type=pa.timestamp("us")).to_numpy(zero_copy_only=False)
        return np.asarray(column, dtype="datetime64[us]")

    @cached_property
    def passback(self) -> "_Passbacks":
        return _Passbacks([_as_text(value) for value in self.column("passback_params")])

    @cached_property
    def reason(self) -> npt.NDArray[np.int64]:
        """Which of ``RULES`` is the first that the record breaks; -1 for none."""
        return np.select(
            [rule.is_broken(self) for rule in RULES], list(range(len(RULES))), default=-1
        )


class _Passbacks:
    """``passback_params`` of one chunk, each distinct text read once.

    A student's runs on one task carry the same text, so there are far fewer
    texts than attempts.
    """

    def __init__(self, texts: list[str | None]) -> None:
        codes, distinct = numbered(texts)
        # A missing text has the code -1, which is the place of the last row.
        self._codes = codes
        said = [*map(_passback, distinct), _Passback(True)]
        self._said = pd.DataFrame(
            [(p.is_readable, *(getattr(p, name) for name in PASSBACK_FIELDS)) for p in said],
            columns=["is_readable", *PASSBACK_FIELDS],
            dtype=object,
        )
        cut = course_and_task(self._said["lis_result_sourcedid"])
        is_named = self._said["oauth_consumer_key"].map(_fits_an_index).astype(bool)
        cut.loc[~is_named, ["course", "task"]] = None
        self._said = self._said.join(cut)

    def column(self, name: str) -> Objects:
        """The field of each record."""
        return self._said[name].to_numpy()[self._codes]

    def flags(self, name: str, holds: Callable[[Any], bool]) -> Flags:
        """For each record, what holds of its field."""
        return _flags(map(holds, self._said[name]))[self._codes]

    @cached_property
    def is_readable(self) -> Flags:
        return self._said["is_readable"].to_numpy(dtype=bool)[self._codes]

    @cached_property
    def fingerprint(self) -> npt.NDArray[np.int64]:
        """A number that differs where one of the three fields differs."""
        fields = self._said[list(PASSBACK_FIELDS)].itertuples(index=False, name=None)
        return np.fromiter(map(hash, fields), dtype=np.int64)[self._codes]


def _fits_an_index(consumer_key: str | None) -> bool:
    return not consumer_key or _is_name(consumer_key)


def _flags(values: Iterable[bool]) -> Flags:
    return np.fromiter(values, dtype=np.bool_)


def _objects(values: list[Any]) -> Objects:
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


@dataclass(frozen=True)
class Rule:
    """One thing that must hold of a record.

    Args:
        reason: The code under which a record that breaks it is set aside.
        field: The key of the record that breaks it, ``record`` for the whole.
        is_broken: For each row, whether it does.
    """

    reason: str
    field: str
    is_broken: Callable[[_Rows], Flags]


def _has_impossible_moment(rows: _Rows) -> Flags:
    is_possible = (rows.created_at >= np.datetime64(FIRST_MOMENT)) & (
        rows.created_at < np.datetime64(rows.tomorrow)
    )
    return ~is_possible


def _has_unstorable(name: str) -> Callable[[_Rows], Flags]:
    return lambda rows: ~rows.passback.flags(name, _is_storable)


RULES: Final = (
    Rule("not_an_object", "record", lambda rows: ~rows.is_object),
    Rule("too_large", "record", lambda rows: rows.is_too_large),
    Rule("too_deep", "record", lambda rows: rows.is_too_deep),
    Rule("user_id_invalid", "lti_user_id", lambda rows: ~rows.is_user_id),
    Rule("passback_params_invalid", "passback_params", lambda rows: ~rows.passback.is_readable),
    Rule("attempt_type_invalid", "attempt_type", lambda rows: ~(rows.is_run | rows.is_submit)),
    Rule("is_correct_invalid", "is_correct", lambda rows: rows.verdict == _UNKNOWN_VERDICT),
    Rule(
        "run_with_verdict", "is_correct", lambda rows: rows.is_run & (rows.verdict != _NO_VERDICT)
    ),
    Rule("created_at_invalid", "created_at", _has_impossible_moment),
    Rule("text_invalid", "lti_user_id", lambda rows: ~rows.is_storable_user_id),
    *(Rule("text_invalid", name, _has_unstorable(name)) for name in PASSBACK_FIELDS),
)


# ------------------------------------------------------------------- the fates


@dataclass(frozen=True)
class CleanedChunk:
    """What became of one chunk of records.

    Args:
        attempts: The attempts kept, in the order received; columns and types as
            ``schema.py`` declares them.
        rejected: A row per record rejected: ``reason``, ``field``, ``record``
            (the whole record as received, in printable ASCII).
        fates: How many met which fate; the attempts are ``unchanged`` until they are merged.
        watch: What is odd about them.
    """

    attempts: pd.DataFrame
    rejected: pd.DataFrame
    fates: Fates
    watch: Watch


def clean_day(
    chunks: Iterable[list[bytes]],
    *,
    window: Window,
    tomorrow: datetime,
    tombstones: Tombstones | None = None,
) -> Iterator[CleanedChunk]:
    """The attempts of one window, chunk by chunk, each once, and what became of the rest.

    A key met in an earlier chunk is known by its hash alone, about 24 bytes an
    attempt, so memory does not grow with the day.

    Args:
        chunks: Records as received; those of the quarantine will do as well.
        window: Half-open, UTC.
        tomorrow: The instant from which on an attempt cannot have been made yet.
        tombstones: Whose records are dropped wherever they come from.
    """
    seen = _Seen()
    for records in chunks:
        yield _cleaned(_Rows(records, tomorrow), window, tombstones, seen)


def _cleaned(
    rows: _Rows, window: Window, tombstones: Tombstones | None, seen: "_Seen"
) -> CleanedChunk:
    is_erased = _is_erased(rows, tombstones)
    is_rejected = ~is_erased & (rows.reason >= 0)
    is_good = ~is_erased & ~is_rejected
    is_inside = is_good & _is_inside(window, rows.created_at)
    inside = np.flatnonzero(is_inside)
    is_first, is_conflicting = seen.admit(_keys(rows, inside), _fingerprints(rows, inside))
    kept = inside[is_first]
    rejected = _rejected(rows, np.flatnonzero(is_rejected))
    fates = Fates(
        received=len(rows.records),
        unchanged=len(kept),
        duplicates=len(inside) - len(kept),
        conflicting=int(is_conflicting.sum()),
        outside_window=int((is_good & ~is_inside).sum()),
        erased=int(is_erased.sum()),
        rejected=dict(Counter(rejected["reason"])),
    )
    return CleanedChunk(
        attempts=_attempts(rows, kept),
        rejected=rejected,
        fates=fates,
        watch=_watched(rows, kept) + _drift(rows, ~is_erased),
    )


def _is_inside(window: Window, moments: npt.NDArray[np.datetime64]) -> Flags:
    return (moments >= np.datetime64(window.start)) & (moments < np.datetime64(window.end))


def _is_erased(rows: _Rows, tombstones: Tombstones | None) -> Flags:
    """Whose student asked to be forgotten, by either of the two ids that a record carries."""
    if tombstones is None:
        return np.zeros(len(rows.records), dtype=bool)
    user_ids = _objects([_as_text(user_id) for user_id in rows.user_id])
    return _is_covered(user_ids, tombstones) | _is_covered(
        rows.passback.column("sourcedid_user"), tombstones
    )


def _is_covered(user_ids: Objects, tombstones: Tombstones) -> Flags:
    codes, distinct = numbered(user_ids)
    # An id that cannot be stored was never anyone's, and could not be hashed.
    asked = _flags(map(_is_storable, distinct))
    covered = np.zeros(len(distinct) + 1, dtype=bool)
    storable = [user_id for user_id, is_asked in zip(distinct, asked, strict=True) if is_asked]
    answer = tombstones.covers(pd.Series(storable, dtype=object))
    covered[:-1][asked] = np.asarray(answer, dtype=bool)
    return covered[codes]


def _keys(rows: _Rows, places: npt.NDArray[np.intp]) -> npt.NDArray[np.bytes_]:
    """A 128-bit hash of each attempt's key: the user's hash, moved on by instant and type."""
    codes, distinct = numbered(rows.user_id[places])
    digests = b"".join(
        hashlib.blake2b(user_id.encode(), digest_size=16).digest() for user_id in distinct
    )
    keys = np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)[codes]
    instants = rows.created_at[places].astype(np.int64) * 2 + rows.is_submit[places]
    keys[:, 0] += instants.astype(np.uint64)
    return keys.view("S16").ravel()


def _fingerprints(rows: _Rows, places: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """A number that differs where anything but the key differs."""
    return rows.passback.fingerprint[places] * 3 + rows.verdict[places]


class _Seen:
    """The attempts kept so far, as hashes: of the key, and of the other fields."""

    def __init__(self) -> None:
        self._keys = np.empty(0, dtype="S16")
        self._fingerprints = np.empty(0, dtype=np.int64)

    def admit(
        self, keys: npt.NDArray[np.bytes_], fingerprints: npt.NDArray[np.int64]
    ) -> tuple[Flags, Flags]:
        """Which are the first of their key, and which of the others differ from that first."""
        distinct, first, which = np.unique(keys, return_index=True, return_inverse=True)
        place = np.searchsorted(self._keys, distinct)
        is_known = place < len(self._keys)
        is_known[is_known] = self._keys[place[is_known]] == distinct[is_known]
        original = fingerprints[first]
        original[is_known] = self._fingerprints[place[is_known]]
        is_first = np.zeros(len(keys), dtype=bool)
        is_first[first[~is_known]] = True
        new = place[~is_known]
        self._keys = np.insert(self._keys, new, distinct[~is_known])
        self._fingerprints = np.insert(self._fingerprints, new, original[~is_known])
        return is_first, ~is_first & (fingerprints != original[which])


def _attempts(rows: _Rows, places: npt.NDArray[np.intp]) -> pd.DataFrame:
    verdict = rows.verdict[places]
    said = {
        name: pd.array(rows.passback.column(name)[places], dtype=_TEXT)
        for name in (*PASSBACK_FIELDS, "course", "task")
    }
    return pd.DataFrame(
        {
            "user_id": pd.array(rows.user_id[places], dtype=_TEXT),
            **{name: said[name] for name in PASSBACK_FIELDS},
            "is_correct": pd.arrays.BooleanArray(verdict == 1, verdict == _NO_VERDICT),
            "attempt_type": pd.array(rows.attempt_type[places], dtype=_TEXT),
            "created_at": rows.created_at[places],
            "course": said["course"],
            "task": said["task"],
        }
    )


def _rejected(rows: _Rows, places: npt.NDArray[np.intp]) -> pd.DataFrame:
    broken = [RULES[rows.reason[place]] for place in places]
    columns = {
        "reason": [rule.reason for rule in broken],
        "field": [rule.field for rule in broken],
        "record": [ascii_text(rows.records[place]) for place in places],
    }
    return pd.DataFrame(columns, dtype=_TEXT)


def _watched(rows: _Rows, kept: npt.NDArray[np.intp]) -> Watch:
    """What is odd about the attempts kept."""
    user = rows.passback.column("sourcedid_user")[kept]
    is_said = [pd.notna(rows.passback.column(name)[kept]) for name in PASSBACK_FIELDS]
    return Watch(
        ungraded=int((rows.is_submit & (rows.verdict == _NO_VERDICT))[kept].sum()),
        user_mismatch=int((pd.notna(user) & (user != rows.user_id[kept])).sum()),
        without_task=int(pd.isna(rows.passback.column("task")[kept]).sum()),
        null_passback=int((~np.any(is_said, axis=0)).sum()),
    )


def _drift(rows: _Rows, is_counted: Flags) -> Watch:
    """Keys and attempt types that the contract does not know."""
    keys: Counter[str] = Counter()
    said = [rows.objects[place] for place in np.flatnonzero(is_counted)]
    for names, count in Counter(map(tuple, said)).items():
        keys.update({printable_name(name): count for name in names if name not in KNOWN_KEYS})
    is_odd = is_counted & rows.is_object & ~(rows.is_run | rows.is_submit)
    kinds = Counter(printable_name(_as_text(kind) or "null") for kind in rows.attempt_type[is_odd])
    return Watch(unknown_keys=few_names(keys), unknown_attempt_types=few_names(kinds))
