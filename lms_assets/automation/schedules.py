"""When the days are pulled by themselves."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta

import dagster as dg

from lms_assets.automation.batches import open_batch
from lms_assets.automation.jobs import daily_attempts
from lms_assets.partitions import yesterday
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs import BATCH_TAG
from lms_assets.settings import Settings

DAYS_OF = {"daily": 1, "every_3_days": 3}
CRON_DAYS = {"daily": "*", "every_3_days": "*/3"}


def days_of_a_tick(newest: date, *, schedule: str, late_days: int, first_day: date) -> list[date]:
    """The days that a scheduled tick pulls, newest first.

    Args:
        newest: Yesterday, the newest day that is over.
        schedule: ``daily`` or ``every_3_days``.
        late_days: How many days before are pulled again, for records that came late.
        first_day: No day before it exists.
    """
    days = [newest - timedelta(days=n) for n in range(DAYS_OF[schedule] + late_days)]
    return [day for day in days if day >= first_day]


def next_tick(settings: Settings, now: datetime) -> datetime:
    """When the schedule runs next, aware, in the set zone."""
    local = now.astimezone(settings.zone)
    tick = local.replace(hour=settings.lms_hour, minute=0, second=0, microsecond=0)
    step = DAYS_OF[settings.lms_schedule]
    while tick <= local or (tick.day - 1) % step:
        tick += timedelta(days=1)
    return tick


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
        days = days_of_a_tick(
            yesterday(context.scheduled_execution_time),
            schedule=settings.lms_schedule,
            late_days=settings.lms_late_days,
            first_day=settings.lms_first_day,
        )
        batch = f"schedule-{context.scheduled_execution_time:%Y-%m-%dT%H%M}"
        with warehouse.begin() as connection:
            open_batch(connection, batch, kind="schedule", days=days)
        for day in days:
            yield dg.RunRequest(
                run_key=f"{batch}-{day}",
                partition_key=day.isoformat(),
                tags={BATCH_TAG: batch},
            )

    return schedule
