"""How a run ended, read from Dagster's events alone: success, or the cause of its failure."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import takewhile

import dagster as dg

from lms_assets.faults.causes import Cause
from lms_assets.faults.failures import FACTS, FAULT, NEEDS_A_PERSON
from lms_assets.faults.masking import Mask
from lms_assets.runs.processes import was_interrupted
from lms_assets.runs.tags import (
    PARTITION_TAG,
    WILL_RETRY_TAG,
    batch_of,
    first_batch_of,
    is_executed_again,
    is_publication,
)
from lms_assets.settings import load_settings

STAGE_OF_STEP = {
    "raw_attempts": "api",
    "cleaned_attempts": "cleaning",
    "attempts_table": "database",
    "attempts_can_be_trusted": "database",
    "daily_statistics": "database",
    "statistics_sheet": "sheet",
    "statistics_page": "page",
}
INTERRUPTED = replace(Cause.of("host.interrupted", {}), stage="interrupted")
WITHOUT_A_DAY = "launch.without_a_day"
RANGE_TAG = "dagster/asset_partition_range_start"


@dataclass(frozen=True)
class GivenUpDay:
    """A missing day whose runs failed so often that the catch-up no longer requests it."""

    day: date
    tries: int
    last_run_id: str


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
        day: The run's partition; None where it was launched without one.
        cause: Why it failed; None for a success.
        error: The failure's traceback, masked.
        will_be_retried: Dagster will start another run of the same day.
        tries: The number of runs of this day since its last success, this one included.
        is_executed_again: A person executed an earlier run again, perhaps only its last steps.
        is_publication: The run only publishes what other runs have loaded.
        first_batch: The batch of the run that was executed again.
        ended_at: Aware; None where Dagster recorded no end.
    """

    run_id: str
    day: date | None
    batch: str | None
    cause: Cause | None
    error: str
    duration_s: float
    will_be_retried: bool = False
    tries: int = 1
    is_executed_again: bool = False
    is_publication: bool = False
    first_batch: str | None = None
    ended_at: datetime | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the run did all its work."""
        return self.cause is None


def ending_of(instance: dg.DagsterInstance, run_id: str) -> Ending:
    """How the run ended.

    Raises:
        LookupError: Dagster does not know the run.
    """
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        raise LookupError(f"run {run_id} is not known")
    run = record.dagster_run
    day = run.tags.get(PARTITION_TAG)
    cause, error = (None, "") if run.is_success else _cause_and_error(instance, run)
    return Ending(
        run_id=run_id,
        day=date.fromisoformat(day) if day else None,
        batch=batch_of(run.tags),
        cause=cause,
        error=error,
        duration_s=round((record.end_time or 0) - (record.start_time or record.end_time or 0), 3),
        will_be_retried=run.tags.get(WILL_RETRY_TAG) == "true",
        tries=_tries(instance, day, record.storage_id) if day else 1,
        is_executed_again=is_executed_again(run.tags),
        is_publication=is_publication(run.tags),
        first_batch=first_batch_of(run.tags),
        ended_at=datetime.fromtimestamp(record.end_time, UTC) if record.end_time else None,
    )


def needs_a_person(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether the same run would fail again unless a person acts first."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        data = entry.dagster_event.step_failure_data if entry.dagster_event else None
        if data and data.user_failure_data:
            recorded = data.user_failure_data.metadata.get(NEEDS_A_PERSON)
            return recorded is not None and bool(recorded.value)
    return False


def _tries(instance: dg.DagsterInstance, day: str, newest: int) -> int:
    """The number of failed runs of the day right before this one, plus this one."""
    filters = dg.RunsFilter(tags={PARTITION_TAG: day})
    records = instance.get_run_records(filters, limit=20)
    before = [r.dagster_run for r in records if r.storage_id < newest]
    failed = takewhile(lambda run: run.status == dg.DagsterRunStatus.FAILURE, before)
    return 1 + sum(1 for _ in failed)


def _cause_and_error(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[Cause, str]:
    """The cause and the masked error of the first failed step.

    A run that failed without a failed step was interrupted.
    """
    mask = Mask(load_settings().secret_values).mask
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        if event is not None and was_interrupted(event):
            break
        if event is not None:
            failure = event.step_failure_data
            metadata = failure.user_failure_data.metadata if failure.user_failure_data else {}
            error = failure.error.to_string() if failure.error else ""
            cause = _cause(event.step_key or "", metadata, error)
            if cause.code is None and _is_without_a_day(run.tags):
                return Cause.of(WITHOUT_A_DAY, {}), ""
            # A fault explains itself; its traceback would add nothing.
            shown = str(failure.error.message) if cause.code and failure.error else error
            return cause, mask(shown)
    return INTERRUPTED, mask(_message_of_failure(instance, run.run_id))


def _message_of_failure(instance: dg.DagsterInstance, run_id: str) -> str:
    """Dagster's message about a run that failed without a failed step."""
    entries = instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE)
    messages = [entry.dagster_event.message for entry in entries if entry.dagster_event]
    return next((message for message in messages if message), "")


def _is_without_a_day(tags: Mapping[str, str]) -> bool:
    """Whether the job was launched without the partition that each of its runs needs."""
    return PARTITION_TAG not in tags and RANGE_TAG not in tags


def _cause(step: str, metadata: Mapping[str, dg.MetadataValue], error: str) -> Cause:
    code = metadata.get(FAULT)
    if code is not None:
        return Cause.of(str(code.value), json.loads(str(metadata[FACTS].value)))
    lines = [line for line in error.strip().split("\n") if line and not line[0].isspace()]
    named = next(
        (line for line in reversed(lines) if re.match(r"[\w.]+(Error|Exception)?:", line)), ""
    )
    message = named or (lines[0] if lines else "unknown error")
    return Cause(stage=STAGE_OF_STEP.get(step, "other"), message=message)
