"""Many days: a year from the lake on all cores, and two dozen days from a slow API."""

import os
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from benchmarks.data import DAY, write_day
from benchmarks.homes import home
from benchmarks.measure import last_object, measured, python
from benchmarks.results import Row
from lms_assets.embedded.demo_api import DemoApi
from lms_assets.resources.lake import Lake


def history(*, days: int, records: int) -> list[Row]:
    """`reclean` of so many days, against as many empty runs on as many cores."""
    first, last = DAY - timedelta(days=days - 1), DAY
    with home("http://127.0.0.1:9/attempts", first) as place:
        lake = Lake(url=str(place.folder / "lake"))
        with tempfile.TemporaryDirectory() as folder:
            for n in range(days):
                day, body = first + timedelta(days=n), Path(folder) / "day.json"
                write_day(body, records=records, day=day)
                lake.store_raw(body, day=day, records=records, pulled_at=datetime.now(UTC))
        found = place.lms("reclean", str(first), str(last))
        empty = measured(python("benchmarks.empty", str(first), str(days)), place.environment)
        empty_s = last_object(empty.out)["seconds"] / (os.cpu_count() or 1)
        what = f"`./lms reclean`, {days} days × {records:,}"
        return [Row(what, found.seconds, found.seconds / empty_s, 1.5, f"{days} empty runs")]


def backfill(*, days: int, latency_s: float = 1) -> list[Row]:
    """`backfill` of so many days from an API that takes a second, four at a time."""
    first, last = DAY - timedelta(days=days - 1), DAY
    slow = DemoApi(client="bench", client_key="key-of-the-benchmark", latency_s=latency_s)
    with slow as api, home(api.url, first) as place:
        seconds = place.lms("backfill", str(first), str(last)).seconds
        empty = measured(python("benchmarks.empty", str(first), str(days)), place.environment)
    bar_s = days / 4 * latency_s + last_object(empty.out)["seconds"] + 12
    return [Row(f"`./lms backfill`, {days} days, an API of {latency_s:g} s", seconds, None, bar_s)]
