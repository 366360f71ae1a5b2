"""The demo's settings and days: made-up or recorded students, embedded systems only."""

import csv
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from pathlib import Path

import click

from lms_assets.days import days_between, yesterday
from lms_assets.embedded.demo_api import days_in
from lms_assets.embedded.demo_students import DemoStudents
from lms_assets.settings import Settings, load_settings
from lms_assets.statistics.names import COLUMNS
from lms_assets.statistics.progsnap2_records import (
    EventCounts,
    Row,
    names_in,
    write_records,
)
from lms_assets.texts import Texts

# Each day from the first one is a partition: a wrong year, such as 0025, would make 700,000.
FIRST_RECORDED_DAY = date(2000, 1, 1)


def demo_settings(
    records: Path | None, *, now: datetime, tell: Callable[[str], None] = click.echo
) -> Settings:
    """The demo's settings; the demo's home holds the recorded records, if there are some.

    Args:
        records: A JSON array of API records, or the folder of a ProgSnap2 dataset.
        now: Aware.
        tell: Called with sentences about the dataset's events that were left out or interpreted.

    Raises:
        Fault: The records are neither.
        click.ClickException: No day in the records can be loaded; nothing was begun.
    """
    settings = load_settings(demo=True)
    stored = settings.lms_home / "demo_records.json"
    if records is None:
        stored.unlink(missing_ok=True)
        _write_names(settings, _made_up_names(Texts(settings.lms_language)))
        return settings
    with tempfile.TemporaryDirectory() as folder:
        file = records
        if records.is_dir():
            file = Path(folder) / f"{records.name}.json"
            _tell_of(write_records(records, file), tell)
        loadable_days(file, settings, now=now, called=records)
        settings.lms_home.mkdir(parents=True, exist_ok=True)
        if file.resolve() != stored:
            shutil.copyfile(file, stored)
    if records.is_dir():
        _write_names(settings, names_in(records))
    else:
        settings.demo_names_file.unlink(missing_ok=True)
    return settings


def _tell_of(taken: EventCounts, tell: Callable[[str], None]) -> None:
    """``tell`` has been called with what was taken from the dataset and what was left out."""
    events = taken.attempts + taken.left_out.total()
    tell(f"Of {events:,} events of the dataset {taken.attempts:,} are attempts.")
    if taken.left_out:
        tell(f"Left out: {_listed(taken.left_out)}.")
    if +taken.changed:
        tell(f"Understood in our way: {_listed(+taken.changed)}.")
    tell("What students wrote is not read.")


def _listed(counts: Counter[str]) -> str:
    return "; ".join(f"{name}: {number:,}" for name, number in counts.most_common())


def _write_names(settings: Settings, names: Iterable[Row]) -> None:
    """The demo's file of names has these titles of courses and tasks."""
    settings.lms_home.mkdir(parents=True, exist_ok=True)
    with settings.demo_names_file.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows((COLUMNS, *names))


def _made_up_names(texts: Texts) -> Iterable[Row]:
    for course, block, name in DemoStudents().blocks():
        if name == 1:
            yield f"course-v1:{course}", "", texts.text(f"demo.course.{course}"), ""
        is_numbered = isinstance(name, int)
        title = texts.text("demo.task", number=name) if is_numbered else texts.text(f"demo.{name}")
        yield f"course-v1:{course}", block, title, ""


def demo_days(settings: Settings, *, days: int, now: datetime) -> list[date]:
    """The days to load, in order: those of the records, or the ``days`` newest ended days."""
    if settings.demo_records:
        return loadable_days(settings.demo_records, settings, now=now)
    newest = yesterday(now, settings.zone)
    return days_between(newest - timedelta(days=days - 1), newest)


def loadable_days(
    records: Path, settings: Settings, *, now: datetime, called: Path | None = None
) -> list[date]:
    """The days in the file that have ended and are not before 2000, in order.

    Args:
        records: A JSON array of API records.
        settings: The demo's settings.
        now: Aware.
        called: The path for the error's text, if the person gave another one than ``records``.

    Raises:
        click.ClickException: There is no such day.
    """
    newest = yesterday(now, settings.zone)
    recorded = days_in(records, settings.zone)
    loadable = [day for day in recorded if FIRST_RECORDED_DAY <= day <= newest]
    if not loadable:
        content = f"only records of {recorded[0]} to {recorded[-1]}" if recorded else "no record"
        raise click.ClickException(
            f"{called or records} holds {content}: a record of a day from {FIRST_RECORDED_DAY} "
            f"to {newest} is needed."
        )
    return loadable


def left_out_days(settings: Settings, *, now: datetime) -> list[date]:
    """The days in the records that cannot be loaded, in order."""
    if not settings.demo_records:
        return []
    loadable = loadable_days(settings.demo_records, settings, now=now)
    return sorted(set(days_in(settings.demo_records, settings.zone)) - set(loadable))
