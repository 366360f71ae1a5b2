"""What cleaning refused, and its second chance by today's rules."""

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
from lms_assets.attempts.merge import copy, lock_day
from lms_assets.attempts.schema import check_table
from lms_assets.days import Window
from lms_assets.resources.records import ascii_text

# What adoption set aside has a reason that cleaning cannot give: a row of an earlier system.
ADOPTED = "adopted_"

_CHUNK = 50_000
_COLUMNS = ", ".join(ATTEMPT_COLUMNS)
_KEY = ", ".join(KEY_COLUMNS)
_ALIKE = " and ".join(f"i.{name} = a.{name}" for name in KEY_COLUMNS)

_STAGE = (
    f"create temporary table replayed on commit drop as select {_COLUMNS} from attempts limit 0"
)
_CONFLICTING = f"""
select count(*) from replayed i join attempts a on {_ALIKE}
where ({", ".join("i." + name for name in RECEIVED_COLUMNS)})
    is distinct from ({", ".join("a." + name for name in RECEIVED_COLUMNS)})
"""
# In the order of the key, as the merge does it.
_INSERT = f"""
insert into attempts ({_COLUMNS})
select {_COLUMNS} from replayed order by {_KEY}
on conflict on constraint unique_attempt do nothing
"""
CHOSEN = "(:reason is null and not starts_with(reason, :adopted) or reason = :reason)"


class Refused(NamedTuple):
    """How many records of a day lie in the quarantine for one reason."""

    day: date
    reason: str
    records: int


@dataclass(frozen=True)
class DayReplay:
    """What became of one day's quarantined records.

    Attributes:
        day: The day whose pull gave them.
        fates: Of the records that were cleaned again. ``duplicates`` are good, but their
            key is in the table: the first received stays. ``outside_window``: good, but of
            another day: no longer set aside, not stored.
    """

    day: date
    fates: Fates

    @property
    def now_good(self) -> int:
        """Records that left the quarantine."""
        return self.fates.received - self.fates.rejected_in_all


def counts(connection: Connection) -> list[Refused]:
    """What lies in the quarantine, by day and reason, in that order."""
    statement = """
        select day, reason, count(*) as records from rejected_records
        group by day, reason order by day, reason
    """
    return [Refused(*row) for row in connection.execute(text(statement)).tuples()]


def typed(statement: str) -> str:
    """The statement with the types of parameters that may be null."""
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
    """One day's quarantine is what today's rules refuse; the books say so.

    Idempotent: again, it finds the same records refused and writes nothing.

    Args:
        connection: In a transaction, which the caller commits.
        day: The day under which the records were set aside.
        window: Of that day, half-open, UTC.
        tomorrow: The instant from which on an attempt cannot have been made yet.
        run_id: What the ledger's row is filed under.
        reason: Only records set aside for it.
        tombstones: Whose records are dropped.
    """
    began = time.monotonic()
    lock_day(connection, day)
    connection.execute(text("drop table if exists replayed"))
    connection.execute(text(_STAGE))
    set_aside = _SetAside(connection, day, reason)
    fates = Fates()
    for chunk in clean_day(
        set_aside.chunks(), window=window, tomorrow=tomorrow, tombstones=tombstones
    ):
        check_table(chunk.attempts)
        copy(connection, "replayed", chunk.attempts.to_batches())
        set_aside.judge(chunk.rejected)
        fates += chunk.fates
    fates = _entered(connection, fates)
    if fates.inserted:
        mark_lagging(connection, [day])
    left, joined = set_aside.moved(fates)
    seconds = time.monotonic() - began
    correct_books(connection, day, left=left, joined=joined, run_id=run_id, seconds=seconds)
    return DayReplay(day, fates)


def _entered(connection: Connection, cleaned: Fates) -> Fates:
    """The good records are in the table, except those whose key it held."""
    conflicting = connection.scalar(text(_CONFLICTING)) or 0
    inserted = connection.execute(text(_INSERT)).rowcount
    repeated = cleaned.kept - inserted
    fates = cleaned.moved(inserted, "unchanged", "inserted")
    fates = fates.moved(repeated, "unchanged", "duplicates")
    return replace(fates, conflicting=fates.conflicting + conflicting)


class _SetAside:
    """A day's records in the quarantine, chunk by chunk, and which of them leave it."""

    def __init__(self, connection: Connection, day: date, reason: str | None) -> None:
        self._connection = connection
        self._chosen = {"day": day, "reason": reason, "adopted": ADOPTED}
        self._rows: Sequence[Row[Any]] = []
        self._left: Counter[str] = Counter()
        self._joined: Counter[str] = Counter()

    def chunks(self) -> Iterator[list[bytes]]:
        """The records, in the order in which they were set aside."""
        statement = text(
            typed(f"""
            select id, reason, record from rejected_records
            where day = :day and {CHOSEN} and id > :newest order by id limit {_CHUNK}
            """)
        )
        newest = 0
        while rows := self._connection.execute(statement, self._chosen | {"newest": newest}).all():
            self._rows, newest = rows, rows[-1].id
            yield [as_api_record(row.record) for row in rows]

    def judge(self, rejected: pa.Table) -> None:
        """The chunk's good records have left; the others stay, for the reason of today's rules.

        The same text meets the same fate, so what is refused again is known by its text.
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
        """Which fates the records have left, and which of ``fates`` they have joined."""
        left = Fates(received=self._left.total(), rejected=dict(self._left))
        joined = replace(fates, received=left.received, rejected=dict(self._joined))
        return left, joined


def as_api_record(record: str) -> bytes:
    """The record as the API would have sent it: adoption set aside rows of a table."""
    if '"lti_user_id"' in record or '"user_id"' not in record:
        return record.encode()
    try:
        row = json.loads(record)
    except ValueError:
        return record.encode()
    if not isinstance(row, dict) or "user_id" not in row:
        return record.encode()
    fields = {name: row.get(name) for name in ("is_correct", "attempt_type", "created_at")}
    # Set beside created_at where the old table's times were of another zone.
    fields["created_at"] = row.get("created_at_utc") or fields["created_at"]
    passback = {name: row.get(name) for name in PASSBACK_FIELDS}
    api_record = {"lti_user_id": row["user_id"], "passback_params": passback, **fields}
    return json.dumps(api_record).encode()
