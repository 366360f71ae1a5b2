"""What the daemon does besides the schedule: letters, batches, missing days.

A run status sensor loses for good what it fails to handle, so it only records
that a letter is due; the sender delivers, and looks for what was missed.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from lms_assets.attempts.ledger import loaded_days
from lms_assets.automation.batches import (
    BatchRun,
    next_step,
    open_batch,
    open_batches,
    runs_of,
)
from lms_assets.automation.gaps import (
    AT_A_TIME,
    Tries,
    days_to_request,
    given_up,
    missing_days,
)
from lms_assets.automation.jobs import daily_attempts, publication
from lms_assets.automation.messenger import Messenger, utc_now
from lms_assets.partitions import yesterday
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs import BACKFILL_TAG, BATCH_TAG, PARTITION_TAG, batch_of
from lms_assets.settings import Settings

EVERY_S = 30
LOOK_BACK = timedelta(days=2)
ENDED = (
    dg.DagsterRunStatus.SUCCESS,
    dg.DagsterRunStatus.FAILURE,
    dg.DagsterRunStatus.CANCELED,
)


def sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """Every sensor, on by default."""

    def messenger(instance: dg.DagsterInstance, warehouse: Warehouse) -> Messenger:
        from lms_assets.definitions import resources

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
        return dg.SkipReason(f"{sent} letters sent")

    @dg.sensor(
        job=publication,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=EVERY_S,
        description="Publishes each batch once its last run has ended, then has its letter written.",
    )
    def batches(
        context: dg.SensorEvaluationContext, warehouse: Warehouse
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        tells = messenger(context.instance, warehouse)
        adopt_backfills(context.instance, warehouse)
        with warehouse.begin() as connection:
            opened = open_batches(connection)
        for batch in opened:
            runs = runs_of(context.instance, batch.batch)
            step = next_step(batch, runs, now=utc_now())
            if step == "publish":
                newest = max(run.day for run in runs if run.succeeded and run.day)
                yield dg.RunRequest(
                    run_key=f"publication-{batch.batch}",
                    partition_key=newest,
                    tags={BATCH_TAG: batch.batch},
                )
            elif step == "letter":
                tells.tell_of_batch(batch, now=utc_now())
        yield dg.SkipReason(f"{len(opened)} batches are open")

    @dg.sensor(
        job=daily_attempts,
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=60,
        description="Requests the days that the ledger does not hold, newest first, a few at a time.",
    )
    def missing(
        context: dg.SensorEvaluationContext, warehouse: Warehouse
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        wanted, batch = catch_up(context.instance, warehouse, settings, now=utc_now())
        for day, tries, run_id in hopeless_days(context.instance, warehouse, settings, utc_now()):
            tells = messenger(context.instance, warehouse)
            tells.tell_of_giving_up(day, tries=tries, run_id=run_id, now=utc_now())
        for day in wanted:
            yield dg.RunRequest(partition_key=day.isoformat(), tags={BATCH_TAG: batch})
        yield dg.SkipReason("No day is missing." if not wanted else "Some days were requested.")

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
    names = (backfill.partition_names if backfill else None) or []
    return [date.fromisoformat(name) for name in names]


def catch_up(
    instance: dg.DagsterInstance, warehouse: Warehouse, settings: Settings, *, now: datetime
) -> tuple[list[date], str]:
    """The missing days to request now, and the batch that they belong to."""
    newest = yesterday(now)
    first = max(settings.lms_first_day, newest - timedelta(days=settings.lms_catch_up_days - 1))
    with warehouse.begin() as connection:
        loaded = loaded_days(connection, first, newest)
        opened = [b for b in open_batches(connection) if b.kind.startswith("catch_up")]
    gaps = missing_days(first, newest, loaded)
    runs = _runs_of_days(instance, gaps, since=now - timedelta(days=settings.lms_catch_up_days))
    running = {day for day, own in runs.items() if any(not run.has_ended for run in own)}
    # A day that the schedule is about to pull, or just pulls, is not missing yet.
    if _schedule_is_due(settings, now):
        running.add(newest)
    if opened:
        batch = opened[0]
        started = {run.day for run in runs_of(instance, batch.batch)}
        wanted = [day for day in map(date.fromisoformat, batch.days) if str(day) not in started]
        wanted = [day for day in wanted if day in gaps and day not in running]
        free = AT_A_TIME - len(running)
        return wanted[: max(free, 0)], batch.batch
    tries = {day: _tries(own) for day, own in runs.items()}
    wanted = days_to_request(
        gaps, running=running, tries=tries, now=now.astimezone(UTC).replace(tzinfo=None)
    )
    if not wanted:
        return [], ""
    again = all(tries.get(day, Tries()).failed for day in wanted)
    batch_name = f"catch-up-{now:%Y-%m-%dT%H%M}"
    with warehouse.begin() as connection:
        kind = "catch_up_again" if again else "catch_up"
        open_batch(connection, batch_name, kind=kind, days=wanted)
    return wanted[:AT_A_TIME], batch_name


def hopeless_days(
    instance: dg.DagsterInstance, warehouse: Warehouse, settings: Settings, now: datetime
) -> list[tuple[date, int, str]]:
    """Missing days that failed too often: the day, how often, its last run."""
    newest = yesterday(now)
    first = max(settings.lms_first_day, newest - timedelta(days=settings.lms_catch_up_days - 1))
    with warehouse.begin() as connection:
        gaps = missing_days(first, newest, loaded_days(connection, first, newest))
    runs = _runs_of_days(instance, gaps, since=now - timedelta(days=settings.lms_catch_up_days))
    tries = {day: _tries(own) for day, own in runs.items()}
    return [(day, tries[day].failed, runs[day][-1].run_id) for day in given_up(gaps, tries)]


def _schedule_is_due(settings: Settings, now: datetime) -> bool:
    """Between midnight and an hour after LMS_HOUR yesterday is left to the schedule."""
    return now.astimezone(settings.zone).hour <= settings.lms_hour


def _runs_of_days(
    instance: dg.DagsterInstance, days: list[date], *, since: datetime
) -> dict[date, list[BatchRun]]:
    """The runs of each of the days, oldest first."""
    from lms_assets.automation.batches import batch_run

    wanted = {day.isoformat() for day in days}
    found: dict[date, list[BatchRun]] = {}
    for record in reversed(instance.get_run_records(dg.RunsFilter(updated_after=since))):
        day = record.dagster_run.tags.get(PARTITION_TAG)
        if day in wanted:
            found.setdefault(date.fromisoformat(day), []).append(batch_run(record))
    return found


def _tries(runs: list[BatchRun]) -> Tries:
    failed = [run for run in runs if run.has_ended and not run.succeeded]
    if not failed:
        return Tries()
    last = max(run.changed_at for run in failed)
    return Tries(len(failed), last.astimezone(UTC).replace(tzinfo=None))
