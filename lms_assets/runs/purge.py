"""Dagster's old runs are deleted in small steps; what the state of a partition rests on stays.

Dagster itself deletes ticks only. Deleting a run deletes its materializations, and with the newest
one of a partition the partition would count as missing. So a run that holds the newest event of a
partition stays; of its events those are deleted that say nothing of its partitions or of its end.
Dagster has no call for that, nor for the evaluations of checks: these are deleted in its tables.
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
# The sensor that looks for letters nobody has told reads the runs of so many days.
LOOKED_BACK_DAYS = 3

UNFINISHED = [
    status
    for status in dg.DagsterRunStatus
    if status.value not in ("SUCCESS", "FAILURE", "CANCELED")
]
# What of a run's events stays where the run is the newest of a partition.
KEPT = (
    "ASSET_MATERIALIZATION",
    "ASSET_MATERIALIZATION_PLANNED",
    "ASSET_OBSERVATION",
    "PIPELINE_START",
    "PIPELINE_SUCCESS",
    "PIPELINE_FAILURE",
    "PIPELINE_CANCELED",
    "STEP_FAILURE",
)

_OLD = """
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
_THIN = """
delete from dagster.event_logs
where run_id = any(:runs) and coalesce(dagster_event_type, '') <> all(:kept)
"""
# Old rows that no run owns, each except the newest of its kind.
_ROWS = {
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
    """What one step of the purge deleted.

    Attributes:
        runs: Deleted with all that belongs to them.
        thinned: Runs that stay for the state of a partition, without the rest of their events.
        rows: Evaluations of checks, events and ticks.
    """

    runs: int = 0
    thinned: int = 0
    rows: int = 0

    @property
    def is_last(self) -> bool:
        """Whether nothing was left to delete."""
        return not (self.runs or self.thinned or self.rows)

    def __add__(self, other: "Step") -> "Step":
        """What both deleted."""
        return Step(self.runs + other.runs, self.thinned + other.thinned, self.rows + other.rows)


def kept_since(settings: Settings, now: datetime) -> datetime:
    """Before this moment runs are old.

    Missing days are tried again by what their runs came to, so these stay for as long as
    missing days are looked for, whatever LMS_RUN_DAYS says.
    """
    looked_at = max(settings.lms_catch_up_days + 1, LOOKED_BACK_DAYS)
    return now - timedelta(days=max(settings.lms_run_days, looked_at))


def is_quiet(instance: dg.DagsterInstance) -> bool:
    """Whether no run is under way or waits."""
    return instance.get_runs_count(dg.RunsFilter(statuses=UNFINISHED)) == 0


def purge_step(instance: dg.DagsterInstance, warehouse: Warehouse, *, before: datetime) -> Step:
    """A few of the oldest runs are deleted, or else thinned, or else rows that no run owns.

    Args:
        before: Aware; what is younger stays.
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
            connection.execute(text(_THIN), {"runs": holders, "kept": list(KEPT)})
        return Step(thinned=len(holders))
    return Step(rows=_delete_rows(warehouse, naive))


def _old_runs(warehouse: Warehouse, before: datetime, *, holds: bool) -> list[str]:
    """The oldest that can be deleted; or those that hold a partition's state and can be thinned."""
    rows = warehouse.rows(
        _OLD,
        before=before,
        holds=holds,
        kept=list(KEPT),
        batch_tag=BATCH_TAG,
        backfill_tag=BACKFILL_TAG,
        at_once=RUNS_AT_ONCE,
    )
    return [row["run_id"] for row in rows]


def _delete_logs(instance: dg.DagsterInstance, run_id: str) -> None:
    """What the run's steps printed; another machine's files go with that machine's purge."""
    instance.compute_log_manager.delete_logs(prefix=[run_id])


def _delete_rows(warehouse: Warehouse, before: datetime) -> int:
    values = {"before": before, "at_once": ROWS_AT_ONCE}
    with warehouse.begin() as connection:
        results = [connection.execute(text(delete), values) for delete in _ROWS.values()]
    return sum(result.rowcount for result in results)
