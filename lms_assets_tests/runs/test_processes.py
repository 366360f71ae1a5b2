"""Which runs live: told by the lock that dies with the process, whatever its number or host."""

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from lms_assets.locks import Lock, hold_in_session, is_held, kept, kept_if_free
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.processes import end_orphans
from lms_assets_tests.homes import wait_until
from lms_assets_tests.tiny_runs import began, started

DAY = date(2025, 3, 1)

HOLDER = """
import sys, time
from lms_assets.locks import Lock, kept
from lms_assets.resources.warehouse import Warehouse
with kept(Warehouse(url=sys.argv[1]).engine, Lock.RUN, sys.argv[2], name="run"):
    print("held", flush=True)
    time.sleep(600)
"""


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def status(instance: dg.DagsterInstance, run_id: str) -> str:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status.value


def holds(warehouse: Warehouse, run_id: str) -> bool:
    with warehouse.begin() as connection:
        return is_held(connection, Lock.RUN, run_id)


def test_a_run_is_alive_until_its_process_is_killed(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    """R19, R20: neither a process number nor a host's name is asked."""
    run_id = began(instance, DAY)
    command = [sys.executable, "-c", HOLDER, warehouse.url, run_id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert end_orphans(instance, warehouse, now=now()) == []
        process.kill()
    wait_until(lambda: not holds(warehouse, run_id), within_s=20)
    assert end_orphans(instance, warehouse, now=now()) == [run_id]
    assert status(instance, run_id) == "FAILURE"


def test_a_run_that_is_at_its_start_has_time_to_take_its_lock(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    run_id = started(instance, DAY)
    assert end_orphans(instance, warehouse, now=now()) == []
    assert end_orphans(instance, warehouse, now=now() + timedelta(minutes=6)) == [run_id]


def test_a_run_that_has_ended_is_no_orphan(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    run_id = began(instance, DAY)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_canceled(run)
    assert end_orphans(instance, warehouse, now=now() + timedelta(days=1)) == []
    assert status(instance, run_id) == "CANCELED"


def test_the_process_of_a_run_holds_its_lock_until_the_run_has_ended(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    seen: list[bool] = []

    @dg.op
    def look(context: dg.OpExecutionContext, warehouse: Warehouse) -> None:
        seen.append(holds(warehouse, context.run_id))

    @dg.job(resource_defs={"warehouse": Warehouse(url=warehouse.url)})
    def looking() -> None:
        look()

    run_id = looking.execute_in_process(instance=instance).run_id
    assert seen == [True]
    assert not holds(warehouse, run_id)


def test_a_lock_is_taken_again_after_the_server_ended_its_session(warehouse: Warehouse) -> None:
    with kept(warehouse.engine, Lock.RUN, "a run", name="a run of the test"):
        warehouse.rows(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name = 'a run of the test' and datname = current_database()"
        )
        wait_until(lambda: not holds(warehouse, "a run"), within_s=10)
        wait_until(lambda: holds(warehouse, "a run"), within_s=30)


def test_who_comes_second_to_a_run_goes_away_at_once(warehouse: Warehouse) -> None:
    """A message of the broker may come twice."""
    held = Warehouse(url=warehouse.url).engine.connect()
    with held:
        hold_in_session(held, Lock.RUN, "a run")
        with kept_if_free(warehouse.engine, Lock.RUN, "a run", name="second") as is_ours:
            assert not is_ours
    with kept_if_free(warehouse.engine, Lock.RUN, "a run", name="first") as is_ours:
        assert is_ours
        assert holds(warehouse, "a run")
    assert not holds(warehouse, "a run")
