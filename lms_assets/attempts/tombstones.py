"""Who was erased: what the way of a record needs to know of it.

    tombstone   a keyed hash of the user id, in the table ``tombstones``: whom pulls, replays,
                adoptions and restores drop, though nobody can read from it whom
    key         see ``keys.py``; each tombstone says by which key it was made

Whoever reads the tombstones in order to store records shares the lock ``TOMBSTONES`` until the
records are stored, and an erasure adds its tombstone while it holds that lock alone. So records
are stored either by somebody who knows the tombstone, or before the erasure looks for them.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
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

# Shorter ids may be a part of anything; a longer one that stands alone is that id.
UNMISTAKABLE_LENGTH = 16
_WORDS = (
    re.compile(rf"[0-9A-Za-z]{{{UNMISTAKABLE_LENGTH},{MAX_USER_ID_LENGTH}}}"),
    re.compile(rf"[0-9A-Za-z_.@+-]{{{UNMISTAKABLE_LENGTH},{MAX_USER_ID_LENGTH}}}"),
)

# A day of a million records is cleaned and merged in a minute, and a pull may wait for several.
WAIT = "15min"


class HashedTombstones:
    """Who was erased, known by keyed hashes alone.

    Args:
        hashes: Key → what stands for the students who were erased by it.
    """

    def __init__(self, hashes: Mapping[bytes, Collection[str]]) -> None:
        self._hashes = {key: frozenset(of_key) for key, of_key in hashes.items()}

    def erased_among(self, user_ids: Collection[str]) -> set[str]:
        """Those of the user ids whose student was erased."""
        return set(filter(self._has, user_ids))

    def _has(self, user_id: str) -> bool:
        return any(hash_of(key, user_id) in hashes for key, hashes in self._hashes.items())


class Erasure(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Who was erased, and the keys that know them again.

    Args:
        key_file: Where a key lies; made when the first student is erased and ``key`` is not set.
        key: LMS_KEY; the file's key goes on knowing those who were erased by it.
    """

    key_file: str
    key: str = Field(default="", repr=False, json_schema_extra={"dagster__is_secret": True})

    def tombstones(self, warehouse: Warehouse) -> Tombstones | None:
        """Whom to drop, or None when nobody was ever erased; for those who store nothing.

        Raises:
            PermanentFault: As :meth:`tombstones_of`.
        """
        with warehouse.begin() as connection:
            return self.tombstones_of(connection)

    @contextmanager
    def while_storing(self, warehouse: Warehouse) -> Iterator[Tombstones | None]:
        """Whom to drop; nobody else is erased before the block has stored what it makes.

        Blocks must not be nested: the inner one may wait for an erasure that waits for the outer.

        Raises:
            PermanentFault: As :meth:`tombstones_of`.
        """
        with warehouse.session() as session:
            wait_for(session, WAIT, in_session=True)
            share_in_session(session, Lock.TOMBSTONES)
            tombstones = self.tombstones_of(session)
            yield tombstones

    def until_commit(self, connection: Connection) -> Tombstones | None:
        """Whom to drop; nobody else is erased before this transaction has ended.

        Raises:
            PermanentFault: As :meth:`tombstones_of`.
        """
        wait_for(connection, WAIT)
        share(connection, Lock.TOMBSTONES)
        return self.tombstones_of(connection)

    def tombstones_of(self, connection: Connection) -> Tombstones | None:
        """Whom to drop, or None when nobody was ever erased.

        Raises:
            PermanentFault: A key is gone, or is another one: nobody may then be loaded, since
                those who were erased could come back.
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
        """The keys that are known here, the one for new tombstones first."""
        given = [given_key(self.key)] if self.key else []
        in_file = key_in(Path(self.key_file))
        return given + ([in_file] if in_file and in_file not in given else [])

    def bury(self, connection: Connection, user_id: str) -> str:
        """From this transaction's end on everybody drops the student's records.

        Returns:
            The student's hash.

        Raises:
            PermanentFault: As :meth:`tombstones_of`.
        """
        wait_for(connection, WAIT)
        hold(connection, Lock.TOMBSTONES)
        # With a key missing, those who were erased before would not be known again.
        self.tombstones_of(connection)
        key = given_key(self.key) if self.key else key_made_in(Path(self.key_file))
        values = {"hash": hash_of(key, user_id), "check": hash_of(key, "")}
        statement = "insert into tombstones (hash, key_check) values (:hash, :check)"
        connection.execute(text(f"{statement} on conflict do nothing"), values)
        return values["hash"]


def whose(
    records: list[bytes], tombstones: Tombstones, *, mention: re.Pattern[str] | None = None
) -> Flags:
    """Which of the records are an erased student's.

    Those that cleaning would drop. Where the rules refuse a record, it may be impossible to read
    whose it is: it is a student's, too, if their id stands in it and cannot be mistaken for
    anything else.

    Args:
        records: As received.
        tombstones: Whose records they may be.
        mention: How the id stands in a text, where it is known; else each word is asked about.
    """
    rows = Rows(records, datetime.max)  # noqa: DTZ901 - no instant is too late here
    is_erased_students = is_erased(rows, tombstones)
    for place in np.flatnonzero(~is_erased_students & (broken_rules(rows) >= 0)):
        record = ascii_text(records[place])
        if mention:
            is_erased_students[place] = mention.search(record) is not None
        else:
            is_erased_students[place] = _names_anyone(record, tombstones)
    return is_erased_students


def _names_anyone(record: str, tombstones: Tombstones) -> bool:
    words = {word for spelling in _WORDS for word in spelling.findall(record)}
    return bool(tombstones.erased_among(words))


@dataclass(frozen=True)
class Copied:
    """How many records of an array went into its copy, and how many did not."""

    kept: int
    dropped: int


def copy_without(
    source: BinaryIO, sink: BinaryIO, is_dropped: Callable[[list[bytes]], Flags]
) -> Copied:
    """The JSON array without some of its records; the others as they were, byte for byte.

    Raises:
        NotAnArray: It is something else.
    """
    kept = dropped = 0
    sink.write(b"[")
    for records in record_chunks(source):
        for record, goes in zip(records, is_dropped(records), strict=True):
            if goes:
                dropped += 1
                continue
            sink.write(b"," + record if kept else record)
            kept += 1
    sink.write(b"]")
    return Copied(kept, dropped)


def drop_erased(body: Path, tombstones: Tombstones | None) -> int:
    """The body holds no record of an erased student; all others stay byte for byte.

    For an answer of the API before it goes into the lake: what is not stored need
    not be erased again.

    Args:
        body: A file with one whole JSON array, rewritten only if it must be.
        tombstones: Whose records are dropped.

    Returns:
        How many records were dropped.

    Raises:
        NotAnArray: It is something else.
    """
    if tombstones is None:
        return 0
    kept = body.with_name(f"{body.name}.kept")
    with body.open("rb") as received, kept.open("wb") as sink:
        copied = copy_without(received, sink, lambda records: whose(records, tombstones))
    if copied.dropped:
        kept.replace(body)
    else:
        kept.unlink()
    return copied.dropped


@dataclass(frozen=True)
class RemainingDay:
    """A cleaned day as it is to be merged: without those who were erased since.

    Attributes:
        pull: Counts them as erased.
        attempts: The attempts that are left.
        rejected: The refused records that are left.
    """

    pull: Pull
    attempts: Callable[[], Iterator[pa.RecordBatch]]
    rejected: Callable[[], Iterator[pa.RecordBatch]]


def without_erased(pull: Pull, lake: Lake, tombstones: Tombstones | None) -> RemainingDay:
    """The day without those who were erased after it was cleaned, also from its objects."""

    def attempts() -> Iterator[pa.RecordBatch]:
        return _filtered(lake.batches(pull.attempts_key), lambda b: _attempts_of(b, tombstones))

    def rejected() -> Iterator[pa.RecordBatch]:
        return _filtered(lake.batches(pull.rejected_key), lambda b: _rejected_of(b, tombstones))

    if tombstones is None:
        return RemainingDay(pull, attempts, rejected)
    reasons: Counter[str] = Counter()
    for batch in rejected() if pull.rejected_key else ():
        reasons.update(batch.column("reason").to_pylist())
    kept = sum(batch.num_rows for batch in attempts()) if pull.attempts_key else 0
    return RemainingDay(recounted(pull, kept=kept, rejected=reasons), attempts, rejected)


def recounted(pull: Pull, *, kept: int, rejected: Mapping[str, int]) -> Pull:
    """The pull of which so much is left in its objects; the rest was erased."""
    known = kept + sum(rejected.values()) + pull.fates.duplicates + pull.fates.outside_window
    erased = pull.fates.received - known
    fates = replace(pull.fates, unchanged=kept, rejected=dict(rejected), erased=erased)
    return replace(pull, fates=fates)


def _filtered(
    batches: Iterator[pa.RecordBatch], erased_rows: Callable[[pa.RecordBatch], Flags | None]
) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        is_dropped = erased_rows(batch)
        yield batch if is_dropped is None else batch.filter(pa.array(~is_dropped))


def _attempts_of(batch: pa.RecordBatch, tombstones: Tombstones | None) -> Flags | None:
    return None if tombstones is None else attempts_of(batch, tombstones)


def attempts_of(batch: pa.RecordBatch, tombstones: Tombstones) -> Flags:
    """Which clean attempts are an erased student's, by either of the two ids that each carries."""
    users = batch.column("user_id")
    sourcedids = batch.column("lis_result_sourcedid")
    erased = tombstones.erased_among(pc.unique(users).to_pylist())
    naming = sourcedids_of(pc.unique(sourcedids.drop_null()).to_pylist(), tombstones)
    return _is_in(users, erased) | _is_in(sourcedids, naming)


def sourcedids_of(texts: Collection[str], tombstones: Tombstones) -> set[str]:
    """Those texts of ``lis_result_sourcedid`` that name an erased student."""
    users = {text: cut_sourcedid(text).user for text in texts}
    erased = tombstones.erased_among(set(filter(None, users.values())))
    return {text for text, user in users.items() if user in erased}


def _is_in(column: pa.Array, texts: Collection[str]) -> Flags:
    is_in = pc.is_in(column, pa.array(list(texts), pa.string()))
    return np.asarray(is_in.to_numpy(zero_copy_only=False), dtype=bool)


def _rejected_of(batch: pa.RecordBatch, tombstones: Tombstones | None) -> Flags | None:
    if tombstones is None:
        return None
    records = [record.encode() for record in batch.column("record").to_pylist()]
    return whose(records, tombstones) if records else np.zeros(0, dtype=bool)
