"""Which days are missing, and which of them to ask for now; pure."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from lms_assets.days import days_between

MAX_TRIES = 5
# After the first failure; each later one doubles it: an outage of an afternoon is survived.
TRY_AGAIN_AFTER = timedelta(minutes=30)
AT_A_TIME = 3


@dataclass(frozen=True)
class Tries:
    """How often a day's runs have failed.

    Attributes:
        last_failed_at: Naive UTC.
        needs_a_person: The last one failed for good (a credential, a setting), and nothing has
            shown since that somebody mended it.
    """

    failed: int = 0
    last_failed_at: datetime | None = None
    needs_a_person: bool = False


def missing_days(first: date, last: date, loaded: Collection[date]) -> list[date]:
    """The days from ``first`` to ``last`` (both included) that are not loaded, in order."""
    held = set(loaded)
    return [day for day in days_between(first, last) if day not in held]


def days_to_request(
    missing: Collection[date],
    *,
    running: Collection[date],
    tries: Mapping[date, Tries],
    now: datetime,
) -> list[date]:
    """The missing days to run again, newest first, as far as another try makes sense.

    Args:
        missing: Days that the ledger does not hold.
        running: Days that a run is under way for.
        tries: Day → its failed runs, as far as it has some.
        now: Naive UTC, as ``Tries.last_failed_at``.
    """
    return [
        day
        for day in sorted(missing, reverse=True)
        if day not in running and _may_be_tried(tries.get(day, Tries()), now)
    ]


def given_up(missing: Collection[date], tries: Mapping[date, Tries]) -> list[date]:
    """The missing days that failed too often to be asked for again, newest first."""
    return [d for d in sorted(missing, reverse=True) if tries.get(d, Tries()).failed >= MAX_TRIES]


def _may_be_tried(tries: Tries, now: datetime) -> bool:
    if tries.last_failed_at is None:
        return True
    if tries.needs_a_person or tries.failed >= MAX_TRIES:
        return False
    doubled: int = 2 ** (tries.failed - 1)
    return now - tries.last_failed_at >= TRY_AGAIN_AFTER * doubled
