"""The quarantine: rejected records, and their replay, which cleans them again by today's rules."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, NamedTuple

import pyarrow as pa
from sqlalchemy import Connection, Row, text

from lms_assets.attempts.cleaning import Tombstones, clean_day
from lms_assets.attempts.columns import (
    ATTEMPT_COLUMNS,
    KEY_COLUMNS,
    PASSBACK_FIELDS,
    RECEIVED_COLUMNS,
)
from lms_assets.attempts.corrections import correct_books
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.lag import mark_lagging
from lms_assets.attempts.merge import lock_day
from lms_assets.attempts.table_schema import check_table
from lms_assets.days import Window
from lms_assets.resources.copying import copy
from lms_assets.resources.records import ascii_text

# Reasons with this prefix are from adoption: rows of an earlier system's table that were set aside.
ADOPTED = "adopted_"

_CHUNK = 50_000
_COLUMNS = ", ".join(ATTEMPT_COLUMNS)
_KEY = ", ".join(KEY_COLUMNS)
_SAME_KEY = " and ".join(f"i.{name} = a.{name}" for name in KEY_COLUMNS)

_STAGE = (
    f"create temporary table replayed on commit drop as select {_COLUMNS} from attempts limit 0"
)
_CONFLICTING = f"""
select count(*) from replayed i join attempts a on {_SAME_KEY}
where ({", ".join("i." + name for name in RECEIVED_COLUMNS)})
    is distinct from ({", ".join("a." + name for name in RECEIVED_COLUMNS)})
"""
_INSERT = f"""
insert into attempts ({_COLUMNS})
select {_COLUMNS} from replayed order by {_KEY}
on conflict on constraint unique_attempt do nothing
"""
CHOSEN = "(:reason is null and not starts_with(reason, :adopted) or reason = :reason)"


class QuarantineCount(NamedTuple):
    """The number of a day's records in the quarantine with one reason."""

    day: date
    reason: str
    records: int


@dataclass(frozen=True)
class DayReplay:
    """The result of the replay of one day.

    Attributes:
        day: The day whose pull had the records.
        fates: The new fates of the records. ``duplicates`` are good records whose key the table
            already has; the attempt in the table stays. ``outside_window`` are good records of
            another day. Both leave the quarantine without being stored.
    """

    day: date
    fates: Fates

    @property
    def now_good(self) -> int:
        """The number of records that left the quarantine."""
        return self.fates.received - self.fates.rejected_in_all


def counts(connection: Connection) -> list[QuarantineCount]:
    """The number of records in the quarantine by day and reason, in that order."""
    statement = """
        select day, reason, count(*) as records from rejected_records
        group by day, reason order by day, reason
    """
    return [QuarantineCount(*row) for row in connection.execute(text(statement)).tuples()]


def with_types(statement: str) -> str:
    """The statement with casts for the parameters that may be null.

    PostgreSQL cannot infer the type of a null parameter.
    """
    for name, kind in (("reason", "text"), ("first", "date"), ("last", "date")):
        statement = statement.replace(f":{name}", f"cast(:{name} as {kind})")
    return statement


def replay_day(
    connection: Connection,
    day: date,
    *,
    window: Window,
    tomorrow: datetime,
    run_id: str,
    reason: str | None = None,
    tombstones: Tombstones | None = None,
) -> DayReplay:
    """The day's quarantine holds only records that today's rules reject.

    Each record is cleaned again. Good ones leave the quarantine; new attempts among them are
    inserted. A record that another rule rejects now gets the reason of that rule. The ledger gets
    a row with the new counts. A second replay changes nothing.

    Args:
        connection: In a transaction, which the caller commits.
        day: The day whose pull had the records.
        window: The day's window, half-open, naive UTC.
        tomorrow: Naive UTC. A record made at this instant or later breaks a rule.
        run_id: The Dagster run, or another id of the work, for the ledger.
        reason: Replay only records with this reason; all but those of adoption if left out.
        tombstones: The erased students, whose records are dropped; None if there are none.
    """
    began = time.monotonic()
    lock_day(connection, day)
    connection.execute(text("drop table if exists replayed"))
    connection.execute(text(_STAGE))
    quarantined = _QuarantinedRecords(connection, day, reason)
    fates = Fates()
    for chunk in clean_day(
        quarantined.chunks(), window=window, tomorrow=tomorrow, tombstones=tombstones
    ):
        check_table(chunk.attempts)
        copy(connection, "replayed", chunk.attempts.to_batches())
        quarantined.judge(chunk.rejected)
        fates += chunk.fates
    fates = _insert(connection, fates)
    if fates.inserted:
        mark_lagging(connection, [day])
    left, joined = quarantined.moved(fates)
    seconds = time.monotonic() - began
    correct_books(connection, day, left=left, joined=joined, run_id=run_id, seconds=seconds)
    return DayReplay(day, fates)


def _insert(connection: Connection, cleaned: Fates) -> Fates:
    """The good records are in the table, except those whose key it already has: the new fates."""
    conflicting = connection.scalar(text(_CONFLICTING)) or 0
    inserted = connection.execute(text(_INSERT)).rowcount
    duplicates = cleaned.kept - inserted
    fates = cleaned.moved(inserted, "unchanged", "inserted")
    fates = fates.moved(duplicates, "unchanged", "duplicates")
    return replace(fates, conflicting=fates.conflicting + conflicting)


class _QuarantinedRecords:
    """A day's records in the quarantine, read in chunks, and the changes of their reasons."""

    def __init__(self, connection: Connection, day: date, reason: str | None) -> None:
        self._connection = connection
        self._chosen = {"day": day, "reason": reason, "adopted": ADOPTED}
        self._rows: Sequence[Row[Any]] = []
        self._left: Counter[str] = Counter()
        self._joined: Counter[str] = Counter()

    def chunks(self) -> Iterator[list[bytes]]:
        """The records in the order in which they entered the quarantine."""
        statement = text(
            with_types(f"""
            select id, reason, record from rejected_records
            where day = :day and {CHOSEN} and id > :newest order by id limit {_CHUNK}
            """)
        )
        newest = 0
        while rows := self._connection.execute(statement, self._chosen | {"newest": newest}).all():
            self._rows, newest = rows, rows[-1].id
            yield [as_api_record(row.record) for row in rows]

    def judge(self, rejected: pa.Table) -> None:
        """The chunk's good records leave; each other record stays, with the reason of today's rule.

        Records with the same text get the same verdict, so ``rejected`` is matched by text.
        """
        verdicts = {row["record"]: (row["reason"], row["field"]) for row in rejected.to_pylist()}
        good = []
        for row in self._rows:
            verdict = verdicts.get(ascii_text(as_api_record(row.record)))
            if verdict is None:
                good.append(row.id)
                self._left[row.reason] += 1
            elif verdict[0] != row.reason and not row.reason.startswith(ADOPTED):
                self._rename(row, *verdict)
        leave = text("delete from rejected_records where id = any(:ids)")
        self._connection.execute(leave, {"ids": good})

    def _rename(self, row: Row[Any], reason: str, name: str) -> None:
        self._left[row.reason] += 1
        self._joined[reason] += 1
        rename = text("update rejected_records set reason = :reason, field = :field where id = :id")
        self._connection.execute(rename, {"id": row.id, "reason": reason, "field": name})

    def moved(self, fates: Fates) -> tuple[Fates, Fates]:
        """The earlier fates of the records that changed, and their new fates."""
        left = Fates(received=self._left.total(), rejected=dict(self._left))
        joined = replace(fates, received=left.received, rejected=dict(self._joined))
        return left, joined


def as_api_record(record: str) -> bytes:
    """The record in the form of the API; rows of a table that adoption set aside are converted."""
    if '"lti_user_id"' in record or '"user_id"' not in record:
        return record.encode()
    try:
        row = json.loads(record)
    except ValueError:
        return record.encode()
    if not isinstance(row, dict) or "user_id" not in row:
        return record.encode()
    fields = {name: row.get(name) for name in ("is_correct", "attempt_type", "created_at")}
    # Adoption adds created_at_utc if the times of the earlier table are in another zone.
    fields["created_at"] = row.get("created_at_utc") or fields["created_at"]
    passback = {name: row.get(name) for name in PASSBACK_FIELDS}
    api_record = {"lti_user_id": row["user_id"], "passback_params": passback, **fields}
    return json.dumps(api_record).encode()
