"""The quarantine of many days, cleaned again by today's rules: a transaction per day."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime

from lms_assets.attempts.cleaning import Tombstones
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.quarantine import ADOPTED, CHOSEN, DayReplay, replay_day, typed
from lms_assets.days import Window
from lms_assets.resources.warehouse import Warehouse


@dataclass(frozen=True)
class Replay:
    """What became of the quarantined records of several days, which are in their order."""

    days: tuple[DayReplay, ...]

    @property
    def total(self) -> Fates:
        """Of the records of all days."""
        return sum((day.fates for day in self.days), Fates())

    @property
    def changed_days(self) -> list[date]:
        """The days that have new attempts: their figures must be computed anew."""
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
    """The quarantine holds only what today's rules refuse, by the reason that they give.

    A transaction per day: what was replayed before a fault stays replayed, and a
    second call goes on with the rest. What adoption set aside is left alone unless
    its reason is asked for.

    Args:
        warehouse: Migrated.
        window_of: The half-open UTC window of a day.
        tomorrow: The instant from which on an attempt cannot have been made yet.
        run_id: What the ledger's rows are filed under.
        reason: Only records set aside for it.
        first: Only days from this one on.
        last: Only days up to this one, included.
        tombstones: Whose records are dropped.
        tell: Is told of each day when it is done.

    Raises:
        Fault: The database's, by name.
    """
    done: list[DayReplay] = []
    for day in _days_with(warehouse, reason, first, last):
        one = warehouse.in_transaction(
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
        done.append(one)
        if tell:
            tell(one)
    return Replay(tuple(done))


def _days_with(
    warehouse: Warehouse, reason: str | None, first: date | None, last: date | None
) -> list[date]:
    statement = f"""
        select distinct day from rejected_records
        where {CHOSEN} and day >= coalesce(:first, '-infinity')
            and day <= coalesce(:last, 'infinity')
        order by day
    """
    rows = warehouse.rows(typed(statement), reason=reason, adopted=ADOPTED, first=first, last=last)
    return [row["day"] for row in rows]
