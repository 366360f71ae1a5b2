"""Erased students: their tombstones, and the records that must be dropped.

A tombstone is a keyed hash of a user id in the table ``tombstones``. Pulls, replays, adoptions and
restores drop the records of students with a tombstone. Nobody can read the user id from the hash.
Each tombstone also has a check value of its key; ``keys.py`` describes the key.

A process that reads the tombstones to store records shares the lock ``TOMBSTONES`` until the
records are stored. An erasure adds its tombstone while it alone holds this lock. So each record is
stored either by a process that knows the tombstone, or before the erasure searches for records.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

import dagster as dg
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field
from sqlalchemy import Connection, text

from lms_assets.attempts.cleaning import (
    MAX_USER_ID_LENGTH,
    Rows,
    Tombstones,
    broken_rules,
    cut_sourcedid,
    is_erased,
    record_chunks,
)
from lms_assets.attempts.keys import given_key, hash_of, key_in, key_made_in
from lms_assets.attempts.ledger import Pull
from lms_assets.faults import PermanentFault
from lms_assets.locks import Lock, hold, share, share_in_session, wait_for
from lms_assets.resources.lake import Lake
from lms_assets.resources.records import ascii_text
from lms_assets.resources.warehouse import Warehouse

Flags = npt.NDArray[np.bool_]

# A shorter id may be a part of another text. A word of this length or more is the id itself.
UNMISTAKABLE_LENGTH = 16
_WORDS = (
    re.compile(rf"[0-9A-Za-z]{{{UNMISTAKABLE_LENGTH},{MAX_USER_ID_LENGTH}}}"),
    re.compile(rf"[0-9A-Za-z_.@+-]{{{UNMISTAKABLE_LENGTH},{MAX_USER_ID_LENGTH}}}"),
)

# A day of a million records takes a minute to clean and merge, and several may come first.
WAIT = "15min"


class HashedTombstones:
    """The erased students, as keyed hashes.

    Args:
        hashes: Key → the hashes that were made with it.
    """

    def __init__(self, hashes: Mapping[bytes, Collection[str]]) -> None:
        self._hashes = {key: frozenset(of_key) for key, of_key in hashes.items()}

    def erased_among(self, user_ids: Collection[str]) -> set[str]:
        """The user ids of erased students, out of the given ones."""
        return set(filter(self._has, user_ids))

    def _has(self, user_id: str) -> bool:
        return any(hash_of(key, user_id) in hashes for key, hashes in self._hashes.items())


class Erasure(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The erased students, and the keys of their tombstones.

    Args:
        key_file: The file with a key. It is made at the first erasure if ``key`` is not set.
        key: LMS_KEY, the key for new tombstones. The key in the file is still used for tombstones
            that were made with it.
    """

    key_file: str
    key: str = Field(default="", repr=False, json_schema_extra={"dagster__is_secret": True})

    def tombstones(self, warehouse: Warehouse) -> Tombstones | None:
        """The erased students; None if there are none. For callers that store no records.

        Raises:
            PermanentFault: As :meth:`tombstones_of`.
        """
        with warehouse.begin() as connection:
            return self.tombstones_of(connection)

    @contextmanager
    def while_storing(self, warehouse: Warehouse) -> Iterator[Tombstones | None]:
        """The erased students; until the block ends, no erasure adds one.

        Do not nest the blocks: the inner block may wait for an erasure that waits for the outer.

        Raises:
            PermanentFault: As :meth:`tombstones_of`.
        """
        with warehouse.session() as session:
            wait_for(session, WAIT, in_session=True)
            share_in_session(session, Lock.TOMBSTONES)
            tombstones = self.tombstones_of(session)
            yield tombstones

    def until_commit(self, connection: Connection) -> Tombstones | None:
        """The erased students; until this transaction ends, no erasure adds one.

        Raises:
            PermanentFault: As :meth:`tombstones_of`.
        """
        wait_for(connection, WAIT)
        share(connection, Lock.TOMBSTONES)
        return self.tombstones_of(connection)

    def tombstones_of(self, connection: Connection) -> Tombstones | None:
        """The erased students; None if there are none.

        Raises:
            PermanentFault: ``erasure.key_missing``, ``erasure.key_other``: a tombstone was made
                with a key that is not known here. Records of erased students could not be
                recognised, so nothing may be loaded.
        """
        keys = {hash_of(key, ""): key for key in self.known_keys()}
        hashes: dict[bytes, set[str]] = {key: set() for key in keys.values()}
        rows = connection.execute(text("select hash, key_check from tombstones")).tuples().all()
        for hashed, check in rows:
            if check not in keys:
                code = "erasure.key_other" if keys else "erasure.key_missing"
                raise PermanentFault(code, key_file=self.key_file)
            hashes[keys[check]].add(hashed)
        return HashedTombstones(hashes) if rows else None

    def known_keys(self) -> list[bytes]:
        """The keys of LMS_KEY and of the file; the key for new tombstones is first."""
        given = [given_key(self.key)] if self.key else []
        in_file = key_in(Path(self.key_file))
        return given + ([in_file] if in_file and in_file not in given else [])

    def add_tombstone(self, connection: Connection, user_id: str) -> str:
        """The student has a tombstone once the caller's transaction commits.

        From then on the student's records are dropped. The transaction holds the lock until then.

        Returns:
            The student's hash.

        Raises:
            PermanentFault: As :meth:`tombstones_of`.
        """
        wait_for(connection, WAIT)
        hold(connection, Lock.TOMBSTONES)
        # Raises if the key of an earlier tombstone is missing, before a new key is made.
        self.tombstones_of(connection)
        key = given_key(self.key) if self.key else key_made_in(Path(self.key_file))
        values = {"hash": hash_of(key, user_id), "check": hash_of(key, "")}
        statement = "insert into tombstones (hash, key_check) values (:hash, :check)"
        connection.execute(text(f"{statement} on conflict do nothing"), values)
        return values["hash"]


def records_of_erased(
    records: list[bytes], tombstones: Tombstones, *, mention: re.Pattern[str] | None = None
) -> Flags:
    """Which of the records belong to an erased student.

    These are the records that cleaning would drop. In a record that breaks a rule, the two places
    of the id may be unreadable. Such a record also belongs to the student if the id stands
    anywhere in it as a word of at least UNMISTAKABLE_LENGTH characters.

    Args:
        records: The records as received.
        tombstones: The erased students.
        mention: A pattern that finds the id of the one student in a text. If it is left out, each
            long word of the text is looked up in ``tombstones``.
    """
    rows = Rows(records, datetime.max)  # noqa: DTZ901 - no rule about the future here
    is_of_erased = is_erased(rows, tombstones)
    for place in np.flatnonzero(~is_of_erased & (broken_rules(rows) >= 0)):
        record = ascii_text(records[place])
        if mention:
            is_of_erased[place] = mention.search(record) is not None
        else:
            is_of_erased[place] = _mentions_erased(record, tombstones)
    return is_of_erased


def _mentions_erased(record: str, tombstones: Tombstones) -> bool:
    words = {word for spelling in _WORDS for word in spelling.findall(record)}
    return bool(tombstones.erased_among(words))


@dataclass(frozen=True)
class CopyCounts:
    """The number of records in the copy of an array, and of those that were left out."""

    kept: int
    dropped: int


def copy_without(
    source: BinaryIO, sink: BinaryIO, is_dropped: Callable[[list[bytes]], Flags]
) -> CopyCounts:
    """The sink holds the array without the dropped records; all others are equal byte for byte.

    Args:
        source: The bytes of a JSON array.
        sink: A writable stream.
        is_dropped: For the records of a chunk, which of them are left out.

    Raises:
        NotAnArray: The source is not one JSON array.
    """
    kept = dropped = 0
    sink.write(b"[")
    for records in record_chunks(source):
        for record, is_left_out in zip(records, is_dropped(records), strict=True):
            if is_left_out:
                dropped += 1
                continue
            sink.write(b"," + record if kept else record)
            kept += 1
    sink.write(b"]")
    return CopyCounts(kept, dropped)


def drop_erased(body: Path, tombstones: Tombstones | None) -> int:
    """The file holds no record of an erased student; all other records are unchanged.

    An answer of the API goes through here before it is stored in the lake.

    Args:
        body: A file with one JSON array. It is rewritten only if a record is dropped.
        tombstones: The erased students; None if there are none.

    Returns:
        The number of dropped records.

    Raises:
        NotAnArray: The file is not one JSON array.
    """
    if tombstones is None:
        return 0
    kept = body.with_name(f"{body.name}.kept")
    with body.open("rb") as received, kept.open("wb") as sink:
        copied = copy_without(received, sink, lambda rs: records_of_erased(rs, tombstones))
    if copied.dropped:
        kept.replace(body)
    else:
        kept.unlink()
    return copied.dropped


@dataclass(frozen=True)
class RemainingDay:
    """A cleaned day without the records of students who were erased after the cleaning.

    Attributes:
        pull: The pull, whose fates count these records as erased.
        attempts: The remaining attempts.
        rejected: The remaining rejected records.
    """

    pull: Pull
    attempts: Callable[[], Iterator[pa.RecordBatch]]
    rejected: Callable[[], Iterator[pa.RecordBatch]]


def without_erased(pull: Pull, lake: Lake, tombstones: Tombstones | None) -> RemainingDay:
    """The day without the records of erased students; the objects in the lake are not changed."""

    def batches(
        key: str, of_erased: Callable[[pa.RecordBatch, Tombstones], Flags]
    ) -> Iterator[pa.RecordBatch]:
        for batch in lake.batches(key):
            if tombstones is None:
                yield batch
            else:
                yield batch.filter(pa.array(~of_erased(batch, tombstones)))

    attempts = partial(batches, pull.attempts_key, attempts_of_erased)
    rejected = partial(batches, pull.rejected_key, _rejected_of_erased)
    if tombstones is None:
        return RemainingDay(pull, attempts, rejected)
    reasons: Counter[str] = Counter()
    for batch in rejected() if pull.rejected_key else ():
        reasons.update(batch.column("reason").to_pylist())
    kept = sum(batch.num_rows for batch in attempts()) if pull.attempts_key else 0
    return RemainingDay(recounted(pull, kept=kept, rejected=reasons), attempts, rejected)


def recounted(pull: Pull, *, kept: int, rejected: Mapping[str, int]) -> Pull:
    """The pull with the counts of its remaining records; all other records count as erased.

    Args:
        pull: The pull as it was cleaned.
        kept: The number of remaining attempts.
        rejected: Reason → number of remaining rejected records.
    """
    known = kept + sum(rejected.values()) + pull.fates.duplicates + pull.fates.outside_window
    erased = pull.fates.received - known
    fates = replace(pull.fates, unchanged=kept, rejected=dict(rejected), erased=erased)
    return replace(pull, fates=fates)


def attempts_of_erased(batch: pa.RecordBatch, tombstones: Tombstones) -> Flags:
    """Which clean attempts belong to an erased student, by ``user_id`` or by the sourcedid."""
    users = batch.column("user_id")
    sourcedids = batch.column("lis_result_sourcedid")
    erased = tombstones.erased_among(users.unique().to_pylist())
    distinct = sourcedids.drop_null().unique().to_pylist()
    return _is_in(users, erased) | _is_in(sourcedids, sourcedids_of_erased(distinct, tombstones))


def sourcedids_of_erased(texts: Collection[str], tombstones: Tombstones) -> set[str]:
    """The texts of ``lis_result_sourcedid`` that name an erased student, out of the given ones."""
    users = {text: cut_sourcedid(text).user for text in texts}
    erased = tombstones.erased_among(set(filter(None, users.values())))
    return {text for text, user in users.items() if user in erased}


def _is_in(column: pa.Array, texts: Collection[str]) -> Flags:
    is_in = pc.is_in(column, pa.array(list(texts), pa.string()))
    return np.asarray(is_in.to_numpy(zero_copy_only=False), dtype=bool)


def _rejected_of_erased(batch: pa.RecordBatch, tombstones: Tombstones) -> Flags:
    records = [record.encode() for record in batch.column("record").to_pylist()]
    return records_of_erased(records, tombstones) if records else np.zeros(0, dtype=bool)
