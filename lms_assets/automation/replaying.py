"""What changes loaded days without a pull: replays, erasures, adoptions; figures follow."""

import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

from lms_assets.attempts.adoption import Adoption
from lms_assets.attempts.adoption import adopt as adopt_tables
from lms_assets.attempts.erasure import Erasure, Receipt
from lms_assets.attempts.erasure import erase as erase_everywhere
from lms_assets.attempts.ledger import newest_day_with_attempts
from lms_assets.attempts.quarantine import Replay, replay
from lms_assets.partitions import window_of
from lms_assets.platform import Platform, prepare
from lms_assets.resources.warehouse import Warehouse
from lms_assets.settings import Settings
from lms_assets.statistics import measures
from lms_assets.systems import presentation, resources, warehouse_url


def key_file(settings: Settings) -> Path:
    """Where the key of erasures lies: private, and not in the database that it protects."""
    return settings.lms_home / "erasure.key"


def replay_quarantine(
    platform: Platform,
    *,
    reason: str | None = None,
    first: date | None = None,
    last: date | None = None,
) -> Replay:
    """The quarantine was cleaned again by today's rules; table, books and figures agree."""
    settings, warehouse = platform.settings, platform.warehouse
    done = replay(
        warehouse,
        window_of=window_of,
        tomorrow=end_of_tomorrow(datetime.now(UTC)),
        run_id=f"replay-{uuid.uuid4()}",
        reason=reason,
        first=first,
        last=last,
        tombstones=Erasure(key_file=str(key_file(settings))).tombstones(warehouse),
    )
    if done.changed_days:
        with warehouse.begin() as connection:
            recompute(settings)(connection, done.changed_days)
    return done


def erase_student(platform: Platform, user_id: str, *, tell: Callable[[str], None]) -> Receipt:
    """The student is nowhere any more, and later pulls will drop them."""
    settings = platform.settings
    return erase_everywhere(
        user_id,
        warehouse=platform.warehouse,
        lake=resources(settings)["lake"],
        erasure=Erasure(key_file=str(key_file(settings))),
        zone=settings.lms_timezone,
        recompute=recompute(settings),
        staff=presentation(settings).staff,
        tell=tell,
    )


def adopt_earlier(settings: Settings, *, zone: str | None) -> tuple[Adoption, ...]:
    """The earlier systems' tables are ours, and the figures are computed of all of them."""
    settings.lms_home.mkdir(parents=True, exist_ok=True)
    warehouse = Warehouse(url=warehouse_url(settings))
    adopted = adopt_tables(
        warehouse,
        zone_of_naive_times=zone,
        day_zone=settings.lms_timezone,
        run_id=f"adoption-{uuid.uuid4()}",
        erasure=Erasure(key_file=str(key_file(settings))),
    )
    platform = prepare(settings)
    with platform.warehouse.begin() as connection:
        as_of = newest_day_with_attempts(connection)
        if adopted and as_of:
            zone_of_days, staff = settings.lms_timezone, presentation(settings).staff
            measures.refresh_all(connection, zone=zone_of_days, as_of=as_of, staff=staff)
    return adopted


def recompute(settings: Settings) -> Callable[[Connection, Iterable[date]], Any]:
    """The figures that attempts of some days change are computed anew."""

    def figures(connection: Connection, days: Iterable[date]) -> None:
        measures.take_turn(connection)
        as_of = newest_day_with_attempts(connection)
        if as_of:
            staff = presentation(settings).staff
            zone = settings.lms_timezone
            measures.refresh(connection, list(days), zone=zone, as_of=as_of, staff=staff)

    return figures


def end_of_tomorrow(now: datetime) -> datetime:
    """The instant from which on no attempt can have been made: naive UTC."""
    later = now.astimezone(UTC) + timedelta(days=2)
    return later.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
