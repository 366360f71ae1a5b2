"""The daemon of `lms up`: Dagster's own, but with sessions that stay open.

The daemon makes and queues every run. With a session for each of a run's first fifty statements,
it would be slower than two workers. `dagster-daemon run` takes no instance: it opens its own by the
environment, which its code servers inherit, and they open an instance for each tick. So the parts
of Dagster behind that command are called here.
"""

from contextlib import suppress

from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.controller import daemon_controller_from_instance
from dagster._utils.interrupts import capture_interrupts

from lms_assets.runs.instance import open_instance
from lms_assets.settings import project_folder


def main() -> None:
    """The daemon has run until Ctrl-C."""
    workspace = WorkspaceFileTarget([str(project_folder() / "workspace.yaml")])
    with (
        suppress(KeyboardInterrupt),
        capture_interrupts(),
        open_instance() as instance,
        daemon_controller_from_instance(
            instance, workspace, code_server_log_level="warning"
        ) as daemon,
    ):
        daemon.check_daemon_loop()


if __name__ == "__main__":
    main()
