"""What the daemon does besides the schedule: letters, batches, missing days.

A run status sensor loses for good what it fails to handle, so it only records
that a letter is due; the sender delivers, and looks for what was missed.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import dagster as dg

from lms_assets.automation.catch_up import find_gaps, request_days
from lms_assets.automation.freshness import evaluation, freshness
from lms_assets.automation.jobs import daily_attempts, publication
from lms_assets.faults.logs import configure_logging
from lms_assets.letters.messenger import Messenger, utc_now
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.batches import (
    Batch,
    BatchRun,
    newest_good_day,
    next_step,
    open_batch,
    open_batches,
    runs_of,
)
from lms_assets.runs.processes import end_orphans
from lms_assets.runs.tags import BACKFILL_TAG, BATCH_TAG, batch_of
from lms_assets.settings import Settings

EVERY_S = 30
REPEAT_S = 1800
LOOK_BACK = timedelta(days=2)


def sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """Every sensor, on by default."""

    def messenger(instance: dg.DagsterInstance, warehouse: Warehouse) -> Messenger:
        from lms_assets.systems import resources

        configure_logging(settings)
        return Messenger(settings, warehouse, instance, resources(settings))

    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=EVERY_S,
        description="Records the letter of a run that succeeded.",
    )
    def run_succeeded(context: dg.RunStatusSensorContext, warehouse: Warehouse) -> None:
        messenger(context.instance, warehouse).tell_of_run(
            context.dagster_run.run_id, now=utc_now()
        )

    @dg.run_failure_sensor(
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=EVERY_S,
        description="Records the letter of a run that failed.",
    )
    def run_failed(context: dg.RunFailureSensorContext, warehouse: Warehouse) -> None:
        messenger(context.instance, warehouse).tell_of_run(
            context.dagster_run.run_id, now=utc_now()
        )

    @dg.sensor(
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=EVERY_S,
        description="Sends what is due, and records what the other two have missed.",
    )
    def letters(context: dg.SensorEvaluationContext, warehouse: Warehouse) -> dg.SkipReason:
        tells = messenger(context.instance, warehouse)
        for run_id in untold_runs(context.instance, warehouse, now=utc_now()):
            tells.tell_of_run(run_id, now=utc_now())
        sent = tells.send(now=utc_now())
        return dg.SkipReason(f"letters sent: {sent}")

    @dg.sensor(
        job=publication,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=EVERY_S,
        description="Publishes each batch once its last run has ended, then records its letter.",
    )
    def batches(context: dg.SensorEvaluationContext, warehouse: Warehouse) -> dg.SensorResult:
        tells = messenger(context.instance, warehouse)
        end_orphans(context.instance, warehouse, now=utc_now())
        adopt_backfills(context.instance, warehouse)
        with warehouse.begin() as connection:
            opened = open_batches(connection)
        requests = []
        for batch in opened:
            runs = runs_of(context.instance, batch.batch)
            step = next_step(batch, runs, now=utc_now())
            if step == "publish":
                requests.append(_publication_of(batch, runs))
            elif step == "letter":
                tells.tell_of_batch(batch, now=utc_now())
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else f"{len(opened)} batches are open",
        )

    @dg.sensor(
        job=daily_attempts,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=60,
        description="Requests the missing days, newest first; warns when yesterday is late.",
    )
    def missing(context: dg.SensorEvaluationContext, warehouse: Warehouse) -> dg.SensorResult:
        now = utc_now()
        gaps = find_gaps(context.instance, warehouse, settings, now=now)
        requests = request_days(context.instance, warehouse, gaps, now=now)
        if not requests.batch:
            # Together, once the last catch-up has ended.
            messenger(context.instance, warehouse).tell_of_giving_up(gaps.given_up, now=now)
        found = freshness(settings, warehouse, now=now)
        # Said again twice an hour: a failing run shows the check as failed, whatever it says.
        said = f"{found.says} {int(now.timestamp() // REPEAT_S)}"
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(partition_key=day.isoformat(), tags={BATCH_TAG: requests.batch})
                for day in requests.days
            ],
            asset_events=[evaluation(found)] if said != context.cursor else [],
            cursor=said,
            skip_reason=None
            if requests.days
            else f"{len(gaps.days)} days are missing; none to ask for",
        )

    return [run_succeeded, run_failed, letters, batches, missing]


def untold_runs(instance: dg.DagsterInstance, warehouse: Warehouse, *, now: datetime) -> list[str]:
    """Runs by themselves that ended lately and that no letter tells of, oldest first."""
    recent = instance.get_run_records(
        dg.RunsFilter(
            statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE],
            updated_after=now - LOOK_BACK,
        )
    )
    told = {row["run_id"] for row in warehouse.rows("select run_id from letters")}
    alone = [record.dagster_run for record in recent if not batch_of(record.dagster_run.tags)]
    return [run.run_id for run in reversed(alone) if run.run_id not in told]


def _publication_of(batch: Batch, runs: Sequence[BatchRun]) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"publication-{batch.batch}",
        partition_key=str(newest_good_day(runs)),
        tags={BATCH_TAG: batch.batch},
    )


def adopt_backfills(instance: dg.DagsterInstance, warehouse: Warehouse) -> None:
    """A backfill that a person launched in the page is a batch like any other."""
    records = instance.get_run_records(
        dg.RunsFilter(updated_after=utc_now() - LOOK_BACK), limit=500
    )
    found = {record.dagster_run.tags.get(BACKFILL_TAG) for record in records} - {None}
    with warehouse.begin() as connection:
        for backfill in found:
            days = _days_of_backfill(instance, str(backfill))
            open_batch(connection, str(backfill), kind="backfill", days=days)


def _days_of_backfill(instance: dg.DagsterInstance, backfill_id: str) -> list[date]:
    """Its days, as far as the backfill itself names them; its runs tell the rest."""
    backfill = instance.get_backfill(backfill_id)
    if backfill is None:
        return []
    names = set(backfill.partition_names or [])
    if backfill.asset_backfill_data:
        target = backfill.asset_backfill_data.target_subset
        names |= {one.partition_key or "" for one in target.iterate_asset_partitions()}
    return [date.fromisoformat(name) for name in sorted(names - {""})]
