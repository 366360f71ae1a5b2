"""Workers of a cluster: whether two are faster than one, and what a day costs them."""

from datetime import date, timedelta

from benchmarks.data import DAY
from benchmarks.results import Row
from lms_assets_tests.cluster.machines import Cluster, cluster
from lms_assets_tests.homes import wait_until

PATIENCE_S = 3600
# From the first run's start to the last one's end: what the backfill daemon does before is its own.
WALL = """
    select max(end_time) - min(start_time) as wall_s from (
        select * from dagster.runs where pipeline_name = '__ASSET_JOB' order by id desc limit :n) r
"""


def workers(*, days: int, latency_s: float = 1) -> list[Row]:
    """A backfill of so many days launched in the page, over workers that are warm."""
    one, two = _wall_s(1, days, latency_s), _wall_s(2, days, latency_s)
    instant = _wall_s(2, days, 0)
    slow = f"an API of {latency_s:g} s"
    return [
        Row(f"{days} days, one worker, {slow}", one, None, None),
        Row(f"{days} days, two workers, {slow}", two, two / one, 0.6, "one worker"),
        Row("a day, two warm workers, an instant API", instant / days, None, 1),
    ]


def _wall_s(number: int, days: int, latency_s: float) -> float:
    warming = 2 * number
    first = DAY - timedelta(days=days + warming)
    with cluster(latency_s=latency_s, LMS_FIRST_DAY=str(first)) as here:
        here.up()
        for n in range(number):
            here.worker(f"worker-{n}")
        _load(here, first, warming)
        _load(here, first + timedelta(days=warming), days)
        return float(here.rows(WALL, n=days)[0]["wall_s"])


def _load(here: Cluster, first: date, days: int) -> None:
    before = here.runs_of("__ASSET_JOB").count("SUCCESS")
    here.backfill(first, days)

    def is_done() -> bool:
        return here.runs_of("__ASSET_JOB").count("SUCCESS") == before + days

    wait_until(is_done, within_s=PATIENCE_S)
