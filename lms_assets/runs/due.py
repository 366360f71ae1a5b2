"""Which days a schedule pulls, when, and which of them should be there by now; pure."""

from datetime import date, datetime, timedelta

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
    tick = _hour_of_the_day(settings, now)
    while tick <= now or not _is_due(settings, tick.date()):
        tick += timedelta(days=1)
    return tick


def last_tick(settings: Settings, now: datetime) -> datetime:
    """When the schedule should have run last, now included; aware, in the set zone."""
    tick = _hour_of_the_day(settings, now)
    while tick > now or not _is_due(settings, tick.date()):
        tick -= timedelta(days=1)
    return tick


def newest_due_day(settings: Settings, now: datetime, *, grace: timedelta) -> date:
    """The newest day that the schedule has pulled, if all is well.

    Args:
        grace: How long after its hour a tick may take.
    """
    return last_tick(settings, now - grace).date() - timedelta(days=1)


def _hour_of_the_day(settings: Settings, now: datetime) -> datetime:
    local = now.astimezone(settings.zone)
    return local.replace(hour=settings.lms_hour, minute=0, second=0, microsecond=0, fold=0)


def _is_due(settings: Settings, day: date) -> bool:
    """As cron reads ``*/3``: the 1st, 4th, 7th … of each month."""
    return (day.day - 1) % DAYS_OF[settings.lms_schedule] == 0
