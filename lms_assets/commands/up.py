"""`lms up`: Dagster's page and daemon as child processes, which it ends when it ends."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import psutil
from filelock import FileLock, Timeout

from lms_assets.commands.installation import Installation
from lms_assets.embedded.loopback import HOST, is_taken
from lms_assets.files import write_whole
from lms_assets.runs.processes import end_orphans, terminated_as_interrupted
from lms_assets.settings import Settings, project_folder

READY_WITHIN_S = 120
STOP_WITHIN_S = 20
# A socket's path may have 107 bytes, and Dagster adds a folder and a name of its own.
LONGEST_TMPDIR = 60
# A proxy in the environment is meant for other hosts.
WITHOUT_PROXY = urllib.request.build_opener(urllib.request.ProxyHandler({}))
LOCATIONS = """
query {
  workspaceOrError { ... on Workspace { locationEntries {
    loadStatus
    locationOrLoadError { ... on PythonError { message } }
  } } }
}
"""

Tell = Callable[[str], None]


def lock_of_up(settings: Settings) -> FileLock:
    """The lock that is held while `lms up` runs in this home; taking it never waits."""
    return FileLock(settings.lms_home / "dagster" / "up.lock", timeout=0)


def serve(
    installation: Installation, instance: dg.DagsterInstance, *, port: int, tell: Tell
) -> int:
    """The page and the daemon have run until Ctrl-C, or until one of them ended by itself.

    Returns:
        0 after Ctrl-C; 1 if a part ended, the port is taken, or this home has a daemon already.
    """
    home = installation.settings.lms_home / "dagster"
    with terminated_as_interrupted():
        try:
            # Two daemons of one instance would run everything twice.
            with lock_of_up(installation.settings):
                return _serve_alone(installation, instance, home, port, tell)
        except Timeout:
            tell(f"It is up already in {installation.settings.lms_home}: only one may be.")
        except KeyboardInterrupt:
            tell("Stopping …")
            return 0
    return 1


def _serve_alone(
    installation: Installation, instance: dg.DagsterInstance, home: Path, port: int, tell: Tell
) -> int:
    tell(f"PostgreSQL   ready: {_where(installation)}")
    if installation.settings.is_demo:
        tell("Demo API     starts with each run that asks it, on loopback")
    _end_leftovers(home / "up.json")
    if is_taken(port):
        tell(f"Port {port} is taken: choose another with --port.")
        return 1
    orphans = end_orphans(instance, installation.warehouse, now=datetime.now(UTC))
    if orphans:
        tell(f"Orphans      {len(orphans)} runs of a process that died were marked failed")
    workspace = project_folder() / "workspace.yaml"
    address = f"http://{HOST}:{port}"
    with _children(home / "up.json") as start:
        server = str(Path(sys.executable).with_name("dagster-webserver"))
        page = start([server, "-h", HOST, "-p", str(port), "-w", str(workspace)])
        daemon = start([sys.executable, "-m", "lms_assets.runs.daemon"])
        try:
            _wait_for(address, page)
        except (TimeoutError, NotLoadedError) as error:
            tell(str(error))
            return 1
        write_whole(home / "address", address)
        tell(f"Page         ready: {address}")
        tell("Daemon       ready: schedule, sensors and backfills are on; Ctrl-C ends all")
        while page.poll() is None and daemon.poll() is None:
            time.sleep(0.5)
        tell("A part ended by itself; see the log in LMS_HOME/logs.")
    return 1


def _where(installation: Installation) -> str:
    settings = installation.settings
    if settings.db_host:
        return f"{settings.db_host}:{settings.db_port}/{settings.db_name}"
    return f"embedded, in {settings.lms_home / 'postgres'}"


def _started(command: list[str]) -> "subprocess.Popen[bytes]":
    log = subprocess.DEVNULL if not os.environ.get("LMS_VERBOSE") else None
    return subprocess.Popen(
        command,
        cwd=project_folder(),
        stdout=log,
        stderr=log,
        # In their own sessions the children do not get Ctrl-C; this process ends them in order.
        start_new_session=os.name == "posix",
    )


@contextmanager
def _children(remembered: Path) -> Iterator[Callable[[list[str]], "subprocess.Popen[bytes]"]]:
    """Yields a function that starts children; they and their descendants end with the block.

    Args:
        remembered: A file with their process numbers, for the next start if this process is
            killed.
    """
    children: list[psutil.Process] = []

    def start(command: list[str]) -> "subprocess.Popen[bytes]":
        child = _started(command)
        children.append(psutil.Process(child.pid))
        named = [[process.pid, process.create_time()] for process in children]
        write_whole(remembered, json.dumps(named))
        return child

    try:
        yield start
    finally:
        _end(children)
        remembered.unlink(missing_ok=True)


def _end_leftovers(remembered: Path) -> None:
    """Processes that a killed `lms up` left have ended."""
    if not remembered.exists():
        return
    left, named = [], []
    # A loss of power may have cut the file.
    with suppress(ValueError):
        named = json.loads(remembered.read_text(encoding="utf-8"))
    for pid, created in named:
        with suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            # The number may be another process's by now.
            left += [process] if process.create_time() == created else []
    _end(left)
    remembered.unlink()


def _end(children: list[psutil.Process]) -> None:
    trees = [process for child in reversed(children) for process in _with_descendants(child)]
    for child in reversed(children):
        with suppress(psutil.NoSuchProcess):
            child.send_signal(signal.SIGINT)
    _, alive = psutil.wait_procs(trees, timeout=STOP_WITHIN_S)
    for process in alive:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _with_descendants(child: psutil.Process) -> list[psutil.Process]:
    try:
        return [child, *child.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


class NotLoadedError(Exception):
    """The page answers, but the platform's definitions could not be loaded."""


def _wait_for(address: str, page: "subprocess.Popen[bytes]") -> None:
    """The page answers and has loaded the platform's definitions.

    Raises:
        NotLoadedError: The definitions cannot be loaded; the error has Dagster's reason.
        TimeoutError: The page was not ready in time.
    """
    for _ in range(READY_WITHIN_S * 4):
        if page.poll() is not None:
            raise TimeoutError("The page's server ended at its start; LMS_VERBOSE=1 shows why.")
        with suppress(urllib.error.URLError, OSError):
            if _is_loaded(address):
                return
        time.sleep(0.25)
    raise TimeoutError(f"The page was not ready after {READY_WITHIN_S} s.")


def _is_loaded(address: str) -> bool:
    body = json.dumps({"query": LOCATIONS}).encode()
    request = urllib.request.Request(
        f"{address}/graphql", body, {"Content-Type": "application/json"}
    )
    with WITHOUT_PROXY.open(request, timeout=30) as answer:
        entries = json.load(answer)["data"]["workspaceOrError"]["locationEntries"]
    errors = [entry["locationOrLoadError"].get("message") for entry in entries]
    if any(errors):
        reason = " ".join(str(next(filter(None, errors))).split())
        raise NotLoadedError(
            f"Dagster could not load the platform's definitions: {reason}{_hint()}"
        )
    return all(entry["loadStatus"] == "LOADED" for entry in entries) and bool(entries)


def _hint() -> str:
    """A sentence about TMPDIR, if it is too long for the socket of Dagster's code server."""
    folder = tempfile.gettempdir()
    if len(folder) <= LONGEST_TMPDIR:
        return ""
    return f" TMPDIR ({folder}) is too long for a socket's path: choose a shorter one."
