"""A home of its own with the real command beside it, and an API that can be slow and fail."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil

from lms_assets.embedded.database import EmbeddedWarehouse
from lms_assets.embedded.postgres import EmbeddedPostgres
from lms_assets.resources.warehouse import Warehouse
from lms_assets.settings import Settings
from lms_assets.statistics.views import figure_views
from lms_assets_tests.api_server import ApiServer, answer
from lms_assets_tests.day_loads import record
from lms_assets_tests.driving import unconfigured

LMS = Path(sys.executable).with_name("lms")


class Grader:
    """What an API server answers: a few attempts of the day that it is asked for.

    Args:
        latency_s: How long each answer is held back.
        failing: Days that are answered with ``status``; may be changed at any time.

    Attributes:
        students: How many of them have attempted something on each day; may be changed.
        asked: Day → how often it was asked for.
        open: How many questions are open now.
        most_at_once: The most questions that were open at the same time.
    """

    def __init__(self, *failing: str, latency_s: float = 0, status: int = 401) -> None:
        self.failing, self.latency_s, self.status = set(failing), latency_s, status
        self.students = 5
        self.asked: Counter[str] = Counter()
        self.most_at_once = self.open = 0
        self._lock = threading.Lock()

    def __call__(self, handler: Any) -> None:  # noqa: ANN401
        day = parse_qs(urlsplit(handler.path).query)["start"][0][:10]
        with self._lock:
            self.asked[day] += 1
            self.open += 1
            self.most_at_once = max(self.most_at_once, self.open)
        time.sleep(self.latency_s)
        with self._lock:
            self.open -= 1
        users = [f"{n:032x}" for n in range(self.students)]
        records = [record(user, day=date.fromisoformat(day)) for user in users]
        status = self.status if day in self.failing else 200
        answer(records if status == 200 else b"", status=status)(handler)


@dataclass
class Home:
    """A home, its settings as environment variables, and what was started in it."""

    folder: Path
    environment: dict[str, str]
    started: "list[subprocess.Popen[str]]" = field(default_factory=list)

    def lms(self, *arguments: str, timeout: float = 240) -> "subprocess.CompletedProcess[str]":
        """The command has ended."""
        return subprocess.run(
            [str(LMS), *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """The command runs; what it says goes to a file, and it is killed with the test."""
        log = (self.folder / f"{arguments[0]}.log").open("a")
        process = subprocess.Popen(
            [str(LMS), *arguments], env=self.environment, stdout=log, stderr=log, text=True
        )
        self.started.append(process)
        return process

    def said(self, command: str) -> str:
        """What a started command has said so far."""
        return (self.folder / f"{command}.log").read_text()

    @property
    def warehouse(self) -> Warehouse:
        return EmbeddedWarehouse(folder=str(self.folder / "postgres"))

    def rows(self, statement: str, **values: object) -> list[dict[str, Any]]:
        return self.warehouse.rows(statement, **values)

    def loaded(self) -> list[str]:
        """The days that the ledger holds."""
        return [str(r["day"]) for r in self.rows("select distinct day from load_ledger order by 1")]

    def letters(self) -> list[tuple[str, str]]:
        """Kind and status of each letter, in order."""
        rows = self.rows("select kind, status from letters order by id")
        return [(row["kind"], row["status"]) for row in rows]

    def runs(self, job: str = "daily_attempts") -> list[tuple[str, str]]:
        """Day and status of each run of a job, by day."""
        if not self.rows("select 1 where to_regclass('dagster.runs') is not null"):
            return []
        rows = self.rows(
            "select partition, status from dagster.runs where pipeline_name = :job order by 1, id",
            job=job,
        )
        return [(row["partition"], row["status"]) for row in rows]


@contextmanager
def home(api: ApiServer | None = None, **settings: object) -> Iterator[Home]:
    """A fresh home with PostgreSQL running; without an API it is one of demo mode."""
    ours = {name.upper() for name in Settings.model_fields} | {"LMS_DEMO", "DAGSTER_HOME"}
    outside = {name: value for name, value in os.environ.items() if name not in ours}
    # Not under pytest's own folder: that is closed to the user that the server runs as for root.
    with tempfile.TemporaryDirectory(prefix="lms-home-") as name:
        base = Path(name)
        base.chmod(0o755)
        own = {"LMS_HOME": name} | {key.upper(): str(value) for key, value in settings.items()}
        if api:
            own |= {"API_URL": api.url, "API_CLIENT": "c", "API_CLIENT_KEY": "k3y-of-the-test"}
        else:
            first = own.get("LMS_FIRST_DAY")
            base = base / "demo"
            base.mkdir()
            if first:
                (base / "demo.json").write_text(json.dumps({"first_day": first}))
        place = Home(base, outside | unconfigured() | own)
        try:
            place.warehouse.migrate(figure_views())
            yield place
        finally:
            for process in place.started:
                end(process)
            EmbeddedPostgres(base / "postgres").stop()


def end(process: "subprocess.Popen[str]", *, with_signal: int = signal.SIGINT) -> int:
    """The process and all that it started are gone; its exit code."""
    with suppress(psutil.NoSuchProcess):
        tree = psutil.Process(process.pid).children(recursive=True)
        if process.poll() is None:
            process.send_signal(with_signal)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=40)
        for left in [one for one in tree if one.is_running()] + [psutil.Process(process.pid)]:
            with suppress(psutil.NoSuchProcess):
                left.kill()
    return process.wait(timeout=10)


def wait_until(condition: Callable[[], object], *, within_s: float = 240) -> None:
    """The condition holds.

    Raises:
        TimeoutError: It did not in time.
    """
    until = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError("the condition did not come to hold")
        time.sleep(0.5)


def descendants_of(pid: int) -> list[psutil.Process]:
    """Every process below one."""
    return psutil.Process(pid).children(recursive=True)
