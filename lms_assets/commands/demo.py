"""The demo: made-up or recorded students, embedded parts only, whatever is configured."""

import shutil
from datetime import date, datetime, timedelta
from pathlib import Path

from lms_assets.days import days_between, yesterday
from lms_assets.embedded.demo_api import days_in
from lms_assets.settings import Settings, load_settings


def demo_settings(records: Path | None) -> Settings:
    """The demo's settings, with the recorded records in its home, or none there.

    Raises:
        Fault: The file is not a JSON array of records.
    """
    settings = load_settings(demo=True)
    kept = settings.lms_home / "demo_records.json"
    if records is None:
        kept.unlink(missing_ok=True)
    else:
        days_in(records, settings.zone)
        settings.lms_home.mkdir(parents=True, exist_ok=True)
        if records.resolve() != kept:
            shutil.copyfile(records, kept)
    return settings


def demo_days(settings: Settings, *, days: int, now: datetime) -> list[date]:
    """The days to materialize, in order: those of the records, or the newest whole days."""
    if settings.demo_records:
        return days_in(settings.demo_records, settings.zone)
    newest = yesterday(now, settings.zone)
    return days_between(newest - timedelta(days=days - 1), newest)
