"""Years of daily runs, each day run four times: Dagster's schema and a run stay as they were."""

import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic

import dagster as dg
import psycopg2
import pytest

from benchmarks.data import DAY
from benchmarks.homes import Home, home
from benchmarks.results import Row
from lms_assets.embedded.demo_api import DemoApi
from lms_assets.resources.sessions import session_url
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.purge import purge_step
from lms_assets.settings import project_folder

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
_SIZE = """
select sum(pg_total_relation_size(c.oid))::float / 2 ^ 20 as mib from pg_class c
where relnamespace = 'dagster'::regnamespace and relkind = 'r'
"""


def years(*, days: int = 1_100, kept: int = 180) -> list[Row]:
    """After so many days against after ``kept``: the schema's size, a run, the purge itself."""
    young, old = _lived(kept, kept), _lived(days, kept)
    beside = f"after {kept} days"
    return [
        Row(f"Dagster's schema after {days} days, MiB", old[0], old[0] / young[0], 1.5, beside),
        Row(f"`./lms run` after {days} days", old[1], old[1] / young[1], 1.5, beside),
        Row(f"a purge of {days - kept} days at once", old[2], None, None),
    ]


def _lived(days: int, kept: int) -> tuple[float, float, float]:
    """MiB of Dagster's schema, seconds of a run, seconds of the purge."""
    demo = DemoApi(client="bench", client_key="key-of-the-benchmark", latency_s=0)
    with demo as api, home(api.url, DAY - timedelta(days=days)) as place:
        place.lms("run", str(DAY))
        _sql(place, _COPIED, days=days)
        began = monotonic()
        _purge(place, kept)
        purge_s = monotonic() - began
        _sql(place, "vacuum full analyze")
        run_s = min(place.lms("run", str(DAY)).seconds for _ in range(3))
        return float(str(place.row(_SIZE)["mib"])), run_s, purge_s


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
