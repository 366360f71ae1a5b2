"""The tables without the student, in one transaction; books and figures say so.

The ids travel into the database by COPY and are compared there in temporary tables. So they stand
in no statement that a server may write to its log.

Only tables of ours are touched, and those of earlier systems that adoption renamed: another
program's table in the same schema may have a column ``user_id``, too.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from sqlalchemy import Connection, text

from lms_assets.amends.receipts import note
from lms_assets.amends.student import Student
from lms_assets.attempts.corrections import correct_books
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.lag import mark_lagging
from lms_assets.attempts.merge import copy, lock_day
from lms_assets.attempts.quarantine import as_api_record
from lms_assets.days import day_of
from lms_assets.resources.warehouse import Warehouse

Recompute = Callable[[Connection, list[date]], None]

# Every table of ours with a row per student or finer, but for the attempts themselves.
STUDENT_TABLES = ("staff", "student_activity", "student_hours", "student_task_statistics")

_CHUNK = 10_000
_THEIRS = """(
    user_id in (select user_id from erased_student)
    or lis_result_sourcedid in (select lis_result_sourcedid from erased_sourcedids)
)"""


@dataclass(frozen=True)
class Found:
    """What the tables hold of a student.

    Attributes:
        attempts: Rows of ``attempts``.
        rejected_records: Rows of ``rejected_records``.
        adopted_rows: Rows of the tables of earlier systems.
        days: Days of those attempts and refused records.
    """

    attempts: int
    rejected_records: int
    adopted_rows: int
    days: int

    def __bool__(self) -> bool:
        return bool(self.attempts or self.rejected_records or self.adopted_rows)


def found_of(connection: Connection, student: Student, zone: ZoneInfo) -> Found:
    """What the tables hold of the student; nothing is changed."""
    _name(connection, student, "attempts")
    moments = connection.scalars(text(f"select created_at from attempts where {_THEIRS}")).all()
    refused = _refused_of(connection, student)
    adopted = 0
    for table in adopted_tables(connection):
        _name(connection, student, table)
        counted = connection.scalar(text(f"select count(*) from {table} where {_THEIRS}"))
        adopted += counted or 0
    days = {day_of(moment, zone) for moment in moments} | {row["day"] for row in refused}
    return Found(len(moments), len(refused), adopted, len(days))


def erase_from_tables(
    connection: Connection, student: Student, receipt: int, zone: ZoneInfo, recompute: Recompute
) -> None:
    """No table holds the student; the books and the figures of their days are right.

    Args:
        connection: In a transaction that began after the student's tombstone was committed.
        student: Who is erased.
        receipt: The erasure's row in ``erasure_receipts``.
        zone: What says what a day is.
        recompute: Computes the figures of the days given anew, in the same transaction.
    """
    began = monotonic()
    _name(connection, student, "attempts")
    refused = _refused_of(connection, student)
    theirs = connection.scalars(text(f"select created_at from attempts where {_THEIRS}"))
    days = sorted({*(day_of(moment, zone) for moment in theirs), *(row["day"] for row in refused)})
    for day in days:
        lock_day(connection, day)
    attempts = _delete_attempts(connection, zone)
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
    note(
        connection,
        receipt,
        days=len(days),
        attempts=attempts.total(),
        rejected_records=len(refused),
        other_rows=_delete_elsewhere(connection, student),
    )


def _name(connection: Connection, student: Student, table: str) -> None:
    """The temporary tables name the student, and the sourcedids of ``table`` that name them."""
    for name, column in (("student", "user_id"), ("sourcedids", "lis_result_sourcedid")):
        connection.execute(
            text(
                f"create temporary table if not exists erased_{name} ({column} text) on commit drop"
            )
        )
        connection.execute(text(f"truncate erased_{name}"))
    ids = pa.array([student.user_id], pa.string())
    copy(connection, "erased_student", [pa.record_batch({"user_id": ids})])
    # In the user's part of a sourcedid only the escapes of a URL or of JSON could hide the id.
    suspects = f"""
        select distinct lis_result_sourcedid
        from {table} cross join (select user_id as sought from erased_student) as student
        where position(sought in lis_result_sourcedid) > 0
           or lis_result_sourcedid like '%{{%' and position('\\' in lis_result_sourcedid) > 0
           or position('%' in reverse(split_part(reverse(lis_result_sourcedid), '\\:', 1))) > 0
    """
    named = student.sourcedids(connection.scalars(text(suspects)).all())
    batch = pa.record_batch({"lis_result_sourcedid": pa.array(named, pa.string())})
    copy(connection, "erased_sourcedids", [batch])


def _delete_attempts(connection: Connection, zone: ZoneInfo) -> Counter[date]:
    """The student's attempts are gone; how many of each day."""
    statement = text(f"delete from attempts where {_THEIRS} returning created_at")
    return Counter(day_of(moment, zone) for moment in connection.scalars(statement))


def _refused_of(connection: Connection, student: Student) -> list[dict[str, Any]]:
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


def adopted_tables(connection: Connection) -> list[str]:
    """The tables of earlier systems that adoption renamed and that are still there, quoted."""
    statement = """
        select quote_ident(name) from adopted_tables
        where to_regclass(format('public.%I', name)) is not null order by name
    """
    return list(connection.scalars(text(statement)))


def _delete_elsewhere(connection: Connection, student: Student) -> int:
    """No other table holds the student; how many rows went."""
    theirs = "user_id in (select user_id from erased_student)"
    gone = sum(
        connection.execute(text(f"delete from {table} where {theirs}")).rowcount
        for table in STUDENT_TABLES
    )
    for table in adopted_tables(connection):
        _name(connection, student, table)
        gone += connection.execute(text(f"delete from {table} where {_THEIRS}")).rowcount
    return gone


def vacuum(warehouse: Warehouse) -> None:
    """Neither dead rows nor the planner's samples hold the student.

    Raises:
        Fault: The database's, by name.
    """
    with warehouse.begin() as connection:
        tables = ["attempts", "rejected_records", *STUDENT_TABLES, *adopted_tables(connection)]
    # VACUUM cannot run inside a transaction.
    with warehouse.session() as session:
        for table in tables:
            session.execute(text(f"vacuum (analyze) {table}"))
