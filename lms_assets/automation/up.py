"""`lms up`: the page and the daemon as children of one command, which ends all that it started."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import dagster as dg
import psutil

from lms_assets.platform import Platform
from lms_assets.settings import project_folder

HOST = "127.0.0.1"
READY_WITHIN_S = 120
STOP_WITHIN_S = 20
ENDING = (signal.SIGINT, signal.SIGTERM)

Tell = Callable[[str], None]


def serve(platform: Platform, instance: dg.DagsterInstance, *, port: int, tell: Tell) -> int:
    """The page and the daemon run until Ctrl-C, or until one of them ends by itself.

    Returns:
        0 after Ctrl-C, 1 when a part ended or the port is taken.
    """
    tell(f"PostgreSQL   ready: {_where(platform)}")
    if platform.settings.is_demo:
        tell("Demo API     starts with each run that asks it, on loopback")
    if _is_taken(port):
        tell(f"Port {port} is taken: choose another with --port.")
        return 1
    orphans = end_orphans(instance)
    if orphans:
        tell(f"Orphans      {orphans} runs of a process that died were marked failed")
    with _terminated_as_interrupted():
        return _serve(platform, port, tell)


def _serve(platform: Platform, port: int, tell: Tell) -> int:
    workspace = ["-w", str(project_folder() / "workspace.yaml")]
    address = f"http://{HOST}:{port}"
    with _children() as children:
        try:
            # One code server for both: each would start its own otherwise.
            page = ["dagster-webserver", "-h", HOST, "-p", str(port), *workspace]
            children.append(_start(page))
            _wait_for(f"{address}/server_info", children)
            (platform.settings.lms_home / "dagster" / "address").write_text(address)
            tell(f"Page         ready: {address}")
            children.append(_start(["dagster-daemon", "run", *workspace]))
            tell("Daemon       ready: schedule, sensors and backfills are on; Ctrl-C ends all")
            while all(child.poll() is None for child in children):
                time.sleep(0.5)
            tell("A part ended by itself; see the log in LMS_HOME/logs.")
        except KeyboardInterrupt:
            tell("Stopping …")
            return 0
        except TimeoutError as error:
            tell(str(error))
    return 1


def end_orphans(instance: dg.DagsterInstance) -> int:
    """Runs whose process is gone are failed: nothing of this home ran them any more.

    Returns:
        How many there were.
    """
    unfinished = instance.get_runs(
        dg.RunsFilter(
            statuses=[
                dg.DagsterRunStatus.STARTED,
                dg.DagsterRunStatus.STARTING,
                dg.DagsterRunStatus.CANCELING,
            ]
        )
    )
    orphans = [run for run in unfinished if not is_alive(run.tags)]
    for run in orphans:
        instance.report_run_failed(run, "The process of this run is gone: the machine was stopped.")
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return len(orphans)


def is_alive(tags: Mapping[str, str]) -> bool:
    """Whether the process that a run's tags name still runs; runs of the daemon name none."""
    pid, host = tags.get("lms/pid"), tags.get("lms/host")
    if pid is None or host is None:
        return False
    return host != socket.gethostname() or psutil.pid_exists(int(pid))


def process_tags() -> dict[str, str]:
    """What tells whether the process of a run is still there."""
    return {"lms/pid": str(os.getpid()), "lms/host": socket.gethostname()}


def _where(platform: Platform) -> str:
    settings = platform.settings
    if settings.db_host:
        return f"{settings.db_host}:{settings.db_port}/{settings.db_name}"
    return f"embedded, in {settings.lms_home / 'postgres'}"


def _is_taken(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _start(command: list[str]) -> "subprocess.Popen[bytes]":
    program = os.path.join(os.path.dirname(sys.executable), command[0])  # noqa: PTH118, PTH120
    log = subprocess.DEVNULL if not os.environ.get("LMS_VERBOSE") else None
    return subprocess.Popen(
        [program, *command[1:]],
        cwd=project_folder(),
        stdout=log,
        stderr=log,
        # Ctrl-C reaches this process alone, which ends its children in order.
        start_new_session=os.name == "posix",
    )


@contextmanager
def _children() -> Iterator[list["subprocess.Popen[bytes]"]]:
    children: list[subprocess.Popen[bytes]] = []
    try:
        yield children
    finally:
        trees = [_with_descendants(child) for child in reversed(children)]
        for child in reversed(children):
            child.send_signal(signal.SIGINT)
        _, alive = psutil.wait_procs([p for tree in trees for p in tree], timeout=STOP_WITHIN_S)
        for process in alive:
            process.kill()


def _with_descendants(child: "subprocess.Popen[bytes]") -> list[psutil.Process]:
    try:
        process = psutil.Process(child.pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _wait_for(url: str, children: list["subprocess.Popen[bytes]"]) -> None:
    for _ in range(READY_WITHIN_S * 4):
        if any(child.poll() is not None for child in children):
            raise TimeoutError("The page's server ended at its start; LMS_VERBOSE=1 shows why.")
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.25)
    raise TimeoutError(f"The page was not ready after {READY_WITHIN_S} s.")


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
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
