"""Real runs of a tiny job, tagged as the platform's are: for what looks at runs from outside."""

from datetime import date

import dagster as dg

from lms_assets.faults import Fault
from lms_assets.faults.failures import failure
from lms_assets.runs.tags import BATCH_TAG, PARTITION_TAG, PUBLICATION_TAG


def ran(
    instance: dg.DagsterInstance,
    day: date,
    *,
    batch: str | None = None,
    fails_with: Fault | None = None,
    publishes: bool = False,
    **tags: str,
) -> str:
    """A run of the day has ended, well or with a fault; its id."""

    @dg.op
    def raw_attempts() -> None:
        if fails_with:
            raise failure(fails_with)

    @dg.job
    def daily_attempts() -> None:
        raw_attempts()

    own = {PARTITION_TAG: day.isoformat()}
    own |= {BATCH_TAG: batch} if batch else {}
    own |= {PUBLICATION_TAG: "yes"} if publishes else {}
    return daily_attempts.execute_in_process(
        instance=instance,
        tags={**own, **{name.replace("__", "/"): value for name, value in tags.items()}},
        raise_on_error=False,
    ).run_id


def began(instance: dg.DagsterInstance, day: date) -> str:
    """A run whose first step has begun and whose end nobody has heard of; its id."""
    run_id = started(instance, day)
    for kind in (dg.DagsterEventType.RUN_START, dg.DagsterEventType.STEP_START):
        instance.report_dagster_event(dg.DagsterEvent(kind.value, "daily_attempts"), run_id)
    return run_id


def started(instance: dg.DagsterInstance, day: date | None = None, **tags: str) -> str:
    """A run that is at its start, and whose process nobody has heard of; its id."""

    @dg.op
    def raw_attempts() -> None:
        pass

    @dg.job
    def daily_attempts() -> None:
        raw_attempts()

    own = {PARTITION_TAG: day.isoformat()} if day else {}
    run = instance.create_run_for_job(
        daily_attempts, tags={**own, **tags}, status=dg.DagsterRunStatus.STARTED
    )
    return run.run_id
