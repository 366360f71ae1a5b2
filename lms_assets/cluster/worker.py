"""A worker: takes runs from the broker and does each in a process that stays warm."""

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
from lms_assets.settings import load_settings
from lms_assets.systems import warehouse

READY = "Worker       ready: Ctrl-C ends it after the run in hand, a second one at once"

# Of a process of the pool, for as long as it lives.
_INSTANCE: list[dg.DagsterInstance] = []


def work(
    *, runs: int, open_instance: Callable[[], dg.DagsterInstance], tell: Callable[[str], None]
) -> bool:
    """Runs are done until Ctrl-C; what is in hand then is finished first.

    Args:
        runs: How many at once, each in a process of its own.
        open_instance: Opens Dagster's instance, once in each process.
        tell: Hears when the worker is ready.

    Returns:
        Whether it ended because it was told to, and not by a fault.
    """
    signals.worker_process_init.connect(lambda **_: _begin(open_instance()), weak=False)
    signals.worker_ready.connect(lambda **_: tell(READY), weak=False)
    # Messages are JSON and can make no process run what it does not hold.
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
    """The run was done; nothing where another worker has it."""
    run_id = unpack_value(execute_job_args_packed, as_type=ExecuteRunArgs).run_id
    engine = warehouse(load_settings()).engine
    with (
        _terminated_as_before(),
        kept_if_free(engine, Lock.RUN, run_id, name=f"run {run_id}") as is_ours,
    ):
        return _execute(run_id) if is_ours else None


def _execute(run_id: str) -> int:
    # Dagster itself leaves a run alone that has begun, has ended or was cancelled.
    return _execute_run_command_body(
        run_id, _INSTANCE[0], lambda _: None, set_exit_code_on_failure=True
    )


def _begin(instance: dg.DagsterInstance) -> None:
    """A process of the pool has imported and opened what runs need."""
    from lms_assets.definitions import code_location

    # Ctrl-C in a terminal is the worker's alone: it lets the run in hand end.
    os.setpgrp()
    if not os.environ.get("LMS_VERBOSE"):
        # As the processes of ./lms up: what runs say is in their events and in LMS_HOME/logs.
        for stream in (1, 2):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    configure_logging(load_settings())
    _INSTANCE.append(instance)
    code_location()


@contextmanager
def _terminated_as_before() -> Iterator[None]:
    """Dagster takes the signal as an interruption of the run, and leaves it ignored afterwards."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
