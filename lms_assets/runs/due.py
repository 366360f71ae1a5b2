"""Which days the schedule pulls and when, and which days should be loaded by now; pure."""

from datetime import date, datetime, timedelta

from lms_assets.settings import Settings

DAYS_OF = {"daily": 1, "every_3_days": 3}
CRON_DAYS = {"daily": "*", "every_3_days": "*/3"}


def days_of_a_tick(newest: date, *, schedule: str, late_days: int, first_day: date) -> list[date]:
    """The days that a scheduled tick pulls, newest first.

    Args:
        newest: Yesterday, the newest day that is over.
        schedule: ``daily`` or ``every_3_days``.
        late_days: How many earlier days are pulled again, for records that arrived late.
        first_day: Earlier days are left out.
    """
    days = [newest - timedelta(days=n) for n in range(DAYS_OF[schedule] + late_days)]
    return [day for day in days if day >= first_day]


def next_tick(settings: Settings, now: datetime) -> datetime:
    """The schedule's next tick after ``now``: aware, in LMS_TIMEZONE."""
    tick = _hour_of_the_day(settings, now)
    while tick <= now or not _is_due(settings, tick.date()):
        tick += timedelta(days=1)
    return tick


def last_tick(settings: Settings, now: datetime) -> datetime:
    """The schedule's last tick at or before ``now``: aware, in LMS_TIMEZONE."""
    tick = _hour_of_the_day(settings, now)
    while tick > now or not _is_due(settings, tick.date()):
        tick -= timedelta(days=1)
    return tick


def newest_due_day(settings: Settings, now: datetime, *, grace: timedelta) -> date:
    """The newest day that should be loaded at ``now``.

    Args:
        grace: How long a tick may take after LMS_HOUR.
    """
    return last_tick(settings, now - grace).date() - timedelta(days=1)


def _hour_of_the_day(settings: Settings, now: datetime) -> datetime:
    local = now.astimezone(settings.zone)
    return local.replace(hour=settings.lms_hour, minute=0, second=0, microsecond=0, fold=0)


def _is_due(settings: Settings, day: date) -> bool:
    """Whether the schedule runs on this day; for cron ``*/3`` is the 1st, 4th, 7th … of a month."""
    return (day.day - 1) % DAYS_OF[settings.lms_schedule] == 0
