"""Years of daily runs, each day run four times: Dagster's schema and a run stay as they were."""

import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic, sleep

import dagster as dg
import psycopg2
import pytest
from playwright.sync_api import Browser

from benchmarks.data import DAY
from benchmarks.homes import Home, home, up
from benchmarks.results import Row
from lms_assets.embedded.demo_api import DemoApi
from lms_assets.resources.sessions import session_url
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.purge import purge_step
from lms_assets.settings import project_folder
from lms_assets_tests.browser import chromium

WATCHED_S = 120

# A real run's rows, once for each earlier day and each of its four runs.
_COPIED = """
create temporary table copies as
select r.run_id as old, gen_random_uuid()::text as new, r.partition as old_day,
    (r.partition::date - n)::text as new_day,
    make_interval(days => n - k) as by
from dagster.runs r, generate_series(1, %(days)s) n, generate_series(0, 3) k
where r.pipeline_name = 'daily_attempts' and n > k
order by n desc, k;
insert into dagster.runs (run_id, snapshot_id, pipeline_name, status, run_body, partition,
    create_timestamp, update_timestamp, start_time, end_time)
select new, snapshot_id, pipeline_name, status,
    replace(replace(run_body, old, new), old_day, new_day), new_day,
    create_timestamp - by, update_timestamp - by, start_time, end_time
from dagster.runs r join copies on old = run_id;
insert into dagster.run_tags (run_id, key, value)
select new, key, replace(value, old_day, new_day) from dagster.run_tags join copies on old = run_id;
insert into dagster.event_logs
    (run_id, event, dagster_event_type, timestamp, step_key, asset_key, partition)
select new, replace(replace(event, old, new), old_day, new_day), dagster_event_type,
    timestamp - by, step_key, asset_key, case when partition = old_day then new_day end
from (select * from dagster.event_logs join copies on old = run_id order by by desc, id) e;
insert into dagster.asset_check_executions (asset_key, check_name, partition, run_id,
    execution_status, evaluation_event, evaluation_event_timestamp, create_timestamp)
select asset_key, check_name, case when partition = old_day then new_day end, new,
    execution_status, replace(evaluation_event, old, new), evaluation_event_timestamp - by,
    create_timestamp - by
from dagster.asset_check_executions join copies on old = run_id
"""
_TICKS = """
select coalesce(sum(shortest), 0) as seconds from (
    select min((tick_body::jsonb ->> 'end_timestamp')::float
        - (tick_body::jsonb ->> 'timestamp')::float) as shortest
    from dagster.job_ticks where status <> 'STARTED' and type = 'SENSOR' group by selector_id
) as sensors
"""
_SIZE = """
select sum(pg_total_relation_size(c.oid))::float / 2 ^ 20 as mib from pg_class c
where relnamespace = 'dagster'::regnamespace and relkind = 'r'
"""


@dataclass(frozen=True)
class Life:
    """What a home is like after so many days, in seconds but for the first.

    Attributes:
        schema_mib: Dagster's schema.
        run_s: `./lms run` of a day that is there.
        purge_s: The purge of all that is older than what is kept.
        up_s: From the start of `./lms up` until it is ready.
        page_s: From the page's address until its runs are seen.
        ticks_s: A look of every sensor, one after the other.
    """

    schema_mib: float
    run_s: float
    purge_s: float
    up_s: float
    page_s: float
    ticks_s: float


def years(*, days: int = 1_100, kept: int = 180) -> list[Row]:
    """After so many days against after ``kept``, with what the purge leaves of them."""
    young, old = _lived(kept, kept), _lived(days, kept)
    beside = f"after {kept} days"
    named = {
        "schema_mib": f"Dagster's schema after {days:,} days, MiB",
        "run_s": f"`./lms run` after {days:,} days",
        "up_s": "the start of `./lms up`",
        "page_s": "the page's list of runs",
        "ticks_s": "a look of every sensor",
    }
    return [
        *(
            Row(what, getattr(old, name), getattr(old, name) / getattr(young, name), 1.5, beside)
            for name, what in named.items()
        ),
        Row(f"a purge of {days - kept} days at once", old.purge_s, None, None),
    ]


def _lived(days: int, kept: int) -> Life:
    demo = DemoApi(client="bench", client_key="key-of-the-benchmark", latency_s=0)
    with demo as api, home(api.url, DAY - timedelta(days=days)) as place:
        place.lms("run", str(DAY))
        _sql(place, _COPIED, days=days)
        began = monotonic()
        _purge(place, kept)
        purge_s = monotonic() - began
        _sql(place, "vacuum full analyze")
        run_s = min(place.lms("run", str(DAY)).seconds for _ in range(3))
        schema_mib = float(str(place.row(_SIZE)["mib"]))
        with up(place) as (port, up_s):
            return Life(schema_mib, run_s, purge_s, up_s, _page_s(port), _ticks_s(place))


def _page_s(port: int) -> float:
    """Seconds until the page shows its runs; the shortest of five."""
    with chromium() as browser:
        return min(
            _seen_s(browser, f"http://127.0.0.1:{port}/runs", "daily_attempts") for _ in range(5)
        )


def _seen_s(browser: Browser, address: str, words: str) -> float:
    with browser.new_context() as context:
        page, began = context.new_page(), monotonic()
        page.goto(address)
        page.get_by_text(words).first.wait_for()
        return monotonic() - began


def _ticks_s(place: Home) -> float:
    """The sum of the shortest look of each sensor that looks in two minutes."""
    sleep(WATCHED_S)
    return float(str(place.row(_TICKS)["seconds"]))


def _sql(place: Home, statement: str, **values: object) -> None:
    connection = psycopg2.connect(place.url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
    connection.close()


def _purge(place: Home, kept: int) -> None:
    warehouse = Warehouse(url=place.url.replace("postgresql:", "postgresql+psycopg2:"))
    url = session_url(warehouse.url, schema="dagster").render_as_string(hide_password=False)
    before = datetime.now(UTC) - timedelta(days=kept)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as name:
        patch.setenv("LMS_DAGSTER_POSTGRES_URL", url)
        patch.setenv("LMS_RUNS_AT_ONCE", "1")
        shutil.copy(project_folder() / "dagster.yaml", Path(name))
        with dg.DagsterInstance.from_config(name) as instance:
            while not purge_step(instance, warehouse, before=before).is_last:
                pass
