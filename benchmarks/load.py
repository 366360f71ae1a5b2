"""A large day from the API's bytes to the commit, beside what else does that.

The same answer for all, into the embedded PostgreSQL with the durability that users have:

    limit      (a) COPY of ready rows into the earlier pipeline's table
    ours       (b) from the API's bytes to the committed merge, ledger and quarantine included
    ours_run   (b+) the whole run: checks, figures, sheet and page too
    dlt_dicts, dlt_arrow  (c) dlt's merge by the key
    etl        (d) the earlier pipeline's method
    row_each   (e) a statement and a commit a row, on fewer rows
    to_sql     (f) pandas.to_sql, on fewer rows
"""

import statistics
import tempfile
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import psycopg2

from benchmarks.answers import answering
from benchmarks.data import DAY, write_day
from benchmarks.homes import Home, home
from benchmarks.measure import last_object, measured, python

PEERS_WITH_ALL = ("limit", "dlt_dicts", "dlt_arrow", "etl")
PEERS_WITH_FEW = {"row_each": 100, "to_sql": 10}
AGAIN = ("dlt_dicts", "dlt_arrow", "etl")


@dataclass
class Results:
    """Seconds per million records and peak memory, a number for each round.

    Attributes:
        seconds: What was done → its seconds, per million records.
        peak_mb: What was done → its peak memory.
    """

    records: int
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    peak_mb: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def note(
        self, name: str, seconds: float, peak_mb: float, *, records: int | None = None
    ) -> None:
        """One more round of it."""
        self.seconds[name].append(seconds * 1_000_000 / (records or self.records))
        self.peak_mb[name].append(peak_mb)

    def median_s(self, name: str) -> float:
        """Seconds per million records."""
        return statistics.median(self.seconds[name])

    def ratio(self, name: str) -> float:
        """How many times as long as the limit."""
        return self.median_s(name) / self.median_s("limit")


def load(*, records: int, rounds: int) -> Results:
    """Every way was tried in each round, one after the other."""
    results = Results(records)
    with tempfile.TemporaryDirectory(prefix="lms-bench-data-") as folder:
        answer, changed, few = (Path(folder) / f"{n}.json" for n in ("day", "changed", "few"))
        write_day(answer, records=records)
        write_day(changed, records=records, is_changed=True)
        for _ in range(rounds):
            _ours(results, answer, changed)
            _peers(results, answer, few)
    return results


def _ours(results: Results, answer: Path, changed: Path) -> None:
    served = answer.with_name("served.json")
    served.unlink(missing_ok=True)
    served.hardlink_to(answer)
    with answering(served) as api, home(api, DAY) as place:
        # The home is made and the day's figures have a history, as on any day but the first.
        _run(place, results, "")
        _run(place, results, "_again")
        results.note("fetch_again", place.step_s("raw_attempts"), 0)
        empty = measured(python("benchmarks.empty", DAY.isoformat()), place.environment)
        results.note("empty_run", last_object(empty.out)["seconds"], empty.peak_mb)
        served.unlink()
        served.hardlink_to(changed)
        _run(place, results, "_changed")
    served.unlink()


def _run(place: Home, results: Results, kind: str) -> None:
    found = place.lms("run", DAY.isoformat(), "--json")
    told = last_object(found.out)
    if told["status"] != "success":
        raise RuntimeError(f"the day failed: {told}")
    seconds = place.last_run()
    results.note(f"ours{kind}", seconds["load_s"], found.peak_mb)
    results.note(f"ours_run{kind}", seconds["run_s"], found.peak_mb)


def _peers(results: Results, answer: Path, few: Path) -> None:
    with answering(answer) as api, home(api, DAY - timedelta(days=1)) as place:
        for name in PEERS_WITH_ALL:
            _peer(place, results, name, answer, results.records)
        for name in AGAIN:
            _peer(place, results, name, answer, results.records, kind="_again", is_fresh=False)
        for name, fraction in PEERS_WITH_FEW.items():
            records = results.records // fraction
            write_day(few, records=records)
            _peer(place, results, name, few, records)


def _peer(
    place: Home,
    results: Results,
    name: str,
    answer: Path,
    records: int,
    *,
    kind: str = "",
    is_fresh: bool = True,
) -> None:
    url = _database(place, f"bench_{name}", is_fresh=is_fresh)
    found = measured(python("benchmarks.peers", name, str(answer), url))
    seconds = last_object(found.out)["seconds"]
    results.note(f"{name}{kind}", seconds, found.peak_mb, records=records)


def _database(place: Home, name: str, *, is_fresh: bool) -> str:
    connection = psycopg2.connect(place.url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        if is_fresh:
            cursor.execute(f"drop database if exists {name}")
            cursor.execute(f"create database {name}")
            cursor.execute("checkpoint")
    connection.close()
    return place.url.replace("/lms?", f"/{name}?")
