"""A worker: it takes runs from the broker and executes each in a process that stays running.

A worker outlives a restart of `./lms up` with other settings or other code. So each run is
compared with the agreement first. A worker that differs gives the run back and ends.
"""

import multiprocessing
import os
import signal
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import dagster as dg
from celery import signals
from celery.worker import state
from dagster._cli.api import _execute_run_command_body
from dagster._core.launcher import LaunchRunContext
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import unpack_value
from dagster_celery.config import TASK_EXECUTE_JOB_NAME

from lms_assets.cluster.agreement import refuse_other
from lms_assets.cluster.launcher import WorkersLauncher
from lms_assets.faults import PermanentFault
from lms_assets.faults.logs import configure_logging
from lms_assets.locks import Lock, kept_if_free
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.instance import open_instance
from lms_assets.settings import load_settings

READY = "Worker       ready: Ctrl-C ends it after the run in hand, a second one at once"


def work(
    warehouse: Warehouse, agreement: Mapping[str, str], *, runs: int, tell: Callable[[str], None]
) -> bool:
    """Runs are executed until Ctrl-C; the current runs are finished first.

    Args:
        warehouse: The database.
        agreement: What this machine has of that which must be alike.
        runs: The number of runs at a time, each in its own process.
        tell: Called with a line of text when the worker is ready.

    Returns:
        Whether the worker was told to stop; False if it ended by a fault.

    Raises:
        PermanentFault: ``settings.differ_from_up``: `./lms up` was started again with other
            settings or other code. The current runs are finished, and no run is lost.
    """
    crew = Crew(warehouse, agreement)
    signals.worker_process_init.connect(lambda **_: crew.begin(), weak=False)
    signals.worker_ready.connect(lambda **_: tell(READY), weak=False)
    # Celery warns if it runs as root. Its messages are JSON, so they can carry no code.
    warnings.filterwarnings("ignore", message=".*superuser privileges.*")
    app = WorkersLauncher.from_config_value(None, {}).celery
    # The one task that the launcher sends.
    app.task(name=TASK_EXECUTE_JOB_NAME)(crew.execute)
    worker = app.Worker(
        pool="prefork",
        concurrency=runs,
        hostname=f"lms-{uuid.uuid4().hex[:8]}@%h",
        quiet=True,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )
    worker.start()
    if crew.is_outdated.is_set():
        refuse_other(warehouse, agreement)
    return state.should_stop is not None or state.should_terminate is not None


class Crew:
    """The processes of a worker's pool; each begins once and then executes runs.

    Attributes:
        is_outdated: Set by a process that found another agreement; all processes see it.
    """

    # Dagster's instance of this process; the main process has none.
    _instance: dg.DagsterInstance

    def __init__(self, warehouse: Warehouse, agreement: Mapping[str, str]) -> None:
        self._warehouse, self._agreement = warehouse, agreement
        self.is_outdated = multiprocessing.Event()

    def begin(self) -> None:
        """This process of the pool has the definitions, Dagster's instance and logs."""
        from lms_assets.definitions import code_location

        # Ctrl-C in a terminal must reach only the main process, which lets the current runs end.
        os.setpgrp()
        if not os.environ.get("LMS_VERBOSE"):
            # As for the processes of ./lms up: the output of runs is in their events and
            # LMS_HOME/logs.
            for stream in (1, 2):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        configure_logging(load_settings())
        self._instance = open_instance()
        code_location()

    def execute(self, execute_job_args_packed: Any) -> int | None:  # noqa: ANN401
        """The run was executed: its exit code; None if it is left to another worker."""
        run_id = unpack_value(execute_job_args_packed, as_type=ExecuteRunArgs).run_id
        try:
            refuse_other(self._warehouse, self._agreement)
        except PermanentFault:
            self._give_back(self._instance, run_id)
            return None
        with (
            _terminated_as_before(),
            kept_if_free(self._warehouse.engine, Lock.RUN, run_id, name=f"run {run_id}") as is_ours,
        ):
            return _executed(self._instance, run_id) if is_ours else None

    def _give_back(self, instance: dg.DagsterInstance, run_id: str) -> None:
        """The worker ends after its current runs; this one waits for another worker."""
        if not self.is_outdated.is_set():
            self.is_outdated.set()
            os.kill(os.getppid(), signal.SIGTERM)
        run = instance.get_run_by_id(run_id)
        if run is not None and run.status == dg.DagsterRunStatus.STARTING:
            instance.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))


def _executed(instance: dg.DagsterInstance, run_id: str) -> int:
    # Dagster does not execute a run that has begun, has ended or was cancelled.
    return _execute_run_command_body(
        run_id, instance, lambda _: None, set_exit_code_on_failure=True
    )


@contextmanager
def _terminated_as_before() -> Iterator[None]:
    """SIGTERM has its earlier handler after the block; Dagster leaves the signal ignored."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
