"""What changes loaded days without a pull: replays, erasures, adoptions; figures follow."""

import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import dagster as dg
from sqlalchemy import Connection

from lms_assets import systems
from lms_assets.amends import erasure as erasing
from lms_assets.amends.adoption import Adoption
from lms_assets.amends.adoption import adopt as adopt_tables
from lms_assets.amends.replay import Replay, replay
from lms_assets.attempts.ledger import newest_loaded_day
from lms_assets.commands.installation import Installation, make_home, open_instance, prepare
from lms_assets.commands.runner import publish_batch
from lms_assets.commands.terminal import begun
from lms_assets.days import end_of_tomorrow, window_of
from lms_assets.settings import Settings
from lms_assets.statistics import measures
from lms_assets.systems import erasure, presentation, resources


def replay_quarantine(
    installation: Installation,
    instance: dg.DagsterInstance,
    *,
    reason: str | None = None,
    first: date | None = None,
    last: date | None = None,
) -> Replay:
    """The quarantine was cleaned again by today's rules; table, books and figures agree."""
    settings, warehouse = installation.settings, installation.warehouse
    done = replay(
        warehouse,
        window_of=partial(window_of, zone=settings.zone),
        tomorrow=end_of_tomorrow(datetime.now(UTC)),
        run_id=f"replay-{uuid.uuid4()}",
        reason=reason,
        first=first,
        last=last,
        tombstones=erasure(settings).tombstones(warehouse),
    )
    if _mend_lag(installation):
        publish(installation, instance, "replay")
    return done


def _mend_lag(installation: Installation) -> bool:
    """No figure lags; whether one did, also by a call of before that was interrupted."""
    with installation.warehouse.begin() as connection:
        lagging = measures.lag(connection)
        if lagging:
            recompute(installation.settings)(connection, lagging)
    return bool(lagging)


def trace_of_student(installation: Installation, user_id: str) -> erasing.Trace:
    """What an erasure would find of the student."""
    settings = installation.settings
    return erasing.trace(
        user_id,
        warehouse=installation.warehouse,
        lake=resources(settings)["lake"],
        erasure=erasure(settings),
        zone=settings.zone,
        staff=presentation(settings).staff,
    )


def erase_student(
    installation: Installation,
    instance: dg.DagsterInstance,
    user_id: str,
    *,
    progress: Callable[[str], None],
) -> erasing.Erased:
    """The student is nowhere any more, and later pulls will drop them."""
    settings = installation.settings
    erased = erasing.erase(
        user_id,
        warehouse=installation.warehouse,
        lake=resources(settings)["lake"],
        erasure=erasure(settings),
        zone=settings.zone,
        recompute=recompute(settings),
        staff=presentation(settings).staff,
        progress=progress,
    )
    # The sheet may show ids of students who need help.
    publish(installation, instance, "erasure")
    return erased


def publish(installation: Installation, instance: dg.DagsterInstance, why: str) -> None:
    """Sheet and page show what is loaded, if anything is."""
    with installation.warehouse.begin() as connection:
        as_of = newest_loaded_day(connection)
    if as_of:
        publish_batch(instance, f"{why}-{uuid.uuid4()}", as_of)


def adopt_earlier(
    settings: Settings, *, zone: str | None, progress: Callable[[int, int], None]
) -> tuple[Adoption, ...]:
    """The earlier systems' tables are ours, and the figures are computed of all of them."""
    make_home(settings)
    warehouse = systems.warehouse(settings)
    adopted = adopt_tables(
        warehouse,
        zone_of_naive_times=zone,
        day_zone=settings.lms_timezone,
        run_id=f"adoption-{uuid.uuid4()}",
        progress=progress,
        erasure=erasure(settings),
    )
    with begun():
        _show_adopted(settings)
    return adopted


def _show_adopted(settings: Settings) -> None:
    """The figures are those of all loaded days, in the tables and where people read them."""
    installation = prepare(settings)
    with installation.warehouse.begin() as connection:
        as_of = newest_loaded_day(connection)
        # Also when nothing was left to adopt: an earlier call may have ended before this.
        if as_of:
            zone_of_days, staff = settings.lms_timezone, presentation(settings).staff
            measures.refresh_all(connection, zone=zone_of_days, as_of=as_of, staff=staff)
    if as_of:
        with installation.warehouse.faults_by_name(), open_instance() as instance:
            publish(installation, instance, "adoption")


def recompute(settings: Settings) -> Callable[[Connection, Iterable[date]], Any]:
    """The figures that attempts of some days change are computed anew."""

    def figures(connection: Connection, days: Iterable[date]) -> None:
        measures.take_turn(connection)
        as_of = newest_loaded_day(connection)
        if as_of:
            staff = presentation(settings).staff
            zone = settings.lms_timezone
            measures.refresh(connection, list(days), zone=zone, as_of=as_of, staff=staff)

    return figures
