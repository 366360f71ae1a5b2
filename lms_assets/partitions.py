"""The one partitions definition: a day in the set zone.

Dagster needs it while modules load, so this is the one module that reads
settings at import. Changing the zone keeps the same keys with other windows,
which is why the platform refuses it once a day was loaded.
"""

from datetime import UTC, date, datetime, timedelta

import dagster as dg

from lms_assets.attempts.cleaning import Window
from lms_assets.settings import load_settings

_settings = load_settings()

attempt_days = dg.DailyPartitionsDefinition(
    start_date=_settings.lms_first_day.isoformat(),
    timezone=_settings.lms_timezone,
    fmt="%Y-%m-%d",
)


def window_of(day: date) -> Window:
    """The day's half-open window, naive UTC: 23 or 25 hours where the zone changes its clocks."""
    window = attempt_days.time_window_for_partition_key(day.isoformat())
    return Window(start=_naive_utc(window.start), end=_naive_utc(window.end))


def yesterday(now: datetime) -> date:
    """The newest day that is over in the set zone."""
    return now.astimezone(_settings.zone).date() - timedelta(days=1)


def _naive_utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)
