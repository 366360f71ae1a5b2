"""The student's rows are deleted from the tables; ledger and figures agree. One transaction.

The ids go into temporary tables by COPY and are compared there. So they stand in no statement
that the server may write to its log.

Only our tables and the renamed tables of earlier systems are touched. Another program's table in
the same schema may have a column ``user_id`` too.
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
from lms_assets.attempts.merge import lock_day
from lms_assets.attempts.quarantine import as_api_record
from lms_assets.days import day_of
from lms_assets.resources.copying import copy
from lms_assets.resources.warehouse import Warehouse

Recompute = Callable[[Connection, list[date]], None]

# All our tables with a row per student or finer, except ``attempts``.
STUDENT_TABLES = ("staff", "student_activity", "student_hours", "student_task_statistics")

_CHUNK = 10_000
_OF_STUDENT = """(
    user_id in (select user_id from erased_student)
    or lis_result_sourcedid in (select lis_result_sourcedid from erased_sourcedids)
)"""


@dataclass(frozen=True)
class StoredRows:
    """Counts of a student's rows.

    Attributes:
        attempts: Rows of ``attempts``.
        rejected_records: Rows of ``rejected_records``.
        adopted_rows: Rows of the tables of earlier systems.
        days: Distinct days of these attempts and rejected records.
    """

    attempts: int
    rejected_records: int
    adopted_rows: int
    days: int

    def __bool__(self) -> bool:
        return bool(self.attempts or self.rejected_records or self.adopted_rows)


def stored_rows_of(connection: Connection, student: Student, zone: ZoneInfo) -> StoredRows:
    """Counts of the student's rows; nothing is changed."""
    _name(connection, student, "attempts")
    moments = connection.scalars(text(f"select created_at from attempts where {_OF_STUDENT}")).all()
    refused = _refused_of(connection, student)
    adopted = 0
    for table in adopted_tables(connection):
        _name(connection, student, table)
        counted = connection.scalar(text(f"select count(*) from {table} where {_OF_STUDENT}"))
        adopted += counted or 0
    days = {day_of(moment, zone) for moment in moments} | {row["day"] for row in refused}
    return StoredRows(len(moments), len(refused), adopted, len(days))


def erase_from_tables(
    connection: Connection, student: Student, receipt: int, zone: ZoneInfo, recompute: Recompute
) -> None:
    """No table holds the student; the ledger and the figures of their days are correct.

    Args:
        connection: Its transaction began after the student's tombstone was committed.
        student: Who is erased.
        receipt: The erasure's row in ``erasure_receipts``.
        zone: The zone of the days.
        recompute: Computes the figures of the given days again, in the same transaction.
    """
    began = monotonic()
    _name(connection, student, "attempts")
    refused = _refused_of(connection, student)
    moments = connection.scalars(text(f"select created_at from attempts where {_OF_STUDENT}"))
    days = sorted({*(day_of(moment, zone) for moment in moments), *(row["day"] for row in refused)})
    for day in days:
        lock_day(connection, day)
    attempts = _delete_attempts(connection, zone)
    _delete_refused(connection, refused)
    for day in days:
        reasons = Counter(row["reason"] for row in refused if row["day"] == day)
        removed = attempts[day] + reasons.total()
        correct_books(
            connection,
            day,
            left=Fates(received=removed, unchanged=attempts[day], rejected=reasons),
            joined=Fates(received=removed, erased=removed),
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
    """Temporary tables hold the student's id and the sourcedids in ``table`` that contain it."""
    for name, column in (("student", "user_id"), ("sourcedids", "lis_result_sourcedid")):
        connection.execute(
            text(
                f"create temporary table if not exists erased_{name} ({column} text) on commit drop"
            )
        )
        connection.execute(text(f"truncate erased_{name}"))
    ids = pa.array([student.user_id], pa.string())
    copy(connection, "erased_student", [pa.record_batch({"user_id": ids})])
    # A sourcedid may contain the id escaped, as in a URL or in JSON; such texts are suspects too.
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
    """The student's attempts are deleted; day → how many."""
    statement = text(f"delete from attempts where {_OF_STUDENT} returning created_at")
    return Counter(day_of(moment, zone) for moment in connection.scalars(statement))


def _refused_of(connection: Connection, student: Student) -> list[dict[str, Any]]:
    """The student's records in the quarantine: id, day, reason."""
    refused: list[dict[str, Any]] = []
    newest = 0
    page = text(
        "select id, day, reason, record from rejected_records where id > :newest "
        f"order by id limit {_CHUNK}"
    )
    while rows := connection.execute(page, {"newest": newest}).mappings().all():
        newest = rows[-1]["id"]
        of_student = student.owns([as_api_record(row["record"]) for row in rows])
        refused += [
            {name: row[name] for name in ("id", "day", "reason")}
            for row, is_of_student in zip(rows, of_student, strict=True)
            if is_of_student
        ]
    return refused


def _delete_refused(connection: Connection, refused: list[dict[str, Any]]) -> None:
    statement = text("delete from rejected_records where id = any(:ids)")
    connection.execute(statement, {"ids": [row["id"] for row in refused]})


def adopted_tables(connection: Connection) -> list[str]:
    """The quoted names of the adopted tables that still exist."""
    statement = """
        select quote_ident(name) from adopted_tables
        where to_regclass(format('public.%I', name)) is not null order by name
    """
    return list(connection.scalars(text(statement)))


def _delete_elsewhere(connection: Connection, student: Student) -> int:
    """No other table holds the student; the number of deleted rows."""
    of_student = "user_id in (select user_id from erased_student)"
    deleted = sum(
        connection.execute(text(f"delete from {table} where {of_student}")).rowcount
        for table in STUDENT_TABLES
    )
    for table in adopted_tables(connection):
        _name(connection, student, table)
        deleted += connection.execute(text(f"delete from {table} where {_OF_STUDENT}")).rowcount
    return deleted


def vacuum(warehouse: Warehouse) -> None:
    """Neither dead rows nor the planner's statistics hold the student.

    Raises:
        Fault: The database failed or refused.
    """
    with warehouse.begin() as connection:
        tables = ["attempts", "rejected_records", *STUDENT_TABLES, *adopted_tables(connection)]
    # VACUUM cannot run inside a transaction.
    with warehouse.session() as session:
        for table in tables:
            session.execute(text(f"vacuum (analyze) {table}"))
