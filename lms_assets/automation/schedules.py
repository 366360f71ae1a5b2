"""The schedule that pulls yesterday and late days."""

from collections.abc import Iterator, Sequence
from datetime import date, datetime

import dagster as dg

from lms_assets.automation.jobs import daily_attempts
from lms_assets.days import yesterday
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.batches import open_batch
from lms_assets.runs.due import CRON_DAYS, days_of_a_tick
from lms_assets.runs.tags import BATCH_TAG
from lms_assets.settings import Settings


def scheduled_attempts(settings: Settings) -> dg.ScheduleDefinition:
    """The schedule: on by default, at LMS_HOUR in LMS_TIMEZONE."""

    @dg.schedule(
        name="scheduled_attempts",
        job=daily_attempts,
        cron_schedule=f"0 {settings.lms_hour} {CRON_DAYS[settings.lms_schedule]} * *",
        execution_timezone=settings.lms_timezone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Pulls yesterday, and the days before it again for records that came late.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, warehouse: Warehouse
    ) -> Iterator[dg.RunRequest]:
        batch, days = batch_of_tick(settings, context.scheduled_execution_time)
        with warehouse.begin() as connection:
            open_batch(connection, batch, kind="schedule", days=days)
        yield from requests_of_tick(batch, days)

    return schedule


def batch_of_tick(settings: Settings, tick: datetime) -> tuple[str, list[date]]:
    """The batch of a tick, and the days that it pulls, newest first."""
    days = days_of_a_tick(
        yesterday(tick, settings.zone),
        schedule=settings.lms_schedule,
        late_days=settings.lms_late_days,
        first_day=settings.lms_first_day,
    )
    return f"schedule-{tick:%Y-%m-%dT%H%M}", days


def requests_of_tick(batch: str, days: Sequence[date]) -> Iterator[dg.RunRequest]:
    """A run for each day. Its run key keeps a repeated tick from starting a second run."""
    for day in days:
        yield dg.RunRequest(
            run_key=f"{batch}-{day}", partition_key=day.isoformat(), tags={BATCH_TAG: batch}
        )
