"""The partitions of all assets: one per day of LMS_TIMEZONE, from LMS_FIRST_DAY on.

Dagster needs the partitions while modules are imported, so only this module reads settings at
import. Another zone would give the same partition keys other windows. So the platform refuses to
run with another zone once a day is loaded.
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
