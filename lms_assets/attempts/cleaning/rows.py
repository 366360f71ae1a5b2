"""The records of one chunk as columns: what each record says, each text looked at once."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from lms_assets.attempts.cleaning.fields import as_text, is_storable, moment_of, verdict_of
from lms_assets.attempts.cleaning.passback import PASSBACK_FIELDS, Passback, passback_of
from lms_assets.attempts.cleaning.reading import (
    MAX_DEPTH,
    MAX_RECORD_BYTES,
    compact_bytes,
    depth_of,
    may_be_deep,
    value_of,
)
from lms_assets.attempts.cleaning.sourcedid import course_and_task, is_name
from lms_assets.attempts.distinct import numbered
from lms_assets.resources.records import ascii_text

MAX_USER_ID_LENGTH: Final = 255

Flags = npt.NDArray[np.bool_]
Objects = npt.NDArray[np.object_]


@dataclass(frozen=True)
class Rows:
    """The records of one chunk as columns: one entry per record, in the order received."""

    records: list[bytes]
    tomorrow: datetime

    @cached_property
    def may_be_deep(self) -> list[bool]:
        """Which records could nest too deep."""
        return list(map(may_be_deep, self.records))

    @cached_property
    def values(self) -> list[object]:
        """What each record says; None where it is no JSON."""
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
        """What each record says; empty where it is no object."""
        return [value if isinstance(value, dict) else {} for value in self.values]

    @cached_property
    def is_too_large(self) -> Flags:
        """Which records are longer than 64 KiB as compact UTF-8."""
        # An escape is at most six times as long as what was received.
        is_suspect = flags_of(len(record) > MAX_RECORD_BYTES // 6 for record in self.records)
        return self._holds_of(is_suspect, lambda r: compact_bytes(r) > MAX_RECORD_BYTES)

    @cached_property
    def is_too_deep(self) -> Flags:
        """Which records nest deeper than allowed."""
        is_suspect = flags_of(self.may_be_deep)
        return self._holds_of(is_suspect, lambda record: depth_of(ascii_text(record)) > MAX_DEPTH)

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
        """What each record says under ``lti_user_id``."""
        return objects_of(self.column("lti_user_id"))

    @cached_property
    def is_user_id(self) -> Flags:
        """Which of them are texts of 1 to 255 characters."""
        return flags_of(
            isinstance(user_id, str) and 0 < len(user_id) <= MAX_USER_ID_LENGTH
            for user_id in self.user_id
        )

    @cached_property
    def is_storable_user_id(self) -> Flags:
        """Which of them PostgreSQL can store."""
        odd = {u for u in set(self.user_id[self.is_user_id]) if not is_storable(u)}
        if not odd:
            return np.ones(len(self.records), dtype=bool)
        return flags_of(not (isinstance(u, str) and u in odd) for u in self.user_id)

    @cached_property
    def attempt_type(self) -> Objects:
        """What each record says under ``attempt_type``."""
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
        """-1 no verdict, 0 wrong, 1 correct, 2 unknown."""
        return np.array([verdict_of(value) for value in self.column("is_correct")], dtype=np.int64)

    @cached_property
    def created_at(self) -> npt.NDArray[np.datetime64]:
        """Microseconds, naive UTC; NaT where it is no instant."""
        moments = [moment_of(value) for value in self.column("created_at")]
        column = pa.array(moments, type=pa.timestamp("us")).to_numpy(zero_copy_only=False)
        return np.asarray(column, dtype="datetime64[us]")

    @cached_property
    def passback(self) -> "Passbacks":
        """What each record says under ``passback_params``, read."""
        return Passbacks([as_text(value) for value in self.column("passback_params")])


class Passbacks:
    """``passback_params`` of one chunk, each distinct text read once.

    A student's runs on one task carry the same text, so there are far fewer
    texts than attempts.
    """

    def __init__(self, texts: list[str | None]) -> None:
        codes, distinct = numbered(texts)
        # A missing text has the code -1, which is the place of the last row.
        self._codes = codes
        said = [*map(passback_of, distinct), Passback(True)]
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
        return flags_of(map(holds, self._said[name]))[self._codes]

    @cached_property
    def is_readable(self) -> Flags:
        """Which of the texts can be read."""
        return self._said["is_readable"].to_numpy(dtype=bool)[self._codes]

    @cached_property
    def fingerprint(self) -> npt.NDArray[np.int64]:
        """A number that differs where one of the three fields differs."""
        fields = self._said[list(PASSBACK_FIELDS)].itertuples(index=False, name=None)
        return np.fromiter(map(hash, fields), dtype=np.int64)[self._codes]


def _fits_an_index(consumer_key: str | None) -> bool:
    return not consumer_key or is_name(consumer_key)


def flags_of(values: Iterable[bool]) -> Flags:
    """The flags as one column."""
    return np.fromiter(values, dtype=np.bool_)


def objects_of(values: list[Any]) -> Objects:
    """The values as one column of objects, whatever they are."""
    column = np.empty(len(values), dtype=object)
    column[:] = values
    return column
