"""Old runs are deleted, and what the state of a partition, a letter or a batch rests on stays."""

import shutil
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text

from lms_assets.resources.sessions import session_url
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.batches import open_batch
from lms_assets.runs.purge import Step, is_quiet, kept_since, purge_step
from lms_assets.runs.tags import BATCH_TAG
from lms_assets.settings import Settings, project_folder
from lms_assets_tests.tiny_runs import started

NOW = datetime.now(UTC)
DAYS = dg.DailyPartitionsDefinition(start_date="2025-01-01", end_date="2025-02-01")
DAY = "2025-01-07"
OTHER_DAY = "2025-01-08"
ATTEMPTS = dg.AssetKey("attempts")


class Fails(dg.Config):
    fails: bool = False


@dg.asset(partitions_def=DAYS, check_specs=[dg.AssetCheckSpec("trusted", asset="attempts")])
def attempts(config: Fails) -> dg.MaterializeResult:
    sys.stdout.write("was here\n")
    if config.fails:
        raise ValueError
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(passed=True)])


@pytest.fixture
def instance(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """Dagster over the warehouse's database, configured as an installation is."""
    warehouse.make_schema("dagster")
    url = session_url(warehouse.url, schema="dagster").render_as_string(hide_password=False)
    monkeypatch.setenv("LMS_DAGSTER_POSTGRES_URL", url)
    monkeypatch.setenv("LMS_RUNS_AT_ONCE", "1")
    shutil.copy(project_folder() / "dagster.yaml", tmp_path)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def ran(instance: dg.DagsterInstance, day: str = DAY, *, fails: bool = False, **tags: str) -> str:
    config = {"ops": {"attempts": {"config": {"fails": fails}}}}
    return dg.materialize(
        [attempts],
        partition_key=day,
        instance=instance,
        run_config=config,
        tags={name.replace("__", "/"): value for name, value in tags.items()},
        raise_on_error=False,
    ).run_id


def age(warehouse: Warehouse, *run_ids: str, days: int = 400) -> None:
    """The runs are as old as if the clock had gone on since."""
    by = timedelta(days=days)
    with warehouse.begin() as connection:
        for statement in (
            "update dagster.runs set create_timestamp = create_timestamp - :by, "
            "update_timestamp = update_timestamp - :by where run_id = any(:runs)",
            "update dagster.event_logs set timestamp = timestamp - :by where run_id = any(:runs)",
            "update dagster.asset_check_executions set create_timestamp = create_timestamp - :by "
            "where run_id = any(:runs)",
        ):
            connection.execute(text(statement), {"by": by, "runs": list(run_ids)})


def purged(instance: dg.DagsterInstance, warehouse: Warehouse, days: int = 180) -> Step:
    total = Step()
    while not (step := purge_step(instance, warehouse, before=NOW - timedelta(days=days))).is_last:
        total += step
    return total


def runs(instance: dg.DagsterInstance) -> set[str]:
    return {run.run_id for run in instance.get_runs()}


def events(instance: dg.DagsterInstance, run_id: str) -> set[str]:
    entries = instance.all_logs(run_id)
    return {e.dagster_event.event_type_value for e in entries if e.dagster_event}


def test_of_the_old_runs_of_a_day_only_the_newest_stays(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    first, second, third = (ran(instance) for _ in range(3))
    age(warehouse, first, second, third)
    assert purged(instance, warehouse).runs == 2
    assert runs(instance) == {third}
    assert events(instance, first) == set()


def test_a_purge_leaves_every_partition_as_it_was(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    """F4."""
    old = [ran(instance), ran(instance), ran(instance, OTHER_DAY)]
    before = instance.get_materialized_partitions(ATTEMPTS)
    newest = instance.get_latest_materialization_event(ATTEMPTS)
    age(warehouse, *old)
    assert purged(instance, warehouse).runs == 1
    assert instance.get_materialized_partitions(ATTEMPTS) == before == {DAY, OTHER_DAY}
    assert instance.get_latest_materialization_event(ATTEMPTS) == newest


def test_a_day_whose_last_run_failed_stays_failed(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    good, bad = ran(instance), ran(instance, fails=True)
    age(warehouse, good, bad)
    purged(instance, warehouse)
    assert runs(instance) == {good, bad}
    assert "STEP_FAILURE" in events(instance, bad)
    failed = dg.DagsterRunStatus.FAILURE
    assert instance.get_runs(dg.RunsFilter(statuses=[failed]))[0].run_id == bad


def test_a_run_that_stays_for_its_day_keeps_what_it_brought_and_how_it_ended(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    old = ran(instance)
    before = len(instance.all_logs(old))
    age(warehouse, old)
    assert purged(instance, warehouse).thinned == 1
    assert len(instance.all_logs(old)) < before / 2
    assert {"ASSET_MATERIALIZATION", "PIPELINE_SUCCESS"} <= events(instance, old)
    assert "STEP_START" not in events(instance, old)


def test_the_newest_evaluation_of_a_check_stays_and_older_ones_go(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    old = [ran(instance) for _ in range(3)]
    age(warehouse, *old)
    purged(instance, warehouse)
    rows = warehouse.rows("select run_id from dagster.asset_check_executions")
    assert {row["run_id"] for row in rows} == {old[-1]}


def test_what_is_younger_stays_whole(instance: dg.DagsterInstance, warehouse: Warehouse) -> None:
    young = [ran(instance), ran(instance)]
    age(warehouse, *young, days=100)
    before = [len(instance.all_logs(run_id)) for run_id in young]
    assert purged(instance, warehouse) == Step()
    assert [len(instance.all_logs(run_id)) for run_id in young] == before


def test_runs_of_an_open_batch_and_of_a_letter_that_waits_stay(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    of_batch = ran(instance, **{BATCH_TAG.replace("/", "__"): "b"})
    of_letter, last = ran(instance), ran(instance)
    with warehouse.begin() as connection:
        open_batch(connection, "b", kind="backfill", days=[date.fromisoformat(DAY)])
        statement = """
            insert into letters (kind, run_id, message_id, facts)
            values ('failure', :run, 'm', '{}')
        """
        connection.execute(text(statement), {"run": of_letter})
    age(warehouse, of_batch, of_letter, last)
    purged(instance, warehouse)
    assert runs(instance) == {of_batch, of_letter, last}


def test_the_printed_output_of_an_old_run_is_deleted(
    instance: dg.DagsterInstance, warehouse: Warehouse, tmp_path: Path
) -> None:
    old = [ran(instance), ran(instance)]
    assert {path.name for path in (tmp_path / "storage").iterdir()} >= set(old)
    age(warehouse, *old)
    purged(instance, warehouse)
    assert not {path.name for path in (tmp_path / "storage").iterdir()} & set(old)


def test_evaluations_that_no_run_made_are_purged_except_the_newest(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    """The sensor that looks for missing days records one twice an hour, without a run."""
    for _ in range(3):
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(asset_key=ATTEMPTS, check_name="late", passed=True)
        )
    with warehouse.begin() as connection:
        for table, column in (
            ("event_logs", "timestamp"),
            ("asset_check_executions", "create_timestamp"),
        ):
            connection.execute(
                text(f"update dagster.{table} set {column} = {column} - interval '400 days'")
            )
    assert purged(instance, warehouse).rows == 4
    left = "select evaluation_event_storage_id as id from dagster.asset_check_executions"
    assert warehouse.rows(left) == warehouse.rows("select id from dagster.event_logs")


def test_a_run_under_way_is_never_purged_and_makes_the_time_unquiet(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    assert is_quiet(instance)
    run_id = started(instance, date(2025, 1, 7))
    age(warehouse, run_id)
    assert not is_quiet(instance)
    assert purged(instance, warehouse) == Step()


@pytest.mark.parametrize(
    ("run_days", "catch_up_days", "kept"), [(180, 30, 180), (1, 30, 31), (1, 0, 3)]
)
def test_runs_are_kept_for_as_long_as_missing_days_are_looked_for(
    run_days: int, catch_up_days: int, kept: int
) -> None:
    settings = Settings(lms_run_days=run_days, lms_catch_up_days=catch_up_days, _env_file=None)
    assert kept_since(settings, NOW) == NOW - timedelta(days=kept)
