"""Dagster's old runs are deleted in small steps, but every partition keeps its state.

Dagster itself deletes ticks only. Deleting a run deletes its materializations too; if one of them
is the newest of its partition, Dagster counts the partition as missing. So a run that holds the
newest event of a partition stays, and only its events about something else are deleted. Dagster
has no call that deletes events, nor one for evaluations of checks; SQL deletes both in its tables.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg
from sqlalchemy import text

from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.tags import BACKFILL_TAG, BATCH_TAG
from lms_assets.settings import Settings

RUNS_AT_ONCE = 50
ROWS_AT_ONCE = 5_000
# The sensor `letters` reads the runs of this many days, to find a run that has no letter yet.
LETTERS_LOOK_BACK_DAYS = 3

UNFINISHED = [
    status
    for status in dg.DagsterRunStatus
    if status.value not in ("SUCCESS", "FAILURE", "CANCELED")
]
# The events that stay where a run holds the newest event of a partition.
KEPT_EVENTS = (
    "ASSET_MATERIALIZATION",
    "ASSET_MATERIALIZATION_PLANNED",
    "ASSET_OBSERVATION",
    "PIPELINE_START",
    "PIPELINE_SUCCESS",
    "PIPELINE_FAILURE",
    "PIPELINE_CANCELED",
    "STEP_FAILURE",
)

_DELETABLE_RUNS = """
with newest as materialized (
    select max(id) as id from dagster.event_logs
    where asset_key is not null and dagster_event_type in
        ('ASSET_MATERIALIZATION', 'ASSET_MATERIALIZATION_PLANNED', 'ASSET_OBSERVATION')
    group by asset_key, dagster_event_type, partition
),
holders as materialized (
    select distinct run_id from dagster.event_logs join newest using (id)
),
needed as materialized (
    select t.run_id from dagster.run_tags t
    where t.key in (:batch_tag, :backfill_tag) and (
        t.value in (select batch from batches where closed_at is null)
        or t.value in (select batch from letters where status = 'waiting')
    )
    union all
    select run_id from letters where status = 'waiting' and run_id is not null
)
select r.run_id from dagster.runs r
where r.create_timestamp < :before and r.update_timestamp < :before
    and r.status in ('SUCCESS', 'FAILURE', 'CANCELED')
    and r.run_id not in (select run_id from needed)
    and (r.run_id in (select run_id from holders)) = :holds
    and (not :holds or exists (
        select from dagster.event_logs e where e.run_id = r.run_id
            and coalesce(e.dagster_event_type, '') <> all(:kept)
    ))
order by r.id limit :at_once
"""
_DELETE_EVENTS = """
delete from dagster.event_logs
where run_id = any(:runs) and coalesce(dagster_event_type, '') <> all(:kept)
"""
# Old rows that no run owns, except the newest row of each check and each sensor.
_DELETE_ROWS = {
    "checks": """
        delete from dagster.asset_check_executions where id in (
            select id from dagster.asset_check_executions
            where create_timestamp < :before and id not in (
                select max(id) from dagster.asset_check_executions
                group by asset_key, check_name, partition
            )
            order by id limit :at_once
        )
    """,
    "events": """
        delete from dagster.event_logs where id in (
            select e.id from dagster.event_logs e
            where e.timestamp < :before and e.dagster_event_type in
                ('ASSET_CHECK_EVALUATION', 'ASSET_CHECK_EVALUATION_PLANNED')
                and not exists (select from dagster.runs r where r.run_id = e.run_id)
                and e.id not in (
                    select max(evaluation_event_storage_id) from dagster.asset_check_executions
                    where evaluation_event_storage_id is not null
                    group by asset_key, check_name, partition
                )
            order by e.id limit :at_once
        )
    """,
    "ticks": """
        delete from dagster.job_ticks where id in (
            select id from dagster.job_ticks
            where timestamp < :before and id not in (
                select max(id) from dagster.job_ticks group by selector_id
            )
            order by id limit :at_once
        )
    """,
}


@dataclass(frozen=True)
class Step:
    """Counts of what one step of the purge deleted.

    Attributes:
        runs: Runs deleted with all their rows and files.
        thinned: Runs that stay because they hold a partition's state, but lost other events.
        rows: Deleted evaluations of checks, events and ticks that no run owns.
    """

    runs: int = 0
    thinned: int = 0
    rows: int = 0

    @property
    def is_last(self) -> bool:
        """Whether nothing was left to delete."""
        return not (self.runs or self.thinned or self.rows)

    def __add__(self, other: "Step") -> "Step":
        """The counts of both steps together."""
        return Step(self.runs + other.runs, self.thinned + other.thinned, self.rows + other.rows)


def kept_since(settings: Settings, now: datetime) -> datetime:
    """The moment before which runs are old enough to be deleted.

    The catch-up decides by a day's earlier runs whether to try it again. So runs of the last
    LMS_CATCH_UP_DAYS stay even where LMS_RUN_DAYS is smaller.
    """
    looked_at = max(settings.lms_catch_up_days + 1, LETTERS_LOOK_BACK_DAYS)
    return now - timedelta(days=max(settings.lms_run_days, looked_at))


def is_quiet(instance: dg.DagsterInstance) -> bool:
    """Whether no run is running or queued."""
    return instance.get_runs_count(dg.RunsFilter(statuses=UNFINISHED)) == 0


def purge_step(instance: dg.DagsterInstance, warehouse: Warehouse, *, before: datetime) -> Step:
    """A few of the oldest runs are deleted.

    If there are none, a few runs are thinned; if there are none of these either, rows that no
    run owns are deleted.

    Args:
        before: Aware; younger runs and rows stay.
    """
    naive = before.replace(tzinfo=None) - (before.utcoffset() or timedelta())
    for run_id in (runs := _old_runs(warehouse, naive, holds=False)):
        _delete_logs(instance, run_id)
        instance.delete_run(run_id)
    if runs:
        return Step(runs=len(runs))
    if holders := _old_runs(warehouse, naive, holds=True):
        for run_id in holders:
            _delete_logs(instance, run_id)
        with warehouse.begin() as connection:
            connection.execute(text(_DELETE_EVENTS), {"runs": holders, "kept": list(KEPT_EVENTS)})
        return Step(thinned=len(holders))
    return Step(rows=_delete_rows(warehouse, naive))


def _old_runs(warehouse: Warehouse, before: datetime, *, holds: bool) -> list[str]:
    """Ids of the oldest runs that can be deleted.

    With ``holds`` the ids of those that hold a partition's state and can only be thinned.
    """
    rows = warehouse.rows(
        _DELETABLE_RUNS,
        before=before,
        holds=holds,
        kept=list(KEPT_EVENTS),
        batch_tag=BATCH_TAG,
        backfill_tag=BACKFILL_TAG,
        at_once=RUNS_AT_ONCE,
    )
    return [row["run_id"] for row in rows]


def _delete_logs(instance: dg.DagsterInstance, run_id: str) -> None:
    """The files with the output of the run's steps are deleted, as far as this machine has them."""
    instance.compute_log_manager.delete_logs(prefix=[run_id])


def _delete_rows(warehouse: Warehouse, before: datetime) -> int:
    values = {"before": before, "at_once": ROWS_AT_ONCE}
    with warehouse.begin() as connection:
        results = [connection.execute(text(delete), values) for delete in _DELETE_ROWS.values()]
    return sum(result.rowcount for result in results)
