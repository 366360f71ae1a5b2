"""Runs in this process: a day, a batch of days, a publication; no daemon needed.

A run here is a run like any other: it is in the page, with its events, and a
letter is due for it.
"""

from collections.abc import Mapping
from datetime import date
from typing import Any

import dagster as dg

from lms_assets.runs.processes import process_tags, was_interrupted
from lms_assets.runs.tags import BATCH_TAG, PUBLICATION_TAG

QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}


def run_day(
    instance: dg.DagsterInstance,
    day: date,
    *,
    batch: str | None = None,
    from_lake: bool = False,
    mirror: bool = False,
    force: bool = False,
) -> dg.ExecuteInProcessResult:
    """One day's road was run to its end, good or bad.

    Args:
        instance: Where the run is recorded.
        day: A day that is over.
        batch: The batch it belongs to, which then publishes for it.
        from_lake: The newest stored answer instead of the API's.
        mirror: Attempts that the API no longer has are deleted.
        force: However many they are.

    Raises:
        KeyboardInterrupt: Somebody stopped it; the run is marked so.
    """
    ops: dict[str, Any] = {
        "raw_attempts": {"config": {"from_lake": from_lake}},
        "attempts_table": {"config": {"mirror": mirror, "force": force}},
    }
    tags = {BATCH_TAG: batch} if batch else {}
    return _execute(instance, "daily_attempts", day, tags=tags, run_config={"ops": ops})


def publish_batch(
    instance: dg.DagsterInstance, batch: str, newest: date
) -> dg.ExecuteInProcessResult:
    """The sheet and the page were rebuilt for a batch that has ended."""
    tags = {BATCH_TAG: batch, PUBLICATION_TAG: "yes"}
    return _execute(instance, "publication", newest, tags=tags, run_config={})


def _execute(
    instance: dg.DagsterInstance,
    job: str,
    day: date,
    *,
    tags: Mapping[str, str],
    run_config: dict[str, Any],
) -> dg.ExecuteInProcessResult:
    from lms_assets.definitions import platform

    definition = platform().resolve_job_def(job)
    try:
        result = definition.execute_in_process(
            instance=instance,
            partition_key=day.isoformat(),
            tags={**tags, **process_tags()},
            # The events are in the page and in the log files; the terminal is for progress.
            run_config={**run_config, "loggers": QUIET},
            raise_on_error=False,
        )
    except dg.DagsterExecutionInterruptedError:
        raise KeyboardInterrupt from None
    if any(map(was_interrupted, result.all_events)):
        raise KeyboardInterrupt
    return result
