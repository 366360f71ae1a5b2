"""The stretch of time that one pull is about."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pandas as pd


@dataclass(frozen=True)
class Window:
    """A stretch of time, half-open: ``start`` belongs to it, ``end`` does not. Naive UTC."""

    start: datetime
    end: datetime


def within(window: Window, attempts: pd.DataFrame) -> pd.DataFrame:
    """Only the attempts made inside ``window``.

    The API may answer with the instant that ends the window, which belongs to
    the next day: kept here, it would be counted on both days.

    Args:
        window: Half-open, UTC.
        attempts: One row per attempt, with ``created_at`` (datetime64, naive UTC).

    Returns:
        The same columns, in the order received.
    """
    return attempts[attempts["created_at"].between(window.start, window.end, inclusive="left")]


def end_of_tomorrow(now: datetime) -> datetime:
    """The instant from which on no attempt can have been made: naive UTC."""
    later = now.astimezone(UTC) + timedelta(days=2)
    return later.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
