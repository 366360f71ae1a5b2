"""Old runs and old objects of the lake are deleted when no run is under way."""

from datetime import datetime, timedelta
from time import monotonic

import dagster as dg

from lms_assets.locks import Lock, try_in_session
from lms_assets.resources.lake import Lake
from lms_assets.resources.pruning import prune_cleaned, prune_raw
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.purge import Step, is_quiet, kept_since, purge_step
from lms_assets.settings import Settings

# Dagster aborts a tick after 60 seconds; this leaves room for the last step.
TICK_S = 20


def keep_small(
    instance: dg.DagsterInstance,
    warehouse: Warehouse,
    lake: Lake,
    settings: Settings,
    *,
    now: datetime,
) -> tuple[bool, str]:
    """Old runs, then old objects, are deleted as far as one tick has time.

    Args:
        now: Aware.

    Returns:
        Whether everything old is deleted, and a summary of what was deleted.
    """
    if not is_quiet(instance):
        return False, "runs are under way: nothing was purged"
    total, ends, before = Step(), monotonic() + TICK_S, kept_since(settings, now)
    while monotonic() < ends:
        step = purge_step(instance, warehouse, before=before)
        total += step
        if step.is_last:
            break
    else:
        return False, _summary(total)
    return _prune(warehouse, lake, settings, now), _summary(total)


def _summary(step: Step) -> str:
    return f"{step.runs} runs purged, {step.thinned} thinned, {step.rows} rows deleted"


def _prune(warehouse: Warehouse, lake: Lake, settings: Settings, now: datetime) -> bool:
    """Old objects are deleted. False while an erasure runs, which rewrites the same objects."""
    with warehouse.session() as session:
        if not try_in_session(session, Lock.ERASURE):
            return False
        prune_cleaned(lake, before=kept_since(settings, now))
        if settings.lms_raw_days is not None:
            prune_raw(lake, before=now - timedelta(days=settings.lms_raw_days))
    return True


def purge(settings: Settings) -> dg.SensorDefinition:
    """Deletes old runs and old cleaned objects, once a day, when no run is under way.

    Reads the newest event of each partition by its index, and the runs past LMS_RUN_DAYS.
    """

    @dg.sensor(
        name="purge",
        default_status=dg.DefaultSensorStatus.RUNNING,
        minimum_interval_seconds=60,
        description="Deletes what is older than LMS_RUN_DAYS, once a day, when no run is on.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, warehouse: Warehouse, lake: Lake
    ) -> dg.SensorResult:
        now = datetime.now(settings.zone)
        today = now.date().isoformat()
        if context.cursor == today:
            return dg.SensorResult(skip_reason="purged today", cursor=today)
        is_done, says = keep_small(context.instance, warehouse, lake, settings, now=now)
        return dg.SensorResult(skip_reason=says, cursor=today if is_done else context.cursor)

    return sensor
