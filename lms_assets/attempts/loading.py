"""A cleaned pull on its way into the table: what must be known before anything is merged."""

from datetime import UTC, date, datetime

from sqlalchemy import Connection

from lms_assets.attempts.ledger import Load, Pull, newest_load, zone_of_ledger
from lms_assets.attempts.merge import (
    Mirror,
    is_loaded_already,
    is_overtaken,
    lock_day,
    merge_day,
    record_overtaken,
    record_unchanged,
)
from lms_assets.attempts.quarantine import replay_day
from lms_assets.attempts.tombstones import Erasure, without_erased
from lms_assets.days import Window, end_of_tomorrow
from lms_assets.faults import PermanentFault
from lms_assets.resources.lake import Lake


def load_day(
    connection: Connection,
    pull: Pull,
    lake: Lake,
    mirror: Mirror,
    erasure: Erasure,
    *,
    run_id: str,
) -> Load:
    """The table holds the pull's attempts, and the ledger says what became of each record.

    Under the day's lock: an overtaken pull changes nothing, one that is loaded already is noted,
    and whoever was erased since the day was cleaned is left out.

    Args:
        connection: In a transaction, which the caller commits.
        pull: The day's cleaned answer.
        lake: Holds what was cleaned.
        mirror: Whether attempts that the answer no longer has are deleted.
        erasure: Knows who was erased.
        run_id: The Dagster run that loads.

    Raises:
        PermanentFault: The loaded days were cut by another zone; a mirror that would delete more
            than half of the day; the key of the erased is gone.
    """
    _refuse_another_zone(connection, pull)
    day = date.fromisoformat(pull.day)
    lock_day(connection, day)
    if is_overtaken(connection, pull):
        return record_overtaken(connection, pull, run_id=run_id)
    # Somebody may have been erased since the day was cleaned.
    tombstones = erasure.until_commit(connection)
    if not mirror.is_on and is_loaded_already(connection, pull, as_counted=True):
        return record_unchanged(connection, pull, run_id=run_id)
    remaining = without_erased(pull, lake, tombstones)
    if not mirror.is_on and is_loaded_already(connection, remaining.pull):
        return record_unchanged(connection, remaining.pull, run_id=run_id)
    before = newest_load(connection, day)
    load = merge_day(
        connection,
        remaining.pull,
        attempts=remaining.attempts,
        rejected=remaining.rejected,
        run_id=run_id,
        mirror=mirror,
    )
    if before and before.code_version != pull.code_version:
        # What older rules refused and today's accept has just come in: set aside no longer.
        replay_day(
            connection,
            day,
            window=Window(pull.window_start, pull.window_end),
            tomorrow=end_of_tomorrow(datetime.now(UTC)),
            run_id=run_id,
            tombstones=tombstones,
        )
    return load


def _refuse_another_zone(connection: Connection, pull: Pull) -> None:
    """Runs started with Dagster's own tools skip the check in `prepare`: it is made here too."""
    loaded = zone_of_ledger(connection)
    if loaded not in (None, pull.zone):
        raise PermanentFault("settings.zone_changed", zone=pull.zone, loaded=loaded)
