"""Replays, erasures and adoptions: they change loaded days without a pull, and their figures.

The caller publishes the changes afterwards: see ``publishing``.
"""

import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection

from lms_assets import systems
from lms_assets.amends import erasure as erasing
from lms_assets.amends.adoption import Adoption
from lms_assets.amends.adoption import adopt as adopt_tables
from lms_assets.amends.replay import Replay, replay
from lms_assets.attempts.ledger import newest_loaded_day
from lms_assets.commands.installation import Installation, make_home
from lms_assets.days import end_of_tomorrow, window_of
from lms_assets.settings import Settings
from lms_assets.statistics import measures
from lms_assets.systems import erasure, presentation, resources


def replay_quarantine(
    installation: Installation,
    *,
    reason: str | None = None,
    first: date | None = None,
    last: date | None = None,
) -> Replay:
    """The quarantine has been cleaned by the present rules; table, ledger and figures agree."""
    settings, warehouse = installation.settings, installation.warehouse
    result = replay(
        warehouse,
        window_of=partial(window_of, zone=settings.zone),
        tomorrow=end_of_tomorrow(datetime.now(UTC)),
        run_id=f"replay-{uuid.uuid4()}",
        reason=reason,
        first=first,
        last=last,
        tombstones=erasure(settings).tombstones(warehouse),
    )
    mend_lag(installation)
    return result


def trace_of_student(installation: Installation, user_id: str) -> erasing.Trace:
    """What an erasure would remove of the student."""
    settings = installation.settings
    return erasing.trace(
        user_id,
        warehouse=installation.warehouse,
        lake=resources(settings)["lake"],
        erasure=erasure(settings),
        zone=settings.zone,
        staff=presentation(settings).staff,
    )


def erase_student(installation: Installation, user_id: str) -> erasing.Erased:
    """The student's records are removed, and later pulls will drop new ones.

    Until the next publication the sheet may still show the student's id.
    """
    settings = installation.settings
    return erasing.erase(
        user_id,
        warehouse=installation.warehouse,
        lake=resources(settings)["lake"],
        erasure=erasure(settings),
        zone=settings.zone,
        recompute=recompute(settings),
        staff=presentation(settings).staff,
    )


def adopt_earlier(
    settings: Settings, *, zone: str | None, progress: Callable[[int, int], None]
) -> tuple[Adoption, ...]:
    """The earlier systems' tables are adopted; the figures must still be computed."""
    make_home(settings)
    warehouse = systems.warehouse(settings)
    return adopt_tables(
        warehouse,
        zone_of_naive_times=zone,
        day_zone=settings.lms_timezone,
        run_id=f"adoption-{uuid.uuid4()}",
        progress=progress,
        erasure=erasure(settings),
    )


def mend_lag(installation: Installation) -> None:
    """No figure lags behind its attempts, even after an earlier call that was interrupted."""
    with installation.warehouse.begin() as connection:
        recompute(installation.settings)(connection, ())


def recompute(settings: Settings) -> Callable[[Connection, Iterable[date]], Any]:
    """A function that computes the figures of the given days, and of lagging days, again."""

    def figures(connection: Connection, days: Iterable[date]) -> None:
        measures.take_turn(connection)
        as_of = newest_loaded_day(connection)
        if as_of:
            staff = presentation(settings).staff
            zone = settings.lms_timezone
            measures.refresh(connection, list(days), zone=zone, as_of=as_of, staff=staff)

    return figures
