"""Whether yesterday was loaded in time: read from the ledger, shown on Dagster's page as a check.

The time of the newest materialization cannot tell: the backfill of an old day makes one too.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.due import newest_due_day
from lms_assets.settings import Settings

# The key is written out: the asset's module reads the settings, and `lms doctor --help` must
# work without settings.
ATTEMPTS_TABLE = dg.AssetKey("attempts_table")
CHECK = "yesterday_is_loaded"
CHECK_KEY = dg.AssetCheckKey(ATTEMPTS_TABLE, CHECK)
LATE_AFTER = timedelta(hours=2)


@dataclass(frozen=True)
class Freshness:
    """Whether the newest day that is due is loaded.

    Attributes:
        day: The newest day that is due; None where no day is due yet.
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
    """The freshness at ``now``. Yesterday is due two hours after LMS_HOUR.

    Example with LMS_HOUR=7: at 08:59 on 25 July the newest due day is 23 July, at 09:00 it is
    24 July.
    """
    day = newest_due_day(settings, now, grace=LATE_AFTER)
    if day < settings.lms_first_day:
        return Freshness(None, is_loaded=True)
    loads = warehouse.rows("select 1 from load_ledger where day = :day limit 1", day=day)
    return Freshness(day, is_loaded=bool(loads))


def evaluation(judged: Freshness) -> dg.AssetCheckEvaluation:
    """The check's result as an event that a sensor records, outside any run."""
    return dg.AssetCheckEvaluation(
        asset_key=ATTEMPTS_TABLE,
        check_name=CHECK,
        passed=judged.is_loaded,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"day": str(judged.day), "says": judged.says},
    )


def freshness_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The check, for a person who runs it on Dagster's page; a sensor records it by itself."""

    @dg.asset_check(
        name=CHECK,
        asset=ATTEMPTS_TABLE,
        description="Yesterday is in the ledger two hours after LMS_HOUR, whatever ran last.",
    )
    def yesterday_is_loaded(warehouse: Warehouse) -> dg.AssetCheckResult:
        return check_result(freshness(settings, warehouse, now=datetime.now(UTC)))

    return [yesterday_is_loaded]


def check_result(judged: Freshness) -> dg.AssetCheckResult:
    """The check's result where a person ran the check."""
    return dg.AssetCheckResult(
        passed=judged.is_loaded,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"day": str(judged.day), "says": judged.says},
    )
