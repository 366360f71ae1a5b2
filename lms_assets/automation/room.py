"""Whether the disks have room: for `lms doctor`, and as a check on Dagster's page."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from lms_assets.automation.freshness import ATTEMPTS_TABLE
from lms_assets.resources.warehouse import Warehouse
from lms_assets.settings import Settings

CHECK = "there_is_room"
MOST_USED = 0.8
LEAST_DAYS_LEFT = 30
# A day's growth is the mean over this many of the newest days.
DAYS_OF_GROWTH = 30


@dataclass(frozen=True)
class Room:
    """The room on a disk that holds data of the platform.

    Attributes:
        folder: A folder of the platform on this disk.
        used: The used share of the disk, 0 to 1.
        free: Free bytes.
        daily: Bytes that each day adds; 0 where no day is loaded yet.
    """

    folder: Path
    used: float
    free: int
    daily: int

    @property
    def days_left(self) -> int | None:
        """How many more days fit; None where the growth is not known."""
        return self.free // self.daily if self.daily else None

    @property
    def is_enough(self) -> bool:
        """Whether less than 80 % is used and 30 days still fit."""
        days = self.days_left
        return self.used < MOST_USED and (days is None or days >= LEAST_DAYS_LEFT)

    @property
    def says(self) -> str:
        """One line for a person, with what to do."""
        days_left = "" if self.days_left is None else f", room for {self.days_left:,} more days"
        state = f"{self.folder}: {self.used:.0%} used, {self.free / 2**30:.1f} GiB free{days_left}"
        advice = "" if self.is_enough else ": make room, or lower LMS_RUN_DAYS or set LMS_RAW_DAYS"
        return state + advice


def rooms(settings: Settings, warehouse: Warehouse | None) -> list[Room]:
    """The disk of LMS_HOME, and the lake's disk if that is another disk of this machine.

    Args:
        warehouse: None where it does not answer: the growth is then not known.
    """
    newest = "select day::text from load_ledger group by day order by day desc limit :n"
    days = [row["day"] for row in warehouse.rows(newest, n=DAYS_OF_GROWTH)] if warehouse else []
    lake = Path(settings.lake_url.removeprefix("file://"))
    is_here = "://" not in str(lake) and lake.is_dir()
    of_lake = _daily_of_lake(lake, days) if is_here else 0
    of_home = _daily_of_database(warehouse) if warehouse and settings.db_host is None else 0
    if is_here and lake.stat().st_dev == settings.lms_home.stat().st_dev:
        return [_room(settings.lms_home, of_home + of_lake)]
    home = _room(settings.lms_home, of_home)
    return [home, _room(lake, of_lake)] if is_here else [home]


def _room(folder: Path, daily: int) -> Room:
    disk = shutil.disk_usage(folder)
    # Blocks that are reserved for root count as used.
    return Room(folder, used=1 - disk.free / disk.total, free=disk.free, daily=daily)


def _daily_of_lake(lake: Path, days: list[str]) -> int:
    files = (
        file
        for kind in ("raw", "cleaned")
        for day in days
        for file in (lake / kind / day).glob("*")
    )
    return sum(file.stat().st_size for file in files) // max(1, len(days))


def _daily_of_database(warehouse: Warehouse) -> int:
    size = """
        select pg_database_size(current_database()) as bytes,
            (select count(distinct day) from load_ledger) as days
    """
    (database,) = warehouse.rows(size)
    return int(database["bytes"]) // int(database["days"]) if database["days"] > 1 else 0


def room_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """A check that warns. On a full disk the writing step fails, and no half-written file stays."""

    @dg.asset_check(
        name=CHECK,
        asset=ATTEMPTS_TABLE,
        description="Under 80 % of each disk is used, and 30 more days have room.",
    )
    def there_is_room(warehouse: Warehouse) -> dg.AssetCheckResult:
        disks = rooms(settings, warehouse)
        return dg.AssetCheckResult(
            passed=all(room.is_enough for room in disks),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"says": "; ".join(room.says for room in disks)},
        )

    return [there_is_room]
