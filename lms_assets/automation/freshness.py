"""Whether yesterday is there in time: judged from the ledger, and shown in the page.

The newest materialization says nothing of it: an old day's backfill makes one too.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.due import newest_due_day
from lms_assets.settings import Settings

# By its name: the asset's module reads the settings, which `lms doctor --help` must not need.
ATTEMPTS_TABLE = dg.AssetKey("attempts_table")
CHECK = "yesterday_is_loaded"
CHECK_KEY = dg.AssetCheckKey(ATTEMPTS_TABLE, CHECK)
LATE_AFTER = timedelta(hours=2)


@dataclass(frozen=True)
class Freshness:
    """Whether the newest day that should be loaded is.

    Attributes:
        day: None where no day is due yet.
    """

    day: date | None
    is_loaded: bool

    @property
    def says(self) -> str:
        """One line for a person, with what to do."""
        if self.day is None:
            return "no day is due yet"
        loaded = f"{self.day} is loaded"
        return loaded if self.is_loaded else f"{self.day} is not loaded: ./lms run {self.day}"


def freshness(settings: Settings, warehouse: Warehouse, *, now: datetime) -> Freshness:
    """How it is two hours after LMS_HOUR; before, the day before is what must be there."""
    day = newest_due_day(settings, now, grace=LATE_AFTER)
    if day < settings.lms_first_day:
        return Freshness(None, is_loaded=True)
    held = warehouse.rows("select 1 from load_ledger where day = :day limit 1", day=day)
    return Freshness(day, is_loaded=bool(held))


def evaluation(judged: Freshness) -> dg.AssetCheckEvaluation:
    """What the page shows of it, recorded outside any run."""
    return dg.AssetCheckEvaluation(
        asset_key=ATTEMPTS_TABLE,
        check_name=CHECK,
        passed=judged.is_loaded,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"day": str(judged.day), "says": judged.says},
    )


def freshness_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The check as a person runs it from the page; a sensor records the same by itself."""

    @dg.asset_check(
        name=CHECK,
        asset=ATTEMPTS_TABLE,
        description="Yesterday is in the ledger two hours after LMS_HOUR, whatever ran last.",
    )
    def yesterday_is_loaded(warehouse: Warehouse) -> dg.AssetCheckResult:
        return check_result(freshness(settings, warehouse, now=datetime.now(UTC)))

    return [yesterday_is_loaded]


def check_result(judged: Freshness) -> dg.AssetCheckResult:
    """What the page shows of it where a person ran the check."""
    return dg.AssetCheckResult(
        passed=judged.is_loaded,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"day": str(judged.day), "says": judged.says},
    )
