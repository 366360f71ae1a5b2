"""A home of its own for a measurement, driven by the command as its users drive it."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from time import monotonic

import psycopg2
import psycopg2.extras

from benchmarks.measure import Measured, measured
from lms_assets.embedded.postgres import EmbeddedPostgres
from lms_assets.settings import Settings
from lms_assets_tests.api_server import free_port

READY = "Daemon       ready"
LMS = str(Path(sys.executable).with_name("lms"))

# From the first step's start to each step's end, and to the run's end.
_STEPS = """
select extract(epoch from (select timestamp from dagster.event_logs e
        where e.run_id = r.run_id and dagster_event_type = 'STEP_SUCCESS'
          and step_key = 'attempts_table')
    - (select min(timestamp) from dagster.event_logs e
        where e.run_id = r.run_id and dagster_event_type = 'STEP_START')) as load_s,
    extract(epoch from (select max(timestamp) from dagster.event_logs e
        where e.run_id = r.run_id and dagster_event_type = 'PIPELINE_SUCCESS')
    - (select min(timestamp) from dagster.event_logs e
        where e.run_id = r.run_id and dagster_event_type = 'STEP_START')) as run_s
from dagster.runs r where pipeline_name = 'daily_attempts' order by r.id desc limit 1
"""

_STEP = """
select extract(epoch from max(timestamp) - min(timestamp)) as seconds from dagster.event_logs
where dagster_event_type in ('STEP_START', 'STEP_SUCCESS') and step_key = %(step)s
  and run_id = (select run_id from dagster.runs where pipeline_name = 'daily_attempts'
                order by id desc limit 1)
"""


@dataclass(frozen=True)
class Home:
    """A home with its embedded PostgreSQL running."""

    folder: Path
    environment: dict[str, str]
    url: str

    def lms(self, *arguments: str) -> Measured:
        """The command was run to its end, and measured."""
        return measured([LMS, *arguments], self.environment)

    def last_run(self) -> dict[str, float]:
        """Seconds of the last run: ``load_s`` up to the commit, ``run_s`` to its end."""
        return {name: float(str(value)) for name, value in self.row(_STEPS).items()}

    def step_s(self, step: str) -> float:
        """Seconds of one step of the last run."""
        return float(str(self.row(_STEP, step=step)["seconds"]))

    def row(self, statement: str, **values: object) -> dict[str, object]:
        """The one row of a query."""
        with psycopg2.connect(self.url) as connection:
            cursor = connection.cursor(cursor_factory=psycopg2.extras.RealDictCursor)
            cursor.execute(statement, values)
            return dict(cursor.fetchone() or {})


@contextmanager
def home(api_url: str, first_day: date, **settings: str) -> Iterator[Home]:
    """A fresh home that asks the API; its server and files are gone afterwards."""
    ours = {name.upper() for name in Settings.model_fields} | {"LMS_DEMO", "DAGSTER_HOME"}
    # A user's Python keeps what it has compiled.
    ours.add("PYTHONDONTWRITEBYTECODE")
    outside = {name: value for name, value in os.environ.items() if name not in ours}
    with tempfile.TemporaryDirectory(prefix="lms-bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        own = {
            "LMS_HOME": name,
            "API_URL": api_url,
            "API_CLIENT": "bench",
            "API_CLIENT_KEY": "key-of-the-benchmark",
            "API_TIMEOUT_S": "3600",
            "LMS_FIRST_DAY": first_day.isoformat(),
            **settings,
        }
        server = EmbeddedPostgres(folder / "postgres")
        url = server.start().replace("+psycopg2", "")
        try:
            yield Home(folder, outside | own, url)
        finally:
            server.stop()


@contextmanager
def up(place: Home) -> Iterator[tuple[int, float]]:
    """The port of `./lms up`, and the seconds until it was ready."""
    port, began = free_port(), monotonic()
    with subprocess.Popen(
        [LMS, "up", "--port", str(port)],
        env=place.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            for line in process.stdout or ():
                if READY in line:
                    break
            yield port, monotonic() - began
        finally:
            process.terminate()
