"""The processes that runs live in: which are gone, and how one is told to stop."""

import os
import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta

import dagster as dg
import psutil

PID_TAG = "lms/pid"
HOST_TAG = "lms/host"
STARTED_TAG = "lms/process_started"
DAEMON_IS_ALIVE_WITHIN = timedelta(minutes=3)
ENDING = (signal.SIGINT, signal.SIGTERM)
UNFINISHED = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def process_tags() -> dict[str, str]:
    """What tells whether the process of a run is still there; a number alone is given again."""
    pid = os.getpid()
    return {PID_TAG: str(pid), HOST_TAG: socket.gethostname(), STARTED_TAG: _started(pid)}


def is_named(tags: Mapping[str, str]) -> bool:
    """Whether a run's tags name its process; runs of the daemon name none."""
    return PID_TAG in tags and HOST_TAG in tags


def is_alive(tags: Mapping[str, str]) -> bool:
    """Whether the process that a run's tags name still runs; that of another machine may."""
    if tags[HOST_TAG] != socket.gethostname():
        return True
    try:
        return _started(int(tags[PID_TAG])) == tags.get(STARTED_TAG)
    except psutil.NoSuchProcess:
        return False


def end_orphans(instance: dg.DagsterInstance, *, daemon_is_alive: bool) -> list[str]:
    """Runs whose process is gone are failed, and their places in pools are free.

    Args:
        daemon_is_alive: The daemon sees to the runs that it launched.

    Returns:
        Their ids.
    """
    unfinished = instance.get_runs(dg.RunsFilter(statuses=UNFINISHED))
    orphans = [
        run
        for run in unfinished
        if (not is_alive(run.tags) if is_named(run.tags) else not daemon_is_alive)
    ]
    for run in orphans:
        message = "The process of this run is gone: it was killed, or the machine was stopped."
        instance.report_run_failed(run, message)
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return [run.run_id for run in orphans]


def has_a_daemon(instance: dg.DagsterInstance, *, now: datetime) -> bool:
    """Whether a daemon has given a sign of life lately."""
    beats = instance.get_daemon_heartbeats().values()
    newest = max((beat.timestamp for beat in beats), default=0.0)
    return now.timestamp() - newest < DAEMON_IS_ALIVE_WITHIN.total_seconds()


def was_interrupted(event: dg.DagsterEvent) -> bool:
    """Whether a step failed because its process was told to stop."""
    error = event.step_failure_data.error if event.is_step_failure else None
    return error is not None and error.cls_name == dg.DagsterExecutionInterruptedError.__name__


@contextmanager
def terminated_as_interrupted() -> Iterator[None]:
    """A polite kill ends this command as Ctrl-C does, children included."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    # In the background a shell has SIGINT ignored, and children would inherit that.
    before = {number: signal.signal(number, interrupt) for number in ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _started(pid: int) -> str:
    return f"{psutil.Process(pid).create_time():.2f}"
