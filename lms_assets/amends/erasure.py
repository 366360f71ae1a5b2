"""A student who was erased leaves no trace, and stays erased.

    key         LMS_HOME/erasure.key: 32 random bytes, readable by its owner alone
    tombstone   HMAC-SHA256 of the user id under that key: whom later pulls, replays
                and restores drop, though nobody can read from it whom
    receipt     what was removed and when, without the id

The tombstone comes first and the receipt is closed last: whatever ends an erasure
in the middle, the same call again completes it.
"""

import hmac
import json
import os
import re
import secrets
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any, BinaryIO

import dagster as dg
import msgspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from lms_assets.attempts.cleaning import (
    MAX_USER_ID_LENGTH,
    NotAnArray,
    Tombstones,
    _is_erased,
    _Rows,
    course_and_task,
    record_chunks,
)
from lms_assets.attempts.corrections import correct_books
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.lag import mark_lagging
from lms_assets.attempts.ledger import Pull
from lms_assets.attempts.merge import lock_day
from lms_assets.attempts.quarantine import as_api_record
from lms_assets.faults import PermanentFault
from lms_assets.resources.lake import Lake, RawAnswer
from lms_assets.resources.records import ascii_text
from lms_assets.resources.warehouse import Warehouse

KEY_BYTES = 32
ERASURE_LOCK = 7_041_010
# Shorter ids may be a part of anything; a longer one that stands alone is that id.
UNMISTAKABLE_LENGTH = 16

_CHUNK = 10_000

Flags = npt.NDArray[np.bool_]
Recompute = Callable[[Connection, list[date]], None]
Theirs = Callable[[list[bytes]], Flags]


# ------------------------------------------------------------------ tombstones


class HashedTombstones:
    """Who was erased, known by a keyed hash alone.

    Args:
        key: The key of the hash.
        hashes: One per student, as :func:`hash_of` makes them.
    """

    def __init__(self, key: bytes, hashes: Collection[str]) -> None:
        self._key = key
        self._hashes = frozenset(hashes)

    def covers(self, user_ids: "pd.Series[str]") -> "pd.Series[bool]":
        """For each of the user ids, in order, whether its student was erased."""
        return user_ids.map(lambda user_id: hash_of(self._key, user_id) in self._hashes).astype(
            bool
        )


class Erasure(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Who was erased, and the key that knows them again.

    Args:
        key_file: Where the key lies; made when the first student is erased.
    """

    key_file: str

    def tombstones(self, warehouse: Warehouse) -> Tombstones | None:
        """Whom cleaning drops, or None when nobody was ever erased.

        Raises:
            PermanentFault: The key is gone, or is another one.
        """
        return tombstones_of(warehouse, Path(self.key_file))


def tombstones_of(warehouse: Warehouse, key_file: Path | None = None) -> Tombstones | None:
    """Whom cleaning drops, or None when nobody was ever erased.

    Raises:
        PermanentFault: The key is gone, or is another one: nobody may then be loaded,
            since those who were erased could come back.
    """
    rows = warehouse.rows("select hash, key_check from tombstones")
    if not rows:
        return None
    key = _key_in(key_file)
    if key is None:
        raise PermanentFault("erasure.key_missing", key_file=key_file or "LMS_HOME/erasure.key")
    if any(row["key_check"] != hash_of(key, "") for row in rows):
        raise PermanentFault("erasure.key_other", key_file=key_file)
    return HashedTombstones(key, [row["hash"] for row in rows])


def hash_of(key: bytes, user_id: str) -> str:
    """What is remembered of a student: HMAC-SHA256, as hex digits."""
    return hmac.new(key, user_id.encode("utf-8", "surrogatepass"), "sha256").hexdigest()


def _key_in(key_file: Path | None) -> bytes | None:
    return key_file.read_bytes() if key_file is not None and key_file.is_file() else None


def _key_of(warehouse: Warehouse, key_file: Path) -> bytes:
    """The key, made now if nobody was erased before.

    Raises:
        PermanentFault: Somebody was, and with a key that is not there.
    """
    is_needed = tombstones_of(warehouse, key_file) is not None
    key = _key_in(key_file)
    # A process that died while it made the key left a shorter one, which nobody used.
    if key is not None and (is_needed or len(key) == KEY_BYTES):
        return key
    key = secrets.token_bytes(KEY_BYTES)
    key_file.parent.mkdir(parents=True, exist_ok=True)
    key_file.unlink(missing_ok=True)
    with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key


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
        counts = _copy_without(received, sink, lambda records: whose(records, tombstones))
    if counts.dropped:
        kept.replace(body)
    else:
        kept.unlink()
    return counts.dropped


# --------------------------------------------------------------- whose it is


def whose(
    records: list[bytes], tombstones: Tombstones, *, mention: re.Pattern[str] | None = None
) -> Flags:
    """Which of the records cleaning would drop, and which of those it would refuse name the id.

    Args:
        records: As received.
        tombstones: Whose records they may be.
        mention: What to look for where the rules refuse a record; nothing if left out.
    """
    rows = _Rows(records, datetime.max)  # noqa: DTZ901 - no instant is too late here
    theirs = _is_erased(rows, tombstones)
    if mention:
        for place in np.flatnonzero(~theirs & (rows.reason >= 0)):
            theirs[place] = mention.search(ascii_text(records[place])) is not None
    return theirs


@dataclass(frozen=True)
class _Student:
    """The one who is erased; by whatever record names them, in either of its two places."""

    user_id: str

    def covers(self, user_ids: "pd.Series[str]") -> "pd.Series[bool]":
        return user_ids == self.user_id

    def owns(self, records: list[bytes]) -> Flags:
        """Which of the records are theirs.

        Where the rules refuse a record, it may be impossible to read whose it is: it
        is theirs, too, if their id stands in it and cannot be mistaken for anything
        else.
        """
        places = [place for place, record in enumerate(records) if self._may_stand_in(record)]
        theirs = np.zeros(len(records), dtype=bool)
        if places:
            suspects = [records[place] for place in places]
            theirs[places] = whose(suspects, self, mention=self._mention)
        return theirs

    def _may_stand_in(self, record: bytes) -> bool:
        # Escaped by JSON, Python or a URL, an id can look like anything.
        return self.user_id.encode() in record or b"\\" in record or b"%" in record

    @property
    def _mention(self) -> re.Pattern[str] | None:
        if len(self.user_id) < UNMISTAKABLE_LENGTH:
            return None
        spelled = re.escape(json.dumps(self.user_id)[1:-1])
        return re.compile(rf"(?<![0-9A-Za-z]){spelled}(?![0-9A-Za-z])")

    def sourcedids(self, texts: Collection[str]) -> list[str]:
        """Which of these texts of ``lis_result_sourcedid`` name them."""
        distinct = pd.Series(sorted(texts), dtype=object)
        users = course_and_task(distinct)["sourcedid_user"]
        return [str(sourcedid) for sourcedid in distinct[users == self.user_id]]

    def attempts(self, batch: pa.RecordBatch) -> Flags:
        """Which clean attempts are theirs."""
        user_ids = batch.column("user_id").to_pandas()
        sourcedids = batch.column("lis_result_sourcedid").to_pandas()
        named = self.sourcedids(set(sourcedids.dropna()))
        return np.asarray((user_ids == self.user_id) | sourcedids.isin(named), dtype=bool)

    def rejected(self, batch: pa.RecordBatch) -> Flags:
        """Which refused records are theirs."""
        return self.owns([as_api_record(record) for record in batch.column("record").to_pylist()])


# ------------------------------------------------------------------- erasing


@dataclass(frozen=True)
class Receipt:
    """What an erasure removed; nothing in it says whose.

    Attributes:
        id: Of its row in ``erasure_receipts``.
        days: Days whose books were corrected.
        attempts: Rows of ``attempts``.
        rejected_records: Rows of ``rejected_records``.
        other_rows: Rows of the tables of figures and of tables that were adopted.
        raw_objects: Stored answers that were rewritten.
        raw_records: Records taken out of them.
        cleaned_objects: Cleaned objects that were rewritten.
        cleaned_rows: Rows taken out of them.
    """

    id: int
    days: int
    attempts: int
    rejected_records: int
    other_rows: int
    raw_objects: int
    raw_records: int
    cleaned_objects: int
    cleaned_rows: int


def erase(
    user_id: str,
    *,
    warehouse: Warehouse,
    lake: Lake,
    erasure: Erasure,
    zone: str,
    recompute: Recompute,
    staff: Collection[str] = (),
    tell: Callable[[str], None] = lambda _: None,
) -> Receipt:
    """The student is in no table, no object of the lake and no figure, and will not come back.

    Attempts that another user made with the student's id inside
    ``lis_result_sourcedid`` go as well. Idempotent: again, it removes what is left.
    A run that was under way meanwhile may still bring back what it had read before:
    erase again when it has ended.

    Args:
        user_id: As it stands in ``attempts.user_id``.
        warehouse: Migrated.
        lake: Its raw and its cleaned objects are rewritten without the student.
        erasure: Holds the key.
        zone: What says what a day is.
        recompute: Computes the figures of the days given anew, in the same transaction.
        staff: Who is left out of the figures, by a list of which a copy is kept.
        tell: Is told of each object of the lake that was looked at.

    Raises:
        PermanentFault: No user id, one of the staff, another key, or an answer in the
            lake that cannot be read.
        Fault: The database's, by name.
    """
    _refuse_what_cannot_be_erased(user_id, staff)
    student = _Student(user_id)
    with warehouse.begin() as alone:
        alone.execute(text("select pg_advisory_xact_lock(:key)"), {"key": ERASURE_LOCK})
        key = _key_of(warehouse, Path(erasure.key_file))
        receipt = warehouse.in_transaction(lambda c: _bury(c, key, user_id))
        warehouse.in_transaction(lambda c: _erase_from_tables(c, student, receipt, zone, recompute))
        unreadable = _erase_from_raw(student, lake, warehouse, receipt, tell)
        _erase_from_cleaned(student, lake, warehouse, receipt, tell)
        for unfinished in lake.unfinished():
            lake.remove(unfinished)
        _vacuum(warehouse)
        if unreadable:
            raise PermanentFault("erasure.unreadable_answer", **unreadable)
        return warehouse.in_transaction(lambda c: _close(c, receipt))


def _refuse_what_cannot_be_erased(user_id: str, staff: Collection[str]) -> None:
    if not 0 < len(user_id) <= MAX_USER_ID_LENGTH or "\0" in user_id:
        raise PermanentFault("erasure.user_id_invalid")
    if user_id in staff:
        raise PermanentFault("erasure.is_staff")


def _bury(connection: Connection, key: bytes, user_id: str) -> int:
    """From now on the student's records are dropped; the erasure's receipt is open."""
    names = {"hash": hash_of(key, user_id), "check": hash_of(key, "")}
    tombstone = "insert into tombstones (hash, key_check) values (:hash, :check)"
    connection.execute(text(f"{tombstone} on conflict do nothing"), names)
    opened = connection.scalar(
        text("""
        insert into erasure_receipts (hash) values (:hash)
        on conflict (hash) where ended_at is null do update set begun_at = now() returning id
        """),
        names,
    )
    return int(opened or 0)


def _note(connection: Connection, receipt: int, **removed: int) -> None:
    """The receipt counts what was removed, over all calls that it took."""
    sums = ", ".join(f"{name} = {name} + :{name}" for name in removed)
    statement = f"update erasure_receipts set {sums} where id = :receipt"
    connection.execute(text(statement), {"receipt": receipt, **removed})


def _close(connection: Connection, receipt: int) -> Receipt:
    names = ", ".join(Receipt.__dataclass_fields__)
    statement = f"update erasure_receipts set ended_at = now() where id = :id returning {names}"
    row = connection.execute(text(statement), {"id": receipt}).mappings().one()
    return Receipt(**{str(name): value for name, value in row.items()})


# ----------------------------------------------------------------- the tables


def _erase_from_tables(
    connection: Connection, student: _Student, receipt: int, zone: str, recompute: Recompute
) -> None:
    """No table holds the student; the books and the figures of their days are right."""
    began = monotonic()
    theirs = _attempts_of(connection, student)
    refused = _refused_of(connection, student)
    attempt_days = _days_of(connection, theirs, zone)
    days = sorted({*attempt_days, *(row["day"] for row in refused)})
    for day in days:
        lock_day(connection, day)
    attempts = _delete_attempts(connection, theirs, zone)
    _delete_refused(connection, refused)
    for day in days:
        reasons = Counter(row["reason"] for row in refused if row["day"] == day)
        gone = attempts[day] + reasons.total()
        correct_books(
            connection,
            day,
            left=Fates(received=gone, unchanged=attempts[day], rejected=reasons),
            joined=Fates(received=gone, erased=gone),
            run_id=f"erasure-{receipt}",
            seconds=monotonic() - began,
        )
    if attempts:
        mark_lagging(connection, attempts)
        recompute(connection, sorted(attempts))
    _note(
        connection,
        receipt,
        days=len(days),
        attempts=attempts.total(),
        rejected_records=len(refused),
        other_rows=_delete_elsewhere(connection, student),
    )


_THEIRS = "(user_id = :user_id or lis_result_sourcedid = any(:sourcedids))"


def _attempts_of(
    connection: Connection, student: _Student, table: str = "attempts"
) -> dict[str, object]:
    """What ``_THEIRS`` needs to know to find the student's rows."""
    # In the user's part of it alone a URL's escape could hide them.
    suspects = f"""
        select distinct lis_result_sourcedid from {table}
        where position(:user_id in lis_result_sourcedid) > 0
           or lis_result_sourcedid like '{{%' and position('\\' in lis_result_sourcedid) > 0
           or position('%' in reverse(split_part(reverse(lis_result_sourcedid), '\\:', 1))) > 0
    """
    values = {"user_id": student.user_id}
    texts = connection.scalars(text(suspects), values).all()
    return values | {"sourcedids": student.sourcedids(texts)}


def _days_of(connection: Connection, theirs: dict[str, object], zone: str) -> set[date]:
    statement = f"""
        select distinct (created_at at time zone 'UTC' at time zone :zone)::date
        from attempts where {_THEIRS}
    """
    return set(connection.scalars(text(statement), theirs | {"zone": zone}))


def _delete_attempts(connection: Connection, theirs: dict[str, object], zone: str) -> Counter[date]:
    """The student's attempts are gone; how many of each day."""
    statement = f"""
        with gone as (delete from attempts where {_THEIRS} returning created_at)
        select (created_at at time zone 'UTC' at time zone :zone)::date as day, count(*)
        from gone group by day
    """
    rows = connection.execute(text(statement), theirs | {"zone": zone}).tuples()
    return Counter(dict(rows.all()))


def _refused_of(connection: Connection, student: _Student) -> list[dict[str, Any]]:
    """The student's records in the quarantine: id, day, reason."""
    found: list[dict[str, Any]] = []
    newest = 0
    page = text(
        "select id, day, reason, record from rejected_records where id > :newest "
        f"order by id limit {_CHUNK}"
    )
    while rows := connection.execute(page, {"newest": newest}).mappings().all():
        newest = rows[-1]["id"]
        theirs = student.owns([as_api_record(row["record"]) for row in rows])
        found += [
            {name: row[name] for name in ("id", "day", "reason")}
            for row, is_theirs in zip(rows, theirs, strict=True)
            if is_theirs
        ]
    return found


def _delete_refused(connection: Connection, refused: list[dict[str, Any]]) -> None:
    statement = text("delete from rejected_records where id = any(:ids)")
    connection.execute(statement, {"ids": [row["id"] for row in refused]})


def _tables_of_students(connection: Connection) -> dict[str, bool]:
    """Every table with a row per student or finer, quoted; whether it has sourcedids.

    Those of earlier systems are among them: adoption leaves them under other names.
    """
    statement = """
        select quote_ident(c.relname) as name,
            exists (select from pg_attribute b where b.attrelid = c.oid
                and b.attname = 'lis_result_sourcedid' and not b.attisdropped) as has_sourcedids
        from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
          and a.attname = 'user_id' and not a.attisdropped
        order by c.relname
    """
    return dict(connection.execute(text(statement)).tuples().all())


def _delete_elsewhere(connection: Connection, student: _Student) -> int:
    """No other table holds the student; how many rows went."""
    gone = 0
    for table, has_sourcedids in _tables_of_students(connection).items():
        values: dict[str, object] = {"user_id": student.user_id}
        condition = "user_id = :user_id"
        if has_sourcedids:
            values, condition = _attempts_of(connection, student, table), _THEIRS
        statement = text(f"delete from {table} where {condition}")
        gone += connection.execute(statement, values).rowcount
    return gone


def _vacuum(warehouse: Warehouse) -> None:
    """Neither dead rows nor the planner's samples hold the student.

    Raises:
        Fault: The database's, by name.
    """
    with warehouse.begin() as connection:
        tables = [*_tables_of_students(connection), "rejected_records"]
    # VACUUM cannot run inside a transaction.
    with warehouse.engine.connect() as connection:
        outside = connection.execution_options(isolation_level="AUTOCOMMIT")
        for table in tables:
            try:
                outside.execute(text(f"vacuum (analyze) {table}"))
            except DBAPIError as error:
                reason = str(error.orig).strip().split("\n", maxsplit=1)[0]
                raise PermanentFault("database.refused", reason=reason) from None


# ------------------------------------------------------------------- the lake


@dataclass(frozen=True)
class _Copied:
    kept: int
    dropped: int


def _copy_without(source: BinaryIO, sink: BinaryIO, is_dropped: Theirs) -> _Copied:
    """The array without some of its records; the others as they were, byte for byte."""
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
    return _Copied(kept, dropped)


def _erase_from_raw(
    student: _Student,
    lake: Lake,
    warehouse: Warehouse,
    receipt: int,
    tell: Callable[[str], None],
) -> dict[str, str]:
    """No raw object holds the student, except what cannot be read: its key and why."""
    unreadable: dict[str, str] = {}
    for day in lake.raw_days():
        for answer in {answer.key: answer for answer in lake.raw_answers(day)}.values():
            try:
                dropped = _rewrite_raw(student, lake, answer)
            except NotAnArray as error:
                unreadable = {"object": answer.key, "reason": error.what}
                continue
            tell(answer.key)
            if dropped:
                removed = {"raw_objects": 1, "raw_records": dropped}
                warehouse.in_transaction(lambda c, r=removed: _note(c, receipt, **r))  # type: ignore[misc]
    return unreadable


def _rewrite_raw(student: _Student, lake: Lake, answer: RawAnswer) -> int:
    """The answer holds no record of the student; how many it held."""
    with lake.open_raw(answer) as body:
        if not any(student.owns(records).any() for records in record_chunks(body)):
            return 0
    with TemporaryDirectory() as folder:
        rewritten = Path(folder) / "answer.json"
        with lake.open_raw(answer) as body, rewritten.open("wb") as sink:
            copied = _copy_without(body, sink, student.owns)
        lake.replace_raw(answer, rewritten, records=copied.kept)
    return copied.dropped


REJECTED_ENDING = ".rejected.parquet"


def _erase_from_cleaned(
    student: _Student,
    lake: Lake,
    warehouse: Warehouse,
    receipt: int,
    tell: Callable[[str], None],
) -> None:
    """No cleaned object holds the student, and what points at them counts what they hold."""
    for key in lake.cleaned_keys():
        is_theirs = student.rejected if key.endswith(REJECTED_ENDING) else student.attempts
        gone = sum(int(is_theirs(batch).sum()) for batch in lake.batches(key))
        tell(key)
        if gone:
            with lake.write_parquet(key, lake.schema_of(key)) as rest:
                for batch in lake.batches(key):
                    rest.write_batch(batch.filter(pa.array(~is_theirs(batch))))
            removed = {"cleaned_objects": 1, "cleaned_rows": gone}
            warehouse.in_transaction(lambda c, r=removed: _note(c, receipt, **r))  # type: ignore[misc]
    for day in sorted({key.split("/")[1] for key in lake.cleaned_keys()}):
        _recount(lake, day)


def _recount(lake: Lake, day: str) -> None:
    """The day's reference to its cleaned objects counts as erased what they no longer hold."""
    place = lake.reference("cleaned_attempts", day)
    if not place.exists():
        return
    try:
        pull = msgspec.json.decode(place.read_bytes(), type=Pull)
    except msgspec.DecodeError:
        # An earlier version wrote it; nobody can begin from it any more.
        place.unlink()
        return
    objects = set(lake.cleaned_keys())
    if not {pull.attempts_key, pull.rejected_key} <= objects:
        return
    attempts = sum(batch.num_rows for batch in lake.batches(pull.attempts_key))
    reasons: Counter[str] = Counter()
    for batch in lake.batches(pull.rejected_key):
        reasons.update(batch.column("reason").to_pylist())
    known = attempts + reasons.total() + pull.fates.duplicates + pull.fates.outside_window
    fates = replace(
        pull.fates,
        unchanged=attempts,
        rejected=dict(reasons),
        erased=pull.fates.received - known,
    )
    recounted = replace(pull, fates=fates)
    if recounted != pull:
        place.write_bytes(msgspec.json.encode(recounted))
