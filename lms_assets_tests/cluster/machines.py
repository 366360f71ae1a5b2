"""Several machines on this one: each a checkout and a home of its own; one Redis, one database."""

import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil

from lms_assets.resources.warehouse import Warehouse
from lms_assets_tests.api_server import ApiServer, free_port
from lms_assets_tests.daemons import ask_page, backfill_in_page
from lms_assets_tests.driving import COMMAND, Checkout, checkout, debian_postgres, server_programs
from lms_assets_tests.homes import Grader, end, wait_until
from lms_assets_tests.sheets_server import SheetsServer
from lms_assets_tests.smtp_server import PostOffice, post_office

CANCEL = """
mutation ($run: String!, $policy: TerminateRunPolicy!) {
  terminateRun(runId: $run, terminatePolicy: $policy) {
    __typename
    ... on TerminateRunFailure { message }
    ... on PythonError { message }
  }
}
"""


class Redis:
    """Debian's Redis on loopback, with a password; with or without a file of what it holds."""

    def __init__(self, folder: Path, *, keeps: bool) -> None:
        self.port, self.keeps, self.folder = free_port(), keeps, folder
        self.password = "r3dis s/cret@of:the test"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address with the password in it."""
        return f"redis://:{quote(self.password, safe='')}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """It answers."""
        program = shutil.which("redis-server")
        assert program, "Redis is not installed: apt-get install redis-server"
        keeping = ["--appendonly", "yes"] if self.keeps else ["--save", "", "--appendonly", "no"]
        command = [program, "--port", str(self.port), "--bind", "127.0.0.1", "--dir"]
        command += [str(self.folder), "--requirepass", self.password, *keeping]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        wait_until(self._answers, within_s=20)

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
            return True
        return False

    def stop(self) -> None:
        """It is gone, at once."""
        if self._process:
            self._process.kill()
            self._process.wait()


@dataclass
class Machine:
    """A checkout with its own home, and the processes that were started there."""

    place: Checkout
    name: str
    processes: "list[subprocess.Popen[str]]" = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.place.folder / f"{self.name}.log"

    def start(self, *arguments: str, **more: str) -> "subprocess.Popen[str]":
        with self.log.open("a") as log:
            process = subprocess.Popen(
                [str(COMMAND), *arguments],
                cwd=self.place.folder,
                env=self.place.environment(**more),
                stdout=log,
                stderr=log,
                text=True,
            )
        self.processes.append(process)
        return process

    def begin(self, word: str, *arguments: str) -> None:
        """The command runs and has said this word."""
        before = self.said().count(word)
        process = self.start(*arguments)

        def is_ready() -> bool:
            assert process.poll() is None, self.said()
            return self.said().count(word) > before

        wait_until(is_ready)

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def kill(self) -> None:
        """As the machine's fall would: every process that was started here is gone at once."""
        for process in self.processes:
            with suppress(psutil.NoSuchProcess):
                tree = psutil.Process(process.pid)
                for one in [tree, *tree.children(recursive=True)]:
                    one.kill()
            process.wait()

    def end(self) -> None:
        """Every process has ended as Ctrl-C ends it."""
        for process in self.processes:
            end(process)


@dataclass
class Cluster:
    """The page's machine, workers, and what is outside of them."""

    redis: Redis
    grader: Grader
    office: PostOffice
    warehouse: Warehouse
    settings: dict[str, str]
    stack: ExitStack
    port: int = field(default_factory=free_port)
    machines: dict[str, Machine] = field(default_factory=dict)

    def machine(self, name: str, **settings: str) -> Machine:
        """A machine of its own."""
        made = Machine(self.stack.enter_context(checkout(**{**self.settings, **settings})), name)
        self.machines[name] = made
        self.stack.callback(made.end)
        return made

    def up(self) -> Machine:
        made = self.machine("up")
        made.begin("Daemon       ready", "up", "--port", str(self.port))
        return made

    def worker(self, name: str, **settings: str) -> Machine:
        made = self.machine(name, **settings)
        self.start_worker(made)
        return made

    def start_worker(self, made: Machine) -> None:
        made.begin("Worker       ready", "worker")

    def ask(self, query: str, **variables: object) -> Any:  # noqa: ANN401
        return ask_page(self.port, query, **variables)

    def backfill(self, first: date, days: int) -> str:
        """A person backfills these days in the page."""
        return backfill_in_page(self.port, [first + timedelta(days=n) for n in range(days)])

    def cancel(self, run_id: str, *, at_once: bool = False) -> None:
        """A person cancels the run in the page; one that has not begun, at once."""
        policy = "MARK_AS_CANCELED_IMMEDIATELY" if at_once else "SAFE_TERMINATE"
        told = self.ask(CANCEL, run=run_id, policy=policy)["terminateRun"]
        assert told["__typename"] == "TerminateRunSuccess", told

    @property
    def lake(self) -> Path:
        return Path(self.settings["LMS_LAKE"])

    def letters(self) -> list[tuple[str, str]]:
        """Kind and status of each letter, in order."""
        rows = self.rows("select kind, status from letters order by id")
        return [(row["kind"], row["status"]) for row in rows]

    def runs_of(self, job: str) -> list[str]:
        """Status of each run of a job."""
        runs = self.rows("select status from dagster.runs where pipeline_name = :job", job=job)
        return [run["status"] for run in runs]

    def rows(self, statement: str, **values: object) -> list[dict[str, Any]]:
        return self.warehouse.rows(statement, **values)

    def loaded(self) -> list[str]:
        """Day of each committed pull, in order; a day twice where it was loaded twice."""
        return [str(row["day"]) for row in self.rows("select day from load_ledger order by 1")]

    def runs(self) -> dict[str, int]:
        """Status → how many runs."""
        rows = self.rows("select status, count(*) as n from dagster.runs group by 1")
        return {row["status"]: row["n"] for row in rows}


@contextmanager
def cluster(*, latency_s: float = 0, keeps: bool = True, **settings: str) -> Iterator[Cluster]:
    programs = server_programs()
    assert programs, "Debian's PostgreSQL is not installed: apt-get install postgresql"
    grader = Grader(latency_s=latency_s)
    with ExitStack() as stack:
        server = stack.enter_context(debian_postgres(programs))
        server.execute("create database analysts")
        api = stack.enter_context(ApiServer(grader))
        sheets = stack.enter_context(SheetsServer())
        office = stack.enter_context(post_office())
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lms-cluster-")))
        (folder / "redis").mkdir()
        redis = Redis(folder / "redis", keeps=keeps)
        redis.start()
        stack.callback(redis.stop)
        shared = {
            "API_URL": api.url,
            "API_CLIENT": "client",
            "API_CLIENT_KEY": "k3y-of-the-test",
            **server.settings("analysts"),
            "GOOGLE_SHEETS_API_URL": sheets.url,
            "GOOGLE_SHEETS_CREDENTIALS_BASE64": sheets.credentials_base64(),
            "SPREADSHEET_ID": sheets.spreadsheet_id,
            "SMTP_SERVER": "127.0.0.1",
            "SMTP_PORT": str(office.port),
            "SENDER_EMAIL": "lms@example.org",
            "RECIPIENTS_EMAILS": "anna@example.org",
            "LMS_BROKER_URL": redis.url,
            "LMS_LAKE": str(folder / "lake"),
            "LMS_KEY": "0123456789abcdef" * 4,
            "LMS_CATCH_UP_DAYS": "0",
            **settings,
        }
        warehouse = Warehouse(url=server.url("analysts"))
        made = Cluster(redis, grader, office, warehouse, shared, stack)
        yield made
