"""Dagster's launcher for runs on Celery workers.

A message in the broker only says that a run waits. Only the database says whether it still waits
and whether its process lives. So messages may be lost or arrive twice:

- A run that was sent and has not begun is sent again once the queue is empty (see
  :func:`lms_assets.runs.processes.end_orphans`). So Redis may lose all its data.
- A worker that takes a message first takes the run's lock. A second worker with the same message
  does nothing.
- A run that has begun and whose lock is free has lost its process. It is marked as failed, and
  Dagster retries it as often as the tag `dagster/max_retries` says.

Celery's results are switched off: the task of a killed worker would stay STARTED for ever, and a
result that Redis lost would look like a failure.
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
NOT_SENT = "The broker was not reached. The run is sent once the broker can be reached again."

CONFIG: dict[str, Any] = {
    "task_ignore_result": True,
    # A worker takes a message only for a free process; a message that waits in a busy worker would
    # be lost to the other workers.
    "worker_disable_prefetch": True,
    "worker_prefetch_multiplier": 1,
    # A process imports for seconds before it reports that it is up, on a busy machine for longer.
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
    """Sends runs to the workers by the broker of LMS_BROKER_URL."""

    @classmethod
    def config_type(cls) -> dict[str, Any]:
        """Empty: the broker's address has a secret, which must not stand in ``dagster.yaml``."""
        return {}

    @classmethod
    def from_config_value(
        cls,
        inst_data: ConfigurableClassData | None,
        config_value: Mapping[str, Any],  # noqa: ARG003
    ) -> Self:
        """The launcher with the broker of this process's settings."""
        broker = load_settings().lms_broker_url
        return cls(
            default_queue=QUEUE,
            broker=broker.get_secret_value() if broker else None,
            backend="disabled://",
            config_source=CONFIG,
            inst_data=inst_data,
        )

    def launch_run(self, context: LaunchRunContext) -> None:
        """A message for the run is in the queue; if the broker is not reached, an event says so."""
        run = context.dagster_run
        if MAX_RETRIES_TAG not in run.tags:
            self._instance.add_run_tags(run.run_id, {MAX_RETRIES_TAG: str(DONE_AGAIN)})
        try:
            super().launch_run(context)
        except OperationalError:
            self._instance.report_engine_event(NOT_SENT, run, cls=type(self))

    def send_again(self, runs: Sequence[dg.DagsterRun]) -> None:
        """The runs, which have not begun, are sent again if the queue holds no message."""
        if runs and self._is_empty():
            for run in runs:
                self.launch_run(LaunchRunContext(dagster_run=run, workspace=None))

    def _is_empty(self) -> bool:
        """Whether the broker can be reached and the queue holds no message."""
        connection = self.celery.connection_for_write()
        try:
            connection.ensure_connection(max_retries=1)
            waiting = connection.default_channel.queue_declare(QUEUE, passive=True)
            return bool(waiting.message_count == 0)
        except connection.channel_errors:
            # In Redis an empty queue does not exist.
            return True
        except (OperationalError, *connection.connection_errors):
            return False
        finally:
            connection.release()

    def terminate(self, run_id: str) -> bool:
        """The run is cancelled, on whichever machine it is; a waiting run will never begin.

        Returns:
            Whether a worker was told to stop it; False if the run has ended or was never sent.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return DAGSTER_CELERY_TASK_ID_TAG in run.tags and super().terminate(run_id)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """False: the run's lock shows whether its process lives."""
        return False

    @property
    def supports_resume_run(self) -> bool:
        """False: a run that lost its process fails, and Dagster retries it as another run."""
        return False

    def get_run_worker_debug_info(
        self,
        run: dg.DagsterRun,
        include_container_logs: bool | None = True,
    ) -> None:
        """None: Celery's results are switched off."""


def workers_that_answer() -> int:
    """The number of workers that answer a ping through the broker.

    Raises:
        TemporaryFault: ``settings.broker_unusable``: it cannot be reached, or refuses the login.
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
