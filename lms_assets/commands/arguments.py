"""The kinds of argument that several commands take: a day, a range of days, a file."""

from datetime import UTC, date, datetime
from pathlib import Path

import click

from lms_assets.days import days_between, yesterday
from lms_assets.settings import Settings


class Day(click.ParamType[date]):
    """A day as ``2025-07-24``."""

    name = "day"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        """The day, or a usage error that says how to write one."""
        try:
            return value if isinstance(value, date) else date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a day: write it as 2025-07-24.", param, ctx)


DAY = Day()
FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
EXISTING = click.Path(exists=True, path_type=Path)


def ended_day(day: date | None, settings: Settings) -> date:
    """A day that is over and that has a partition; yesterday for None.

    Raises:
        click.UsageError: It has not ended, or is before the first day.
    """
    newest = yesterday(datetime.now(UTC), settings.zone)
    wanted = day or newest
    if wanted > newest:
        raise click.UsageError(f"{wanted} is not over yet: the newest whole day is {newest}.")
    if wanted < settings.lms_first_day:
        earlier = "./lms demo --days N makes it" if settings.is_demo else "set it"
        raise click.UsageError(
            f"{wanted} is before LMS_FIRST_DAY ({settings.lms_first_day}): {earlier} earlier."
        )
    return wanted


def refuse_reversed(first: date, last: date) -> None:
    """The range begins before it ends.

    Raises:
        click.UsageError: ``first`` is after ``last``.
    """
    if first > last:
        raise click.UsageError(f"{first} is after {last}: give the earlier day first.")


def ended_days(first: date, last: date, settings: Settings) -> list[date]:
    """Every day from ``first`` to ``last``, both included.

    Raises:
        click.UsageError: Not all of them are over and have a partition.
    """
    refuse_reversed(first, last)
    return days_between(ended_day(first, settings), ended_day(last, settings))
