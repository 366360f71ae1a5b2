"""Erasure: a student's records leave the tables and the lake, and later pulls drop new ones.

The tombstone is written first and the receipt is closed last. So if an erasure is interrupted,
the same call again completes it. The caller publishes the sheet and the page again.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from lms_assets.amends.erasure_lake import LakeErasure, raw_objects, records_of
from lms_assets.amends.erasure_tables import (
    Recompute,
    StoredRows,
    erase_from_tables,
    stored_rows_of,
    vacuum,
)
from lms_assets.amends.receipts import Receipt, close_receipt, open_receipt, receipt_of
from lms_assets.amends.student import student_of
from lms_assets.attempts.cleaning import NotAnArray
from lms_assets.attempts.keys import hash_of
from lms_assets.attempts.tombstones import WAIT, Erasure
from lms_assets.locks import Lock, hold_in_session, wait_for
from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse


@dataclass(frozen=True)
class Erased:
    """The result of an erasure.

    Attributes:
        receipt: Counts of what was removed.
        unreadable: Key of an unreadable object that may still hold the student → the reason.
            While there is one, the receipt stays open and the erasure must be called again.
    """

    receipt: Receipt
    unreadable: dict[str, str] = field(default_factory=dict)


def erase(
    user_id: str,
    *,
    warehouse: Warehouse,
    lake: Lake,
    erasure: Erasure,
    zone: ZoneInfo,
    recompute: Recompute,
    staff: Collection[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> Erased:
    """No table, object of the lake or figure holds the student, and no later pull brings them back.

    Attempts of another user with the student's id in ``lis_result_sourcedid`` are removed too.
    A second call removes what an interrupted call left. Runs may go on meanwhile.

    Args:
        user_id: The student's ``attempts.user_id``.
        warehouse: A migrated database.
        lake: Its raw and cleaned objects are rewritten without the student.
        erasure: Holds the keys of the hashes.
        zone: The zone of the days.
        recompute: Computes the figures of the given days again, in the given transaction.
        staff: The user ids in LMS_STAFF; these cannot be erased.
        progress: Called with the key of each object of the lake that was read.

    Raises:
        PermanentFault: The user id is invalid or of the staff, or the key differs. Nothing was
            changed.
        Fault: The database failed or refused.
    """
    student = student_of(user_id, staff)
    with warehouse.session() as session:
        wait_for(session, WAIT, in_session=True)
        hold_in_session(session, Lock.ERASURE)
        receipt = warehouse.in_transaction(
            lambda c: open_receipt(c, erasure.add_tombstone(c, user_id))
        )
        warehouse.in_transaction(lambda c: erase_from_tables(c, student, receipt, zone, recompute))
        unreadable = LakeErasure(student, lake, warehouse, receipt, progress).run()
        vacuum(warehouse)
        return Erased(
            warehouse.in_transaction(lambda c: _ended(c, receipt, is_whole=not unreadable)),
            unreadable,
        )


def _ended(connection: Connection, receipt: int, *, is_whole: bool) -> Receipt:
    if is_whole:
        close_receipt(connection, receipt)
    return receipt_of(connection, receipt)


@dataclass(frozen=True)
class Trace:
    """What is stored of a student before an erasure.

    Attributes:
        tables: Counts of rows in the tables.
        raw_records: Number of records in the lake's raw answers. None where the tables hold the
            student: then the raw answers are not read.
        was_erased: Whether an erasure of this student has begun before.
    """

    tables: StoredRows
    raw_records: int | None
    was_erased: bool

    @property
    def is_known(self) -> bool:
        """Whether anything of the student is or was stored."""
        return bool(self.tables or self.raw_records or self.was_erased)


def trace(
    user_id: str,
    *,
    warehouse: Warehouse,
    lake: Lake,
    erasure: Erasure,
    zone: ZoneInfo,
    staff: Collection[str] = (),
) -> Trace:
    """What an erasure would remove; nothing is changed. Arguments as for :func:`erase`.

    Raises:
        PermanentFault: As for :func:`erase`.
    """
    student = student_of(user_id, staff)
    with warehouse.begin() as connection:
        erasure.tombstones_of(connection)
        hashes = [hash_of(key, user_id) for key in erasure.known_keys()]
        query = text("select exists (select from tombstones where hash = any(:hashes))")
        was_erased = bool(connection.scalar(query, {"hashes": hashes}))
        tables = stored_rows_of(connection, student, zone)
    raw = None if tables else _raw_records(user_id, lake)
    return Trace(tables, raw, was_erased)


def _raw_records(user_id: str, lake: Lake) -> int:
    student, records = student_of(user_id, ()), 0
    for answer in raw_objects(lake):
        try:
            records += records_of(student, lake, answer)
        except NotAnArray:
            # The erasure reports unreadable objects itself.
            continue
    return records
