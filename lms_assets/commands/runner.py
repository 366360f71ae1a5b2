"""Runs in this process: a day, a batch of days, a publication; no daemon needed.

A run here is a run like any other: it is in the page, with its events, can be
executed again from there, and a letter is due for it.
"""

import uuid
from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import Any

import dagster as dg

# Dagster's public `execute_in_process` makes runs that name no code location: its front page and
# its lists of jobs leave them out, and its page cannot execute them again.
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

from lms_assets import locks
from lms_assets.runs.processes import report_gone, was_interrupted
from lms_assets.runs.tags import BATCH_TAG, HELD_TAG, PARTITION_TAG, PUBLICATION_TAG
from lms_assets.settings import Settings, load_settings
from lms_assets.systems import warehouse

# As `workspace.yaml` and `pyproject.toml` say.
CODE_LOCATION = RemoteRepositoryOrigin(
    code_location_origin=RegisteredCodeLocationOrigin("lms_assets"),
    repository_name="__repository__",
)
QUIET = {"console": {"config": {"log_level": "CRITICAL"}}}


def run_day(
    instance: dg.DagsterInstance,
    day: date,
    *,
    batch: str | None = None,
    from_lake: bool = False,
    mirror: bool = False,
    force: bool = False,
) -> str:
    """One day's road was run to its end, good or bad; the run's id.

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


def publish_batch(instance: dg.DagsterInstance, batch: str, newest: date) -> str:
    """The sheet and the page were rebuilt for a batch that has ended; the run's id."""
    tags = {BATCH_TAG: batch, PUBLICATION_TAG: "yes"}
    return _execute(instance, "publication", newest, tags=tags, run_config={})


def publish(instance: dg.DagsterInstance, day: date) -> str:
    """The sheet and the page were rebuilt, for no batch; the run's id."""
    return _execute(instance, "publication", day, tags={PUBLICATION_TAG: "yes"}, run_config={})


def _execute(
    instance: dg.DagsterInstance,
    job: str,
    day: date,
    *,
    tags: Mapping[str, str],
    run_config: dict[str, Any],
) -> str:
    settings, run_id = load_settings(), str(uuid.uuid4())
    definition = _job(job, settings)
    tags = {**tags, PARTITION_TAG: day.isoformat(), HELD_TAG: run_id}
    # Held before there is a run: one whose process was killed is known at once to be gone.
    with locks.kept(warehouse(settings).engine, locks.Lock.RUN, run_id, name=f"run {run_id} {day}"):
        try:
            run = _created(instance, definition, run_id, tags=tags, run_config=run_config)
            return _executed(instance, definition, run)
        except KeyboardInterrupt:
            # Stopped before its first step, it would stand there as one that is about to start.
            report_gone(instance, run_id)
            raise


def _created(
    instance: dg.DagsterInstance,
    definition: dg.JobDefinition,
    run_id: str,
    *,
    tags: Mapping[str, str],
    run_config: dict[str, Any],
) -> dg.DagsterRun:
    origin = RemoteJobOrigin(repository_origin=CODE_LOCATION, job_name=definition.name)
    return instance.create_run_for_job(
        definition,
        run_id=run_id,
        # The events are in the page and in the log files; the terminal is for progress.
        run_config={**run_config, "loggers": QUIET},
        tags={**definition.run_tags, **tags},
        remote_job_origin=origin,
    )


def _executed(
    instance: dg.DagsterInstance, definition: dg.JobDefinition, run: dg.DagsterRun
) -> str:
    try:
        result = execute_run(InMemoryJob(definition), run, instance)
    except dg.DagsterExecutionInterruptedError:
        raise KeyboardInterrupt from None
    if any(map(was_interrupted, result.all_events)):
        raise KeyboardInterrupt
    return run.run_id


@cache
def _job(name: str, settings: Settings) -> dg.JobDefinition:  # noqa: ARG001
    """The job, put together once per settings: a backfill's worker runs many days."""
    from lms_assets.definitions import code_location

    return code_location().resolve_job_def(name)
