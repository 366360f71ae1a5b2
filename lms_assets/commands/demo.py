"""The demo: made-up or recorded students, embedded parts only, whatever is configured."""

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
    Row,
    Taken,
    names_in,
    write_records,
)
from lms_assets.texts import Texts

# Each day from the first is a partition: a slip of the pen in a year would make 700,000.
FIRST_RECORDED_DAY = date(2000, 1, 1)


def demo_settings(
    records: Path | None, *, now: datetime, tell: Callable[[str], None] = click.echo
) -> Settings:
    """The demo's settings, with the recorded records in its home, or none there.

    Args:
        records: A JSON array of API records, or the folder of a ProgSnap2 dataset.
        tell: Hears what became of a dataset's events.

    Raises:
        Fault: It is neither.
        click.ClickException: No day in it can be loaded; nothing was begun.
    """
    settings = load_settings(demo=True)
    kept = settings.lms_home / "demo_records.json"
    if records is None:
        kept.unlink(missing_ok=True)
        _write_names(settings, _made_up_names(Texts(settings.lms_language)))
        return settings
    with tempfile.TemporaryDirectory() as folder:
        file = records
        if records.is_dir():
            file = Path(folder) / f"{records.name}.json"
            _tell_of(write_records(records, file), tell)
        loadable_days(file, settings, now=now, called=records)
        settings.lms_home.mkdir(parents=True, exist_ok=True)
        if file.resolve() != kept:
            shutil.copyfile(file, kept)
    if records.is_dir():
        _write_names(settings, names_in(records))
    else:
        settings.demo_names_file.unlink(missing_ok=True)
    return settings


def _tell_of(taken: Taken, tell: Callable[[str], None]) -> None:
    """What a ProgSnap2 dataset holds that an attempt cannot hold."""
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
    """Courses and tasks have titles, as they should everywhere."""
    settings.lms_home.mkdir(parents=True, exist_ok=True)
    with settings.demo_names_file.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows((COLUMNS, *names))


def _made_up_names(texts: Texts) -> Iterable[Row]:
    for course, block, number in DemoStudents().blocks():
        if number == 1:
            yield f"course-v1:{course}", "", texts.text(f"demo.course.{course}"), ""
        title = texts.text("demo.task", number=number) if number else texts.text("demo.quiz")
        yield f"course-v1:{course}", block, title, ""


def demo_days(settings: Settings, *, days: int, now: datetime) -> list[date]:
    """The days to materialize, in order: those of the records, or the newest whole days."""
    if settings.demo_records:
        return loadable_days(settings.demo_records, settings, now=now)
    newest = yesterday(now, settings.zone)
    return days_between(newest - timedelta(days=days - 1), newest)


def loadable_days(
    records: Path, settings: Settings, *, now: datetime, called: Path | None = None
) -> list[date]:
    """The days of the file that are over and not before 2000, in order.

    Args:
        called: What the person named who asked, where that is not the file.

    Raises:
        click.ClickException: There is none.
    """
    newest = yesterday(now, settings.zone)
    recorded = days_in(records, settings.zone)
    found = [day for day in recorded if FIRST_RECORDED_DAY <= day <= newest]
    if not found:
        held = f"only records of {recorded[0]} to {recorded[-1]}" if recorded else "no record"
        raise click.ClickException(
            f"{called or records} holds {held}: a record of a day from {FIRST_RECORDED_DAY} "
            f"to {newest} is needed."
        )
    return found


def left_out_days(settings: Settings, *, now: datetime) -> list[date]:
    """The days of the records that cannot be loaded, in order."""
    if not settings.demo_records:
        return []
    loadable = loadable_days(settings.demo_records, settings, now=now)
    return sorted(set(days_in(settings.demo_records, settings.zone)) - set(loadable))
