"""Which days are missing, and which of them to request now; pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from lms_assets.days import days_between

MAX_TRIES = 5
# The pause after the first failure. Each further failure doubles it: 30 min, 1 h, 2 h, 4 h, so
# that an outage of an afternoon does not use up all tries.
TRY_AGAIN_AFTER = timedelta(minutes=30)
AT_A_TIME = 3


@dataclass(frozen=True)
class Tries:
    """How often a day's runs have failed.

    Attributes:
        last_failed_at: Naive UTC.
        needs_a_person: The last run ended with a permanent fault (a credential, a setting), and
            no day was loaded since then.
    """

    failed: int = 0
    last_failed_at: datetime | None = None
    needs_a_person: bool = False


def missing_days(first: date, last: date, loaded: Collection[date]) -> list[date]:
    """The days from ``first`` to ``last`` (both included) that are not loaded, in order."""
    loaded_days = set(loaded)
    return [day for day in days_between(first, last) if day not in loaded_days]


def days_to_request(
    missing: Collection[date],
    *,
    running: Collection[date],
    tries: Mapping[date, Tries],
    now: datetime,
) -> list[date]:
    """The missing days to run now, newest first, without those that must wait or are given up.

    Args:
        missing: Days that are not loaded.
        running: Days that have an unfinished run.
        tries: Day → its failed runs; days without one are left out.
        now: Naive UTC, as ``Tries.last_failed_at``.
    """
    return [
        day
        for day in sorted(missing, reverse=True)
        if day not in running and _may_be_tried(tries.get(day, Tries()), now)
    ]


def given_up(missing: Collection[date], tries: Mapping[date, Tries]) -> list[date]:
    """The missing days that failed MAX_TRIES times or more, newest first."""
    return [d for d in sorted(missing, reverse=True) if tries.get(d, Tries()).failed >= MAX_TRIES]


def _may_be_tried(tries: Tries, now: datetime) -> bool:
    if tries.last_failed_at is None:
        return True
    if tries.needs_a_person or tries.failed >= MAX_TRIES:
        return False
    doubled: int = 2 ** (tries.failed - 1)
    return now - tries.last_failed_at >= TRY_AGAIN_AFTER * doubled
