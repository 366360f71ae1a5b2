"""The processes of runs: which of them are dead, and how a command stops its own.

A run's process holds the run's lock in a database session while the run uses the warehouse. The
database sees that session end however the process died, and on any machine. Process numbers and
host names are not used: another machine or container may have the same ones.
"""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import Protocol, runtime_checkable

import dagster as dg

from lms_assets import locks
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.tags import HELD_TAG

# A run takes its lock only after its process has imported everything: slow on a busy machine.
STARTS_WITHIN = timedelta(minutes=5)
LOCKS_WITHIN = timedelta(minutes=1)
SENT_AGAIN_AFTER = timedelta(minutes=1)
# After a restart of the server, living processes need this long to take their locks again.
LOOK_AGAIN_AFTER_S = 2
ENDING = (signal.SIGINT, signal.SIGTERM)
UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
# A run that has recorded one of these events has held its lock.
HAD_ITS_LOCK = {dg.DagsterEventType.RESOURCE_INIT_SUCCESS, dg.DagsterEventType.STEP_START}
PROCESS_IS_GONE = "The process of this run is gone: it was killed, or the machine was stopped."


@runtime_checkable
class SendsAgain(Protocol):
    """A launcher whose runs wait in a queue for a process; the queue may lose them."""

    def send_again(self, runs: Sequence[dg.DagsterRun]) -> None:
        """Runs that have not begun wait in the queue."""


def end_orphans(instance: dg.DagsterInstance, warehouse: Warehouse, *, now: datetime) -> list[str]:
    """Runs whose process is dead have failed in Dagster; those that a queue lost are sent again.

    Returns:
        The ids of the failed runs.
    """
    suspects = _without_lock(warehouse, _unfinished(instance))
    launcher = instance.run_launcher
    if isinstance(launcher, SendsAgain):
        waiting = [record for record in suspects if _waits_for_a_process(record)]
        suspects = [record for record in suspects if not _waits_for_a_process(record)]
        launcher.send_again(
            [r.dagster_run for r in waiting if now - _aware(r.update_timestamp) > SENT_AGAIN_AFTER]
        )
    orphans = [run for run in suspects if _should_have_its_lock(instance, run, now)]
    if orphans:
        sleep(LOOK_AGAIN_AFTER_S)
        orphans = _without_lock(warehouse, _unfinished(instance, _ids(orphans)))
    for run_id in _ids(orphans):
        report_gone(instance, run_id)
    return _ids(orphans)


def _ids(records: list[dg.RunRecord]) -> list[str]:
    return [record.dagster_run.run_id for record in records]


def report_gone(instance: dg.DagsterInstance, run_id: str) -> None:
    """The run has failed in Dagster; the caller knows that its process is dead."""
    run = instance.get_run_by_id(run_id)
    if run is not None and not run.is_finished:
        instance.report_run_failed(run, PROCESS_IS_GONE)


def _unfinished(
    instance: dg.DagsterInstance, run_ids: list[str] | None = None
) -> list[dg.RunRecord]:
    filters = dg.RunsFilter(statuses=UNFINISHED, run_ids=run_ids)
    return list(instance.get_run_records(filters))


def _waits_for_a_process(record: dg.RunRecord) -> bool:
    return record.dagster_run.status == dg.DagsterRunStatus.STARTING


def _without_lock(warehouse: Warehouse, records: list[dg.RunRecord]) -> list[dg.RunRecord]:
    if not records:
        return []
    with warehouse.begin() as connection:
        return [
            record
            for record in records
            if not locks.is_held(connection, locks.Lock.RUN, record.dagster_run.run_id)
        ]


def _should_have_its_lock(
    instance: dg.DagsterInstance, record: dg.RunRecord, now: datetime
) -> bool:
    """Whether the run has had time to take its lock: without one its process is dead."""
    run_id = record.dagster_run.run_id
    if record.dagster_run.tags.get(HELD_TAG) == run_id:
        return True
    age = now - _aware(record.update_timestamp)
    if record.start_time is None:
        return age > STARTS_WITHIN
    return age > LOCKS_WITHIN or bool(
        instance.get_records_for_run(run_id, of_type=HAD_ITS_LOCK, limit=1).records
    )


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def was_interrupted(event: dg.DagsterEvent) -> bool:
    """Whether a step failed because its process received a signal to stop."""
    error = event.step_failure_data.error if event.is_step_failure else None
    return error is not None and error.cls_name == dg.DagsterExecutionInterruptedError.__name__


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """In the block, SIGTERM ends this command and its children as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # A shell starts a background command with SIGINT ignored, and its children inherit that.
    before = {number: signal.signal(number, interrupt) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
