"""Many days: a year from the lake on all cores, and two dozen days from a slow API."""

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from benchmarks.answers import answering
from benchmarks.data import DAY, write_day
from benchmarks.homes import Home, home, up
from benchmarks.measure import last_object, measured, python
from benchmarks.results import Row
from lms_assets.embedded.demo_api import DemoApi
from lms_assets.resources.lake import Lake
from lms_assets.resources.records import count_records
from lms_assets_tests.daemons import backfill_in_page
from lms_assets_tests.homes import wait_until

# The backfill daemon looks every 30 s.
LOOK_S = 30
PATIENCE_S = 3600
_RUNS = """
select count(*) filter (where status = 'SUCCESS') as succeeded, min(start_time) as first_start,
    max(end_time) as last_end
from dagster.runs where pipeline_name = '__ASSET_JOB'
"""


def history(*, days: int, records: int) -> list[Row]:
    """So many days, recleaned from the lake by the command, and loaded by the page's backfill."""
    first = DAY - timedelta(days=days - 1)
    with tempfile.TemporaryDirectory(prefix="lms-bench-data-") as name:
        folder = Path(name)
        for n in range(days):
            day = first + timedelta(days=n)
            write_day(folder / f"{day}.json", records=records, day=day)
        return [*_recleaned(folder, first, days), *_by_the_page(folder, first, days)]


def _recleaned(folder: Path, first: date, days: int) -> list[Row]:
    """`reclean`, against as many empty runs on as many cores."""
    with home("http://127.0.0.1:9/attempts", first) as place:
        lake = Lake(url=str(place.folder / "lake"))
        for n in range(days):
            day = first + timedelta(days=n)
            body = folder / f"{day}.json"
            with body.open("rb") as stream:
                records = count_records(stream)
            lake.store_raw(body, day=day, records=records, pulled_at=datetime.now(UTC))
        found = place.lms("reclean", str(first), str(DAY))
        empty_s = _empty_runs(place, first, days)
        checked_s = _empty_runs(place, first, days, "--checks")
    what, empty_runs = f"`./lms reclean`, {days} days × {records:,}", f"{days} empty runs"
    return [
        Row(what, found.seconds, found.seconds / empty_s, 1.5, empty_runs),
        Row(
            what, found.seconds, found.seconds / checked_s, None, f"{empty_runs} with empty checks"
        ),
    ]


def _empty_runs(place: Home, first: date, days: int, *options: str) -> float:
    """The seconds of as many empty runs, by a process on each core, from start to end."""
    cores = os.cpu_count() or 1
    command = python("benchmarks.empty", str(first), str(days // cores), *options)
    began = time.perf_counter()
    with ThreadPoolExecutor(cores) as processes:
        list(processes.map(lambda _: measured(command, place.environment), range(cores)))
    return time.perf_counter() - began


def _by_the_page(folder: Path, first: date, days: int) -> list[Row]:
    """A backfill that the page's dialog begins."""
    with answering(folder) as api, home(api, first) as place, up(place) as (port, _):
        launched = time.time()
        backfill_in_page(port, [first + timedelta(days=n) for n in range(days)])
        wait_until(lambda: place.row(_RUNS)["succeeded"] == days, within_s=PATIENCE_S)
        runs = {name: float(str(value)) for name, value in place.row(_RUNS).items()}
    until_first = runs["first_start"] - launched
    a_day = (runs["last_end"] - runs["first_start"]) / days
    return [
        Row("the page's backfill, until its first run", until_first, None, LOOK_S + 10),
        Row(f"the page's backfill of {days} days, a day", a_day, None, 2),
    ]


def backfill(*, days: int, latency_s: float = 1) -> list[Row]:
    """`backfill` of so many days from an API that takes a second, four at a time."""
    first, last = DAY - timedelta(days=days - 1), DAY
    slow = DemoApi(client="bench", client_key="key-of-the-benchmark", latency_s=latency_s)
    with slow as api, home(api.url, first) as place:
        seconds = place.lms("backfill", str(first), str(last)).seconds
        empty = measured(python("benchmarks.empty", str(first), str(days)), place.environment)
    bar_s = days / 4 * latency_s + last_object(empty.out)["seconds"] + 12
    return [Row(f"`./lms backfill`, {days} days, an API of {latency_s:g} s", seconds, None, bar_s)]
