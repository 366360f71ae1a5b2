"""The embedded PostgreSQL 18, from a Python package, on a socket; used where none is configured.

The first command that needs it starts it, other commands join it, and the last one stops it.
"""

import atexit
import os
from pathlib import Path
from urllib.parse import quote

from filelock import FileLock, Timeout
from sqlalchemy import make_url

from lms_assets.embedded.loopback import HOST
from lms_assets.embedded.postgres_cluster import SUPERUSER, Cluster, Running
from lms_assets.resources.sessions import connected, connection_arguments

DATABASE = "lms"


class EmbeddedPostgres:
    """A server whose data are in ``folder``; any number of processes share it.

    Args:
        folder: The folder of the data; it is made if it does not exist. For root the server runs
            as the user ``pgserver``, which must be able to reach the folder.
        port: A port of 127.0.0.1 on which the server also listens, if this call starts it.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = port
        self._users = folder.with_name(f"{folder.name}-users")
        self._lock = FileLock(str(folder.with_name(f"{folder.name}.lock")))
        self._cluster = Cluster(folder)
        self._server: Running | None = None

    def start(self) -> str:
        """The server runs, and this process is one of its users.

        Returns:
            The SQLAlchemy URL of the database ``lms``.
        """
        self._users.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._server = self._cluster.start(port=self.port)
            _mark(self._users)
            atexit.register(self.leave, os.getpid())
            self._make_database()
        return self.url(DATABASE)

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database on this server."""
        assert self._server is not None, "start it first"
        folder, port = self._server.socket_folder, self._server.port
        if folder is None:
            return f"postgresql+psycopg2://{SUPERUSER}@{HOST}:{port}/{database}"
        # libpq does not read a plus sign in a URL as a space, so a space must be %20.
        place = f"host={quote(str(folder))}&port={port}"
        return f"postgresql+psycopg2://{SUPERUSER}@/{database}?{place}"

    def keep_running(self) -> None:
        """The server keeps running without users until :meth:`stop`, for bare Dagster tools."""
        self._users.mkdir(parents=True, exist_ok=True)
        self._users.joinpath("keep").touch()

    def stop(self) -> None:
        """The server has stopped, even if processes used it."""
        if not self._users.is_dir():
            return
        with self._lock:
            self._cluster.stop()
            _unmark(self._users, os.getpid())
            for mark in self._users.iterdir():
                mark.unlink(missing_ok=True)

    def leave(self, pid: int) -> None:
        """This process is no user any more; if it was the last one, the server has stopped."""
        # A forked process inherits this exit hook, but is no user. A deleted folder has no server.
        if self._server is None or pid != os.getpid() or not self._users.is_dir():
            return
        with self._lock:
            _unmark(self._users, pid)
            if not any(_is_in_use(mark) for mark in self._users.iterdir()):
                self._cluster.stop()
        self._server = None

    def _make_database(self) -> None:
        connection = connected(connection_arguments(make_url(self.url("postgres"))))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("select 1 from pg_database where datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f"create database {DATABASE}")
        connection.close()


# File → lock, for the marks of this process. Dagster makes several objects for one server.
_marks: dict[Path, FileLock] = {}


def _mark(users: Path) -> None:
    """A locked file marks this process as a user; the lock ends with the process."""
    file = users / str(os.getpid())
    if file not in _marks:
        _marks[file] = FileLock(str(file))
        _marks[file].acquire()


def _unmark(users: Path, pid: int) -> None:
    file = users / str(pid)
    mark = _marks.pop(file, None)
    if mark is not None:
        mark.release(force=True)
    file.unlink(missing_ok=True)


def _is_in_use(mark: Path) -> bool:
    """Whether the process of the mark is alive.

    The lock decides, because another process may have the same number by now.
    """
    if mark.name == "keep":
        return True
    try:
        with FileLock(str(mark), timeout=0):
            return False
    except Timeout:
        return True
