"""A student who was erased leaves no trace in tables and lake, and stays erased.

The tombstone comes first and the receipt is closed last: whatever ends an erasure in the middle,
the same call again completes it. Publishing what shows students is the caller's business.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from lms_assets.amends.erasure_lake import LakeErasure, raw_objects, records_of
from lms_assets.amends.erasure_tables import Found, Recompute, erase_from_tables, found_of, vacuum
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
    """What an erasure came to.

    Attributes:
        receipt: What was removed.
        unreadable: Key of an object that cannot be read and may still hold the student → why.
            While there is one, the receipt stays open and the erasure is to be called again.
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
    """The student is in no table, no object of the lake and no figure, and will not come back.

    Attempts that another user made with the student's id inside ``lis_result_sourcedid`` go as
    well. Idempotent: again, it removes what is left. Runs may go on meanwhile.

    Args:
        user_id: As it stands in ``attempts.user_id``.
        warehouse: Migrated.
        lake: Its raw and its cleaned objects are rewritten without the student.
        erasure: Holds the keys.
        zone: What says what a day is.
        recompute: Computes the figures of the days given anew, in the same transaction.
        staff: Who is left out of the figures, by a list of which a copy is kept.
        progress: Is told of each object of the lake that was looked at.

    Raises:
        PermanentFault: No user id, one of the staff, or another key; nothing was begun.
        Fault: The database's, by name.
    """
    student = student_of(user_id, staff)
    with warehouse.session() as session:
        wait_for(session, WAIT, in_session=True)
        hold_in_session(session, Lock.ERASURE)
        receipt = warehouse.in_transaction(lambda c: open_receipt(c, erasure.bury(c, user_id)))
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
    """What is known of a student before an erasure.

    Attributes:
        tables: What the tables hold.
        raw_records: Records in the lake's raw answers; None where they were not looked at,
            since the tables hold the student.
        was_erased: Whether an erasure of this student was begun before.
    """

    tables: Found
    raw_records: int | None
    was_erased: bool

    @property
    def is_known(self) -> bool:
        """Whether there is or was anything of the student."""
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
    """What an erasure would find; nothing is changed. Arguments as for :func:`erase`.

    Raises:
        PermanentFault: As :func:`erase`.
    """
    student = student_of(user_id, staff)
    with warehouse.begin() as connection:
        erasure.tombstones_of(connection)
        hashes = [hash_of(key, user_id) for key in erasure.known_keys()]
        known = text("select exists (select from tombstones where hash = any(:hashes))")
        was_erased = bool(connection.scalar(known, {"hashes": hashes}))
        tables = found_of(connection, student, zone)
    raw = None if tables else _raw_records(user_id, lake)
    return Trace(tables, raw, was_erased)


def _raw_records(user_id: str, lake: Lake) -> int:
    student, found = student_of(user_id, ()), 0
    for answer in raw_objects(lake):
        try:
            found += records_of(student, lake, answer)
        except NotAnArray:
            # The erasure itself names what cannot be read.
            continue
    return found
