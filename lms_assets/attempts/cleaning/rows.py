"""The records of one chunk as columns; each distinct text is looked at once.

``UsualRows`` reads the records that ``Record`` can decode, which are most. ``Rows`` reads any
bytes.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lms_assets.attempts.cleaning.fields import (
    CORRECT,
    NO_VERDICT,
    VERDICTS,
    as_text,
    is_storable,
    moment_of,
    verdict_of,
)
from lms_assets.attempts.cleaning.moments import Moments, moments_of
from lms_assets.attempts.cleaning.passbacks import Passbacks
from lms_assets.attempts.cleaning.reading import (
    MAX_DEPTH,
    MAX_RECORD_BYTES,
    compact_bytes,
    depth_of,
    may_be_deep,
    value_of,
)
from lms_assets.attempts.columns import MAX_USER_ID_LENGTH
from lms_assets.attempts.distinct import Texts, array_of
from lms_assets.resources.records import ascii_text

Flags = npt.NDArray[np.bool_]
Objects = npt.NDArray[np.object_]
Places = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Rows:
    """The records of one chunk as columns: one entry per record, in the order received.

    Attributes:
        records: The bytes of each record.
        tomorrow: Naive UTC. A record made at this instant or later breaks a rule.
    """

    records: list[bytes]
    tomorrow: datetime

    @cached_property
    def may_be_deep(self) -> list[bool]:
        """Which records have so many brackets that they could be too deep."""
        return list(map(may_be_deep, self.records))

    @cached_property
    def values(self) -> list[object]:
        """The JSON value of each record; None if it is not JSON."""
        return [
            value_of(record, may_be_deep=may_be_deep)
            for record, may_be_deep in zip(self.records, self.may_be_deep, strict=True)
        ]

    @cached_property
    def is_object(self) -> Flags:
        """Which records are JSON objects."""
        return flags_of(isinstance(value, dict) for value in self.values)

    @cached_property
    def objects(self) -> list[dict[str, Any]]:
        """The JSON object of each record; empty if it is not an object."""
        return [value if isinstance(value, dict) else {} for value in self.values]

    @cached_property
    def is_too_large(self) -> Flags:
        """Which records are longer than 64 KiB as compact UTF-8."""
        # Compact UTF-8 is at most six times as long as the bytes received.
        is_suspect = flags_of(len(record) > MAX_RECORD_BYTES // 6 for record in self.records)
        return self._holds_of(is_suspect, lambda r: compact_bytes(r) > MAX_RECORD_BYTES)

    @cached_property
    def is_too_deep(self) -> Flags:
        """Which records have more than MAX_DEPTH nested containers."""
        is_suspect = flags_of(self.may_be_deep)
        return self._holds_of(is_suspect, lambda record: depth_of(ascii_text(record)) > MAX_DEPTH)

    def _holds_of(self, is_suspect: Flags, holds: Callable[[bytes], bool]) -> Flags:
        flags = np.zeros(len(self.records), dtype=bool)
        for place in np.flatnonzero(is_suspect):
            flags[place] = holds(self.records[place])
        return flags

    def column(self, key: str) -> list[Any]:
        """Each record's value under the key; None if it has none."""
        return [value.get(key) for value in self.objects]

    @cached_property
    def user(self) -> Texts:
        """The ``lti_user_id`` of each record; as JSON if it is not a text."""
        return Texts.of(map(as_text, self.column("lti_user_id")))

    @cached_property
    def is_user_id(self) -> Flags:
        """Which records have a ``lti_user_id`` of 1 to 255 characters."""
        return flags_of(
            isinstance(user_id, str) and _is_user_id(user_id)
            for user_id in self.column("lti_user_id")
        )

    @cached_property
    def attempt_type(self) -> Objects:
        """The ``attempt_type`` of each record."""
        return objects_of(self.column("attempt_type"))

    @cached_property
    def is_submit(self) -> Flags:
        """Which records are submits."""
        return np.asarray(self.attempt_type == "submit", dtype=bool)

    @cached_property
    def is_run(self) -> Flags:
        """Which records are runs."""
        return np.asarray(self.attempt_type == "run", dtype=bool)

    @cached_property
    def verdict(self) -> npt.NDArray[np.int64]:
        """The verdict of each record: -1 no verdict, 0 wrong, 1 correct, 2 not a verdict."""
        return np.array([verdict_of(value) for value in self.column("is_correct")], dtype=np.int64)

    @cached_property
    def created_at(self) -> npt.NDArray[np.datetime64]:
        """The ``created_at`` of each record in naive UTC, microseconds; NaT if it is no instant."""
        moments = [moment_of(value) for value in self.column("created_at")]
        column = pa.array(moments, type=pa.timestamp("us")).to_numpy(zero_copy_only=False)
        return np.asarray(column, dtype="datetime64[us]")

    @cached_property
    def passback(self) -> Passbacks:
        """The fields of each record's ``passback_params``."""
        return Passbacks(Texts.of(map(as_text, self.column("passback_params"))))

    @cached_property
    def fingerprint(self) -> npt.NDArray[np.int64]:
        """A number per record, equal for attempts that agree in all fields beside the key."""
        return self.passback.fingerprint * 3 + self.verdict

    def is_storable(self, name: str) -> Flags:
        """Which records' text for a column PostgreSQL can store; True where it is missing."""
        match name:
            case "user_id":
                return self.user.flags(is_storable, missing=True)
            case _:
                return self.passback.is_storable(name)

    def array(self, name: str, places: Places) -> pa.Array:
        """A column of ``columns.py`` for the records at the given places."""
        match name:
            case "user_id":
                return self.user.array(places)
            case "attempt_type":
                return array_of(["run", "submit"], self.is_submit[places].astype(np.int8))
            case "is_correct":
                verdict = self.verdict[places]
                return pa.array(verdict == CORRECT, mask=verdict == NO_VERDICT)
            case "created_at":
                return pa.array(self.created_at[places])
            case _:
                return self.passback.array(name, places)


def _is_user_id(text: str) -> bool:
    return 0 < len(text) <= MAX_USER_ID_LENGTH


def flags_of(values: Iterable[bool]) -> Flags:
    """The flags as one column."""
    return np.fromiter(values, dtype=np.bool_)


def objects_of(values: list[Any]) -> Objects:
    """The values as one column of objects."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column


class Record(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A record of the usual kind: it has known keys only, and each value has the usual type."""

    lti_user_id: str
    attempt_type: Literal["run", "submit"]
    created_at: str
    passback_params: str | None = None
    is_correct: Literal[0, 1, None] | bool = None


@dataclass(frozen=True)
class UsualRows(Rows):
    """Records of the usual kind as columns, equal to ``Rows`` of the same records but faster.

    Attributes:
        decoded: The decoded records.
    """

    decoded: list[Record] = field(kw_only=True)

    @cached_property
    def is_object(self) -> Flags:
        """Always True."""
        return np.ones(len(self.decoded), dtype=bool)

    @cached_property
    def is_too_large(self) -> Flags:
        """Always False: ``usual_among`` takes short records only."""
        return np.zeros(len(self.decoded), dtype=bool)

    @cached_property
    def is_too_deep(self) -> Flags:
        """Always False: no field of ``Record`` holds a container."""
        return self.is_too_large

    @cached_property
    def user(self) -> Texts:
        """The ``lti_user_id`` of each record."""
        return Texts.of([record.lti_user_id for record in self.decoded])

    @cached_property
    def is_user_id(self) -> Flags:
        """Which records have a ``lti_user_id`` of 1 to 255 characters."""
        return self.user.flags(_is_user_id, missing=False)

    @cached_property
    def is_run(self) -> Flags:
        """Which records are runs."""
        kinds = [record.attempt_type for record in self.decoded]
        return np.fromiter(map("run".__eq__, kinds), dtype=np.bool_, count=len(kinds))

    @cached_property
    def is_submit(self) -> Flags:
        """Which records are submits."""
        return ~self.is_run

    @cached_property
    def verdict(self) -> npt.NDArray[np.int64]:
        """The verdict of each record: -1 no verdict, 0 wrong, 1 correct."""
        verdicts = [record.is_correct for record in self.decoded]
        return np.fromiter(map(VERDICTS.__getitem__, verdicts), np.int64, count=len(verdicts))

    @cached_property
    def created_at(self) -> Moments:
        """The ``created_at`` of each record in naive UTC, microseconds; NaT if it is no instant."""
        return moments_of([record.created_at for record in self.decoded])

    @cached_property
    def passback(self) -> Passbacks:
        """The fields of each record's ``passback_params``."""
        return Passbacks(Texts.of([record.passback_params for record in self.decoded]))


# A longer record may be larger than MAX_RECORD_BYTES as compact UTF-8; ``Rows`` measures it.
_USUAL_BYTES = MAX_RECORD_BYTES // 6
_USUAL = msgspec.json.Decoder(Record)


def _without_long(records: list[bytes]) -> list[bytes]:
    """The records; instead of each long one, bytes that cannot be decoded."""
    if max(map(len, records), default=0) <= _USUAL_BYTES:
        return records
    return [record if len(record) <= _USUAL_BYTES else b"" for record in records]


def usual_among(records: list[bytes]) -> tuple[list[Record], list[int]]:
    """The decoded records of the usual kind in order, and the places of all other records."""
    usual: list[Record] = []
    others: list[int] = []
    decoded = map(_USUAL.decode, _without_long(records))
    while len(usual) + len(others) < len(records):
        try:
            # The loop in C stops at a record of another kind; those before it are in the list.
            usual.extend(decoded)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            others.append(len(usual) + len(others))
    return usual, others
