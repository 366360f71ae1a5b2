"""A worker: it takes runs from the broker and executes each in a process that stays running."""

import os
import signal
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from celery import Celery, signals
from celery.worker import state
from dagster._cli.api import _execute_run_command_body
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import unpack_value
from dagster_celery.config import TASK_EXECUTE_JOB_NAME

from lms_assets.cluster.launcher import WorkersLauncher
from lms_assets.faults.logs import configure_logging
from lms_assets.locks import Lock, kept_if_free
from lms_assets.runs.instance import open_instance
from lms_assets.settings import load_settings
from lms_assets.systems import warehouse

READY = "Worker       ready: Ctrl-C ends it after the run in hand, a second one at once"

# Dagster's instance of this process of the pool; empty in the main process.
_INSTANCE: list[dg.DagsterInstance] = []


def work(*, runs: int, tell: Callable[[str], None]) -> bool:
    """Runs are executed until Ctrl-C; the current runs are finished first.

    Args:
        runs: The number of runs at a time, each in its own process.
        tell: Called with a line of text when the worker is ready.

    Returns:
        Whether the worker was told to stop; False if it ended by a fault.
    """
    signals.worker_process_init.connect(lambda **_: _begin(), weak=False)
    signals.worker_ready.connect(lambda **_: tell(READY), weak=False)
    # Celery warns if it runs as root. Its messages are JSON, so they can carry no code.
    warnings.filterwarnings("ignore", message=".*superuser privileges.*")
    worker = the_app().Worker(
        pool="prefork",
        concurrency=runs,
        hostname=f"lms-{uuid.uuid4().hex[:8]}@%h",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    return state.should_stop is not None or state.should_terminate is not None


def the_app() -> Celery:
    """Celery with the one task that the launcher sends."""
    app = WorkersLauncher.from_config_value(None, {}).celery
    app.task(name=TASK_EXECUTE_JOB_NAME)(execute_job)
    return app


def execute_job(execute_job_args_packed: Any) -> int | None:  # noqa: ANN401
    """The run was executed: its exit code; None if another worker has the run."""
    run_id = unpack_value(execute_job_args_packed, as_type=ExecuteRunArgs).run_id
    engine = warehouse(load_settings()).engine
    with (
        _terminated_as_before(),
        kept_if_free(engine, Lock.RUN, run_id, name=f"run {run_id}") as is_ours,
    ):
        return _execute(run_id) if is_ours else None


def _execute(run_id: str) -> int:
    # Dagster does not execute a run that has begun, has ended or was cancelled.
    return _execute_run_command_body(
        run_id, _INSTANCE[0], lambda _: None, set_exit_code_on_failure=True
    )


def _begin() -> None:
    """This process of the pool has the definitions, Dagster's instance and logs."""
    from lms_assets.definitions import code_location

    # Ctrl-C in a terminal must reach only the main process, which lets the current runs end.
    os.setpgrp()
    if not os.environ.get("LMS_VERBOSE"):
        # As for the processes of ./lms up: the output of runs is in their events and LMS_HOME/logs.
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    configure_logging(load_settings())
    _INSTANCE.append(open_instance())
    code_location()


@contextmanager
def _terminated_as_before() -> Iterator[None]:
    """SIGTERM has its earlier handler after the block; Dagster leaves the signal ignored."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
