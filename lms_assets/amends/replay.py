"""Replay: the quarantined records of many days are cleaned again by the present rules."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from lms_assets.attempts.cleaning import Tombstones
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.quarantine import ADOPTED, CHOSEN, DayReplay, replay_day, with_types
from lms_assets.days import Window
from lms_assets.resources.warehouse import Warehouse


@dataclass(frozen=True)
class Replay:
    """The result of a replay, day by day in order."""

    days: tuple[DayReplay, ...]

    @property
    def total(self) -> Fates:
        """The fates of the records of all days."""
        return sum((day.fates for day in self.days), Fates())

    @property
    def changed_days(self) -> list[date]:
        """The days that have new attempts, so that their figures must be computed again."""
        return [day.day for day in self.days if day.fates.inserted]


def replay(
    warehouse: Warehouse,
    *,
    window_of: Callable[[date], Window],
    tomorrow: datetime,
    run_id: str,
    reason: str | None = None,
    first: date | None = None,
    last: date | None = None,
    tombstones: Tombstones | None = None,
    tell: Callable[[DayReplay], None] | None = None,
) -> Replay:
    """The quarantine holds only records that the present rules refuse, with their reason.

    Each day is a transaction of its own: after a fault the finished days stay replayed, and a
    second call does the others. Rows that an adoption set aside stay, unless ``reason`` asks for
    them.

    Args:
        warehouse: A migrated database.
        window_of: Gives a day's half-open UTC window.
        tomorrow: The end of tomorrow, naive UTC; later attempts are refused.
        run_id: The run id of the ledger's new rows.
        reason: Only records with this reason.
        first: Only this day and later ones.
        last: Only this day and earlier ones.
        tombstones: Know the erased students, whose records are dropped.
        tell: Called with each day's result.

    Raises:
        Fault: The database failed or refused.
    """
    days: list[DayReplay] = []
    for day in _days_with(warehouse, reason, first, last):
        replayed = warehouse.in_transaction(
            lambda connection, day=day: replay_day(  # type: ignore[misc]
                connection,
                day,
                window=window_of(day),
                tomorrow=tomorrow,
                run_id=run_id,
                reason=reason,
                tombstones=tombstones,
            )
        )
        days.append(replayed)
        if tell:
            tell(replayed)
    return Replay(tuple(days))


def _days_with(
    warehouse: Warehouse, reason: str | None, first: date | None, last: date | None
) -> list[date]:
    statement = f"""
        select distinct day from rejected_records
        where {CHOSEN} and day >= coalesce(:first, '-infinity')
            and day <= coalesce(:last, 'infinity')
        order by day
    """
    rows = warehouse.rows(
        with_types(statement), reason=reason, adopted=ADOPTED, first=first, last=last
    )
    return [row["day"] for row in rows]
