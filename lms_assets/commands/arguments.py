"""Types and checks of arguments that several commands take: a day, a range of days, a file."""

from datetime import UTC, date, datetime
from pathlib import Path

import click

from lms_assets.days import days_between, yesterday
from lms_assets.settings import Settings


class Day(click.ParamType[date]):
    """A day, written as ``2025-07-24``."""

    name = "day"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        """The day; a usage error says how to write one."""
        try:
            return value if isinstance(value, date) else date.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} is not a day: write it as 2025-07-24.", param, ctx)


DAY = Day()
FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
EXISTING = click.Path(exists=True, path_type=Path)


def ended_day(day: date | None, settings: Settings) -> date:
    """The day, which has ended and has a partition; yesterday for None.

    Raises:
        click.UsageError: The day has not ended, or is before LMS_FIRST_DAY.
    """
    newest = yesterday(datetime.now(UTC), settings.zone)
    ended = day or newest
    if ended > newest:
        raise click.UsageError(f"{ended} is not over yet: the newest whole day is {newest}.")
    if ended < settings.lms_first_day:
        earlier = "./lms demo --days N makes it" if settings.is_demo else "set it"
        raise click.UsageError(
            f"{ended} is before LMS_FIRST_DAY ({settings.lms_first_day}): {earlier} earlier."
        )
    return ended


def refuse_reversed(first: date, last: date) -> None:
    """``first`` is not after ``last``.

    Raises:
        click.UsageError: It is.
    """
    if first > last:
        raise click.UsageError(f"{first} is after {last}: give the earlier day first.")


def ended_days(first: date, last: date, settings: Settings) -> list[date]:
    """All days from ``first`` to ``last``, both included.

    Raises:
        click.UsageError: A day has not ended, or is before LMS_FIRST_DAY.
    """
    refuse_reversed(first, last)
    return days_between(ended_day(first, settings), ended_day(last, settings))
