"""A cleaned pull is loaded; before the merge, several facts decide whether and how."""

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
    """The table holds the pull's attempts, and the ledger has a row with the count of each fate.

    The day is locked until the commit. An overtaken pull and a pull that is loaded already get a
    row in the ledger and change no attempt. Records of students who were erased after the cleaning
    are left out. If the rules changed since the day's last load, the day's quarantine is replayed.

    Args:
        connection: In a transaction, which the caller commits.
        pull: The day's cleaned answer.
        lake: The lake with the cleaned objects.
        mirror: Whether attempts that the answer no longer has are deleted.
        erasure: The erased students and their keys.
        run_id: The Dagster run that loads.

    Raises:
        PermanentFault: ``settings.zone_changed``: the loaded days have another zone.
            ``database.mirror_refused``: the mirror would delete more than half of the day.
            ``erasure.key_missing``, ``erasure.key_other``: the key of the tombstones is missing.
    """
    _refuse_another_zone(connection, pull)
    day = date.fromisoformat(pull.day)
    lock_day(connection, day)
    if is_overtaken(connection, pull):
        return record_overtaken(connection, pull, run_id=run_id)
    # A student may have been erased after the day was cleaned.
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
        # Records that only the older rules rejected are loaded now, so they leave the quarantine.
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
    """The loaded days have the pull's zone.

    Runs started with `dagster job execute` skip the check in `prepare`, so it is repeated here.
    """
    loaded_zone = zone_of_ledger(connection)
    if loaded_zone not in (None, pull.zone):
        raise PermanentFault("settings.zone_changed", zone=pull.zone, loaded=loaded_zone)
