"""The sensors: what the daemon does besides the schedule (letters, batches, missing days).

Dagster never repeats a run status sensor's call that failed. So these sensors only record the
letter of a run. The sensor ``letters`` sends it, and records the letters that they missed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import dagster as dg

from lms_assets.automation.catch_up import find_gaps, request_days
from lms_assets.automation.freshness import evaluation, freshness
from lms_assets.automation.jobs import daily_attempts, publication
from lms_assets.automation.keeping_small import purge
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


Tells = Callable[[dg.DagsterInstance, Warehouse], Messenger]


def sensors(settings: Settings, systems: Mapping[str, Any]) -> list[dg.SensorDefinition]:
    """Every sensor, on by default.

    Args:
        systems: The systems that letters use or name, such as the mailer and the spreadsheet.
    """

    def tells(instance: dg.DagsterInstance, warehouse: Warehouse) -> Messenger:
        configure_logging(settings)
        return Messenger(settings, warehouse, instance, systems)

    return [
        run_succeeded(tells),
        run_failed(tells),
        letters(tells),
        batches(tells),
        missing(settings, tells),
        purge(settings),
    ]


def run_succeeded(tells: Tells) -> dg.SensorDefinition:
    """Records the letter of a run that succeeded."""

    @dg.run_status_sensor(
        name="run_succeeded",
        run_status=dg.DagsterRunStatus.SUCCESS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=EVERY_S,
        description="Records the letter of a run that succeeded.",
    )
    def sensor(context: dg.RunStatusSensorContext, warehouse: Warehouse) -> None:
        tells(context.instance, warehouse).tell_of_run(context.dagster_run.run_id, now=utc_now())

    return sensor


def run_failed(tells: Tells) -> dg.SensorDefinition:
    """Records the letter of a run that failed."""

    @dg.run_failure_sensor(
        name="run_failed",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=EVERY_S,
        description="Records the letter of a run that failed.",
    )
    def sensor(context: dg.RunFailureSensorContext, warehouse: Warehouse) -> None:
        tells(context.instance, warehouse).tell_of_run(context.dagster_run.run_id, now=utc_now())

    return sensor


def letters(tells: Tells) -> dg.SensorDefinition:
    """Sends the letters that are due, and records those that the other two sensors missed.

    Reads the runs that changed in the last two days, and the table `letters`.
    """

    @dg.sensor(
        name="letters",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=EVERY_S,
        description="Sends due letters; records those that the two run sensors missed.",
    )
    def sensor(context: dg.SensorEvaluationContext, warehouse: Warehouse) -> dg.SkipReason:
        messenger = tells(context.instance, warehouse)
        for run_id in untold_runs(context.instance, warehouse, now=utc_now()):
            messenger.tell_of_run(run_id, now=utc_now())
        sent = messenger.send(now=utc_now())
        return dg.SkipReason(f"{sent} letters sent")

    return sensor


def batches(tells: Tells) -> dg.SensorDefinition:
    """Publishes each batch once its last run has ended, then records its letter.

    Reads the unfinished runs, at most 500 of the last two days, and the runs of open batches.
    """

    @dg.sensor(
        name="batches",
        job=publication,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=EVERY_S,
        description="Publishes each batch once its last run has ended, then records its letter.",
    )
    def sensor(context: dg.SensorEvaluationContext, warehouse: Warehouse) -> dg.SensorResult:
        messenger = tells(context.instance, warehouse)
        end_orphans(context.instance, warehouse, now=utc_now())
        adopt_backfills(context.instance, warehouse)
        with warehouse.begin() as connection:
            opened = open_batches(connection)
        requests = list(_publications(opened, messenger))
        skip_reason = None if requests else f"{len(opened)} batches are open"
        return dg.SensorResult(run_requests=requests, skip_reason=skip_reason)

    return sensor


def _publications(opened: Sequence[Batch], messenger: Messenger) -> Iterator[dg.RunRequest]:
    """A run request for each batch that must be published; due letters of batches are recorded."""
    for batch in opened:
        runs = runs_of(messenger.instance, batch.batch)
        step = next_step(batch, runs, now=utc_now())
        if step == "publish":
            yield _publication_of(batch, runs)
        elif step == "letter":
            messenger.tell_of_batch(batch, now=utc_now())


def missing(settings: Settings, tells: Tells) -> dg.SensorDefinition:
    """Requests the missing days, newest first; warns when yesterday is late.

    Reads the ledger of LMS_CATCH_UP_DAYS and, only when days are missing, the runs since then.
    """

    @dg.sensor(
        name="missing",
        job=daily_attempts,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=60,
        description="Requests the missing days, newest first; warns when yesterday is late.",
    )
    def sensor(context: dg.SensorEvaluationContext, warehouse: Warehouse) -> dg.SensorResult:
        now = utc_now()
        gaps = find_gaps(context.instance, warehouse, settings, now=now)
        requests = request_days(context.instance, warehouse, gaps, now=now)
        if not requests.batch:
            # One letter tells of all given-up days, once no catch-up is open.
            tells(context.instance, warehouse).tell_of_giving_up(gaps.given_up, now=now)
        late = freshness(settings, warehouse, now=now)
        # Recorded again twice an hour: Dagster shows the check as failed after any failed run.
        cursor = f"{late.says} {int(now.timestamp() // REPEAT_S)}"
        none = f"{len(gaps.days)} days are missing; none to ask for"
        return dg.SensorResult(
            run_requests=[_request(day, requests.batch) for day in requests.days],
            asset_events=[evaluation(late)] if cursor != context.cursor else [],
            cursor=cursor,
            skip_reason=None if requests.days else none,
        )

    return sensor


def _request(day: date, batch: str) -> dg.RunRequest:
    return dg.RunRequest(partition_key=day.isoformat(), tags={BATCH_TAG: batch})


def untold_runs(instance: dg.DagsterInstance, warehouse: Warehouse, *, now: datetime) -> list[str]:
    """Ids of single runs that ended in the last two days and have no letter, oldest first."""
    recent = instance.get_run_records(
        dg.RunsFilter(
            statuses=[dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE],
            updated_after=now - LOOK_BACK,
        )
    )
    alone = [r.dagster_run.run_id for r in reversed(recent) if not batch_of(r.dagster_run.tags)]
    statement = "select run_id from letters where run_id = any(:alone)"
    with_letter = {row["run_id"] for row in warehouse.rows(statement, alone=alone)}
    return [run_id for run_id in alone if run_id not in with_letter]


def _publication_of(batch: Batch, runs: Sequence[BatchRun]) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=f"publication-{batch.batch}",
        partition_key=str(newest_good_day(runs)),
        tags={BATCH_TAG: batch.batch},
    )


def adopt_backfills(instance: dg.DagsterInstance, warehouse: Warehouse) -> None:
    """Each backfill that a person launched on Dagster's page is in the table `batches`."""
    records = instance.get_run_records(
        dg.RunsFilter(updated_after=utc_now() - LOOK_BACK), limit=500
    )
    backfills = {record.dagster_run.tags.get(BACKFILL_TAG) for record in records} - {None}
    with warehouse.begin() as connection:
        for backfill in backfills:
            days = _days_of_backfill(instance, str(backfill))
            open_batch(connection, str(backfill), kind="backfill", days=days)


def _days_of_backfill(instance: dg.DagsterInstance, backfill_id: str) -> list[date]:
    """The days that the backfill names; empty if it is gone, so that only its runs name them."""
    backfill = instance.get_backfill(backfill_id)
    if backfill is None:
        return []
    names = set(backfill.partition_names or [])
    if backfill.asset_backfill_data:
        target = backfill.asset_backfill_data.target_subset
        names |= {partition.partition_key or "" for partition in target.iterate_asset_partitions()}
    return [date.fromisoformat(name) for name in sorted(names - {""})]
