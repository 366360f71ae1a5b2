"""A day's clean attempts go into the table by one transaction, with their row in the ledger."""

import io
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.csv as pa_csv
from sqlalchemy import Connection, text

from lms_assets.attempts.ledger import Load, Pull, newest_load, record_load
from lms_assets.faults import PermanentFault

Batches = Callable[[], Iterable[pa.RecordBatch]]

DAY_LOCK = 7_041_002

_KEY = "user_id, attempt_type, created_at"
_FIELDS = (
    "oauth_consumer_key, lis_result_sourcedid, lis_outcome_service_url, is_correct, course, task"
)
_ALL = "user_id, oauth_consumer_key, lis_result_sourcedid, lis_outcome_service_url, is_correct, attempt_type, created_at, course, task"

# Made by the session, gone with the transaction: a crash leaves nothing behind.
STAGE = f"""
create temporary table incoming on commit drop as
    select {_ALL} from attempts with no data;
create temporary table incoming_rejected (reason text, field text, record text) on commit drop
"""
UPDATE = f"""
update attempts a set ({_FIELDS}) = (select {", ".join("i." + f for f in _FIELDS.split(", "))})
from incoming i
where (a.user_id, a.attempt_type, a.created_at) = (i.user_id, i.attempt_type, i.created_at)
  and ({", ".join("a." + f for f in _FIELDS.split(", "))})
      is distinct from ({", ".join("i." + f for f in _FIELDS.split(", "))})
"""
# In the order of the key, so that two merges never wait for each other in a circle.
INSERT = f"""
insert into attempts ({_ALL})
select {_ALL} from incoming order by {_KEY}
on conflict on constraint unique_attempt do nothing
"""
VANISHED = """
from attempts a
where a.created_at >= :start and a.created_at < :end
  and not exists (
    select from incoming i
    where (i.user_id, i.attempt_type, i.created_at) = (a.user_id, a.attempt_type, a.created_at))
"""
STORED = "select count(*) from attempts where created_at >= :start and created_at < :end"

# A refused record is kept once for each time the newest answer holds it.
QUARANTINE = """
insert into rejected_records (day, reason, field, record, run_id)
select :day, reason, field, record, :run_id
from (select *, row_number() over (partition by record) as nth from incoming_rejected) i
where nth > (select count(*) from rejected_records r where r.day = :day and r.record = i.record)
"""


@dataclass(frozen=True)
class Mirror:
    """Whether attempts that the API no longer has are deleted too, and how far that may go."""

    is_on: bool = False
    force: bool = False


def merge_day(
    connection: Connection,
    pull: Pull,
    *,
    attempts: Batches,
    rejected: Batches,
    run_id: str,
    mirror: Mirror | None = None,
) -> Load:
    """The table holds the pull's attempts, the quarantine its refused records, the ledger both.

    New attempts are inserted, changed ones updated, equal ones left alone, none
    deleted (but see ``mirror``). What the table has and the pull has not is
    counted as vanished. Idempotent: the same pull again changes nothing.

    Args:
        connection: In a transaction, which the caller commits.
        pull: What the batches are, and where each record went that is not in them.
        attempts: Clean attempts of the day, unique by key.
        rejected: Refused records: reason, field, record.
        run_id: The Dagster run that loads.
        mirror: Set, vanished attempts are deleted.

    Raises:
        PermanentFault: A mirror that would delete more than half of the day.
    """
    began = time.monotonic()
    day = date.fromisoformat(pull.day)
    lock_day(connection, day)
    inserted, updated = _merge(connection, pull, attempts)
    _quarantine(connection, pull, rejected, run_id)
    window = {"start": pull.window_start, "end": pull.window_end}
    vanished = _vanished(connection, window, pull, mirror or Mirror())
    load = Load(
        day=pull.day,
        received=pull.received,
        inserted=inserted,
        updated=updated,
        unchanged=pull.clean - inserted - updated,
        duplicates=pull.duplicates,
        conflicting=pull.conflicting,
        outside_window=pull.outside_window,
        rejected=pull.rejected,
        erased=pull.erased,
        vanished=vanished,
        stored=connection.scalar(text(STORED), window) or 0,
        watch=pull.watch,
        checksum=pull.checksum,
        code_version=pull.code_version,
        run_id=run_id,
        stages=pull.stages | {"merge_s": round(time.monotonic() - began, 3)},
    )
    record_load(connection, pull, load)
    return load


def is_loaded_already(connection: Connection, pull: Pull) -> bool:
    """Whether the same answer, cleaned by the same rules, is what the table holds for the day."""
    last = newest_load(connection, date.fromisoformat(pull.day))
    if last is None or (last.checksum, last.code_version) != (pull.checksum, pull.code_version):
        return False
    window = {"start": pull.window_start, "end": pull.window_end}
    # What vanished before is in the stored count and not in the answer: load again and say so.
    return last.vanished == 0 and connection.scalar(text(STORED), window) == last.stored


def record_unchanged(connection: Connection, pull: Pull, *, run_id: str) -> Load:
    """The ledger says that the day was pulled again and that nothing had to be loaded."""
    last = newest_load(connection, date.fromisoformat(pull.day))
    load = Load(
        day=pull.day,
        received=pull.received,
        inserted=0,
        updated=0,
        unchanged=pull.clean,
        duplicates=pull.duplicates,
        conflicting=pull.conflicting,
        outside_window=pull.outside_window,
        rejected=pull.rejected,
        erased=pull.erased,
        vanished=0,
        stored=last.stored if last else 0,
        watch=pull.watch,
        checksum=pull.checksum,
        code_version=pull.code_version,
        run_id=run_id,
        stages=pull.stages,
    )
    record_load(connection, pull, load)
    return load


def lock_day(connection: Connection, day: date) -> None:
    """Nobody else changes the day's attempts until the transaction ends."""
    keys = {"kind": DAY_LOCK, "day": day.toordinal()}
    connection.execute(text("select pg_advisory_xact_lock(:kind, :day)"), keys)


def _merge(connection: Connection, pull: Pull, attempts: Batches) -> tuple[int, int]:
    for statement in STAGE.split(";"):
        connection.execute(text(statement))
    if not pull.clean:
        return 0, 0
    copy(connection, "incoming", attempts())
    connection.execute(text("analyze incoming"))
    updated = connection.execute(text(UPDATE)).rowcount
    inserted = connection.execute(text(INSERT)).rowcount
    return inserted, updated


def _quarantine(connection: Connection, pull: Pull, rejected: Batches, run_id: str) -> None:
    if pull.rejected:
        copy(connection, "incoming_rejected", rejected())
        connection.execute(text(QUARANTINE), {"day": pull.day, "run_id": run_id})


def _vanished(connection: Connection, window: dict[str, object], pull: Pull, mirror: Mirror) -> int:
    if not mirror.is_on or not pull.received:
        return connection.scalar(text(f"select count(*) {VANISHED}"), window) or 0
    before = connection.scalar(text(STORED), window) or 0
    gone = connection.execute(text(f"delete {VANISHED}"), window).rowcount
    if gone * 2 > before and not mirror.force:
        raise PermanentFault("database.mirror_refused", gone=gone, before=before)
    return gone


def copy(connection: Connection, table: str, batches: Iterable[pa.RecordBatch]) -> None:
    """The batches are in the table, by COPY; its columns are theirs, by name."""
    cursor = connection.connection.cursor()
    for batch in batches:
        lines = io.BytesIO()
        # Every text is quoted, so that an empty one is told apart from NULL.
        pa_csv.write_csv(batch, lines, pa_csv.WriteOptions(include_header=False))
        lines.seek(0)
        columns = ", ".join(batch.schema.names)
        cursor.copy_expert(f"copy {table} ({columns}) from stdin with (format csv)", lines)
