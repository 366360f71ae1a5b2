"""The one partitions definition: a day in the set zone.

Dagster needs it while modules load, so this is the one module that reads
settings at import. Changing the zone keeps the same keys with other windows,
which is why the platform refuses it once a day was loaded.
"""

from datetime import date

import dagster as dg

from lms_assets import days
from lms_assets.settings import load_settings

_settings = load_settings()

attempt_days = dg.DailyPartitionsDefinition(
    start_date=_settings.lms_first_day.isoformat(),
    timezone=_settings.lms_timezone,
    fmt="%Y-%m-%d",
)


def window_of(day: date) -> days.Window:
    """The day's half-open window in the set zone, naive UTC."""
    return days.window_of(day, _settings.zone)
