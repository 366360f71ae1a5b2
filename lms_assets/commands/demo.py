"""The demo: made-up or recorded students, embedded parts only, whatever is configured."""

import csv
import shutil
from datetime import date, datetime, timedelta
from pathlib import Path

import click

from lms_assets.days import days_between, yesterday
from lms_assets.embedded.demo_api import days_in
from lms_assets.embedded.demo_students import DemoStudents
from lms_assets.settings import Settings, load_settings
from lms_assets.statistics.names import COLUMNS
from lms_assets.texts import Texts

# Each day from the first is a partition: a slip of the pen in a year would make 700,000.
FIRST_RECORDED_DAY = date(2000, 1, 1)


def demo_settings(records: Path | None, *, now: datetime) -> Settings:
    """The demo's settings, with the recorded records in its home, or none there.

    Raises:
        Fault: The file is not a JSON array of records.
        click.ClickException: No day in it can be loaded; nothing was begun.
    """
    settings = load_settings(demo=True)
    kept = settings.lms_home / "demo_records.json"
    if records is None:
        kept.unlink(missing_ok=True)
        _write_names(settings)
        return settings
    loadable_days(records, settings, now=now)
    settings.lms_home.mkdir(parents=True, exist_ok=True)
    if records.resolve() != kept:
        shutil.copyfile(records, kept)
    settings.demo_names_file.unlink(missing_ok=True)
    return settings


def _write_names(settings: Settings) -> None:
    """Courses and tasks of the made-up students have titles, as they should everywhere."""
    texts = Texts(settings.lms_language)
    settings.lms_home.mkdir(parents=True, exist_ok=True)
    with settings.demo_names_file.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(COLUMNS)
        for course, block, number in DemoStudents().blocks():
            if number == 1:
                rows.writerow((f"course-v1:{course}", "", texts.text(f"demo.course.{course}"), ""))
            title = texts.text("demo.task", number=number) if number else texts.text("demo.quiz")
            rows.writerow((f"course-v1:{course}", block, title, ""))


def demo_days(settings: Settings, *, days: int, now: datetime) -> list[date]:
    """The days to materialize, in order: those of the records, or the newest whole days."""
    if settings.demo_records:
        return loadable_days(settings.demo_records, settings, now=now)
    newest = yesterday(now, settings.zone)
    return days_between(newest - timedelta(days=days - 1), newest)


def loadable_days(records: Path, settings: Settings, *, now: datetime) -> list[date]:
    """The days of the file that are over and not before 2000, in order.

    Raises:
        click.ClickException: There is none.
    """
    newest = yesterday(now, settings.zone)
    recorded = days_in(records, settings.zone)
    found = [day for day in recorded if FIRST_RECORDED_DAY <= day <= newest]
    if not found:
        held = f"only records of {recorded[0]} to {recorded[-1]}" if recorded else "no record"
        raise click.ClickException(
            f"{records} holds {held}: a record of a day from {FIRST_RECORDED_DAY} "
            f"to {newest} is needed."
        )
    return found


def left_out_days(settings: Settings, *, now: datetime) -> list[date]:
    """The days of the records that cannot be loaded, in order."""
    if not settings.demo_records:
        return []
    loadable = loadable_days(settings.demo_records, settings, now=now)
    return sorted(set(days_in(settings.demo_records, settings.zone)) - set(loadable))
