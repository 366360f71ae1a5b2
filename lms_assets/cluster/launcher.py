"""Dagster's launcher for runs on Celery workers, as this platform uses it.

A message in the broker only says that a run waits. Whether it still does, and whether the process
of a run lives, is known by the database alone, so messages may be lost or come twice:

- A run that was sent and has not begun is sent again once no message waits (see
  :func:`lms_assets.runs.processes.end_orphans`). So Redis may lose all that it holds.
- A worker that takes a message takes the run's lock first; who comes second goes away.
- A run whose lock is free is failed, and Dagster does it again, as often as a tag of it says.

Celery keeps no results: a killed worker's task would stay STARTED there for ever, and what Redis
has forgotten would be taken for a failure.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import dagster as dg
from celery.exceptions import OperationalError
from dagster._core.launcher import LaunchRunContext
from dagster._serdes import ConfigurableClassData
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

from lms_assets.faults import TemporaryFault
from lms_assets.settings import load_settings

QUEUE = "dagster"
DONE_AGAIN = 2
MAX_RETRIES_TAG = "dagster/max_retries"
ANSWER_WITHIN_S = 2
NOT_SENT = "The broker was not reached. The run is sent as soon as it is."

CONFIG: dict[str, Any] = {
    "task_ignore_result": True,
    # One message for one free process: what a busy worker had taken, nobody else could do.
    "worker_disable_prefetch": True,
    "worker_prefetch_multiplier": 1,
    # A process imports for seconds before it says that it is up; on a busy machine for many.
    "worker_proc_alive_timeout": 120.0,
    "broker_connection_retry_on_startup": True,
    "broker_connection_max_retries": None,
    "broker_transport_options": {
        "max_retries": 1,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
    },
    "worker_hijack_root_logger": False,
    "worker_redirect_stdouts": False,
}


class WorkersLauncher(CeleryRunLauncher):
    """Sends runs to the workers; the broker is the settings'."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Nothing: a secret stands in no file of Dagster's."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],  # noqa: ARG003
    ) -> Self:
        """The launcher of this process's settings."""
        broker = load_settings().lms_broker_url
        return cls(
            default_queue=QUEUE,
            broker=broker.get_secret_value() if broker else None,
            backend="disabled://",
            config_source=CONFIG,
            inst_data=inst_data,
        )

    def launch_run(self, context: LaunchRunContext) -> None:
        """The run waits for a worker."""
        run = context.dagster_run
        if MAX_RETRIES_TAG not in run.tags:
            self._instance.add_run_tags(run.run_id, {MAX_RETRIES_TAG: str(DONE_AGAIN)})
        try:
            super().launch_run(context)
        except OperationalError:
            self._instance.report_engine_event(NOT_SENT, run, cls=type(self))

    def send_again(self, runs: Sequence[dg.DagsterRun]) -> None:
        """Runs that have not begun are sent once more, if no message waits for a worker."""
        if runs and self._is_empty():
            for run in runs:
                self.launch_run(LaunchRunContext(dagster_run=run, workspace=None))

    def _is_empty(self) -> bool:
        """Whether the queue can be seen and holds no message."""
        connection = self.celery.connection_for_write()
        try:
            connection.ensure_connection(max_retries=1)
            waiting = connection.default_channel.queue_declare(QUEUE, passive=True)
            return bool(waiting.message_count == 0)
        except connection.channel_errors:
            # Redis has no queue that holds nothing.
            return True
        except (OperationalError, *connection.connection_errors):
            return False
        finally:
            connection.release()

    def terminate(self, run_id: str) -> bool:
        """The run's process is told to stop, wherever it is; a run that waits never begins."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return DAGSTER_CELERY_TASK_ID_TAG in run.tags and super().terminate(run_id)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """No: a run lives while its lock is held."""
        return False

    @property
    def supports_resume_run(self) -> bool:
        """No: a run that lost its process is failed, and done again as another run."""
        return False

    def get_run_worker_debug_info(
        self,
        run: dg.DagsterRun,
        include_container_logs: bool | None = True,
    ) -> None:
        """Nothing: Celery keeps no results."""


def workers_that_answer() -> int:
    """How many workers hear what comes by the broker.

    Raises:
        TemporaryFault: The broker cannot be reached, or refuses.
    """
    app = WorkersLauncher.from_config_value(None, {}).celery
    connection = app.connection_for_write()
    try:
        connection.ensure_connection(max_retries=1)
        return len(app.control.ping(timeout=ANSWER_WITHIN_S))
    except (OperationalError, *connection.connection_errors) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise TemporaryFault("settings.broker_unusable", reason=reason) from None
    finally:
        connection.release()
