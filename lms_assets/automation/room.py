"""Whether the disks have room: for `lms doctor`, and shown in the page as a check."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import dagster as dg

from lms_assets.automation.freshness import ATTEMPTS_TABLE
from lms_assets.resources.warehouse import Warehouse
from lms_assets.settings import Settings

CHECK = "there_is_room"
MOST_USED = 0.8
DAYS_LEFT = 30
# Growth is told by so many of the newest days.
LOOKED_AT = 30


@dataclass(frozen=True)
class Room:
    """A disk that something of the platform lies on.

    Attributes:
        folder: What lies there.
        used: Part of the disk that is used.
        free: Bytes.
        daily: Bytes that a day adds; 0 where no day is loaded yet.
    """

    folder: Path
    used: float
    free: int
    daily: int

    @property
    def days_left(self) -> int | None:
        """How many days still fit; None where nothing tells."""
        return self.free // self.daily if self.daily else None

    @property
    def is_enough(self) -> bool:
        """Whether less than 80 % is used and 30 days still fit."""
        left = self.days_left
        return self.used < MOST_USED and (left is None or left >= DAYS_LEFT)

    @property
    def says(self) -> str:
        """One line for a person, with what to do."""
        left = "" if self.days_left is None else f", room for {self.days_left:,} more days"
        said = f"{self.folder}: {self.used:.0%} used, {self.free / 2**30:.1f} GiB free{left}"
        act = "" if self.is_enough else ": make room, or lower LMS_RUN_DAYS or set LMS_RAW_DAYS"
        return said + act


def rooms(settings: Settings, warehouse: Warehouse) -> list[Room]:
    """The disk of LMS_HOME, and that of the lake where it is another folder of this machine."""
    newest = "select day::text from load_ledger group by day order by day desc limit :n"
    days = [row["day"] for row in warehouse.rows(newest, n=LOOKED_AT)]
    lake = Path(settings.lake_url.removeprefix("file://"))
    is_here = "://" not in str(lake) and lake.is_dir()
    of_lake = _daily_of_lake(lake, days) if is_here else 0
    of_home = _daily_of_database(warehouse) if settings.db_host is None else 0
    if is_here and lake.stat().st_dev == settings.lms_home.stat().st_dev:
        return [_room(settings.lms_home, of_home + of_lake)]
    home = _room(settings.lms_home, of_home)
    return [home, _room(lake, of_lake)] if is_here else [home]


def _room(folder: Path, daily: int) -> Room:
    disk = shutil.disk_usage(folder)
    # What is kept for root alone counts as used.
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
    (found,) = warehouse.rows(size)
    return int(found["bytes"]) // int(found["days"]) if found["days"] > 1 else 0


def room_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The check warns; a full disk itself fails the step that writes, and leaves nothing half."""

    @dg.asset_check(
        name=CHECK,
        asset=ATTEMPTS_TABLE,
        description="Under 80 % of each disk is used, and 30 more days have room.",
    )
    def there_is_room(warehouse: Warehouse) -> dg.AssetCheckResult:
        found = rooms(settings, warehouse)
        return dg.AssetCheckResult(
            passed=all(room.is_enough for room in found),
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"says": "; ".join(room.says for room in found)},
        )

    return [there_is_room]
