"""Dagster runs in this process, without a daemon: a day, or a publication.

Dagster's page shows such a run with its events and can execute it again, and the run gets its
letter, like any other run.
"""

import uuid
from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import Any

import dagster as dg

# Dagster's public `execute_in_process` makes runs without a code location. Dagster's page does not
# list these and cannot execute them again.
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
    """A run of the day has ended, with or without success; its id.

    Args:
        instance: Dagster's instance.
        day: An ended day.
        batch: The run's batch, which publishes for it.
        from_lake: The run reads the newest stored answer instead of the API.
        mirror: Attempts that the API no longer has are deleted.
        force: With ``mirror``: without a limit to their number.

    Raises:
        KeyboardInterrupt: A person stopped the run; Dagster shows it as interrupted.
    """
    ops: dict[str, Any] = {
        "raw_attempts": {"config": {"from_lake": from_lake}},
        "attempts_table": {"config": {"mirror": mirror, "force": force}},
    }
    tags = {BATCH_TAG: batch} if batch else {}
    return _execute(instance, "daily_attempts", day, tags=tags, run_config={"ops": ops})


def publish_batch(instance: dg.DagsterInstance, batch: str, newest: date) -> str:
    """The publication of an ended batch has run; the run's id."""
    tags = {BATCH_TAG: batch, PUBLICATION_TAG: "yes"}
    return _execute(instance, "publication", newest, tags=tags, run_config={})


def publish(instance: dg.DagsterInstance, day: date) -> str:
    """A publication outside any batch has run; the run's id."""
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
    # The lock is taken before the run is created. So if this process is killed, the run is
    # recognised as dead at once.
    with locks.kept(warehouse(settings).engine, locks.Lock.RUN, run_id, name=f"run {run_id} {day}"):
        try:
            run = _created(instance, definition, run_id, tags=tags, run_config=run_config)
            return _executed(instance, definition, run)
        except KeyboardInterrupt:
            # Without this, a run that was stopped before its first step would stay unfinished.
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
        # Dagster's page and the log files hold the events; the terminal shows the progress.
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
    """The job, built once per settings, because a backfill's worker runs many days."""
    from lms_assets.definitions import code_location

    return code_location().resolve_job_def(name)
