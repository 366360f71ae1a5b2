"""The daemon's sensors, each called as the daemon calls it."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lms_assets.automation.sensors import sensors, untold_runs
from lms_assets.faults import PermanentFault, TemporaryFault
from lms_assets.locks import Lock, kept
from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.batches import leading, open_batch
from lms_assets.settings import Settings
from lms_assets.systems import resources
from lms_assets_tests.day_loads import loaded, record
from lms_assets_tests.tiny_runs import began, ran

NOW = datetime.now(UTC)
TODAY = NOW.date()
REFUSED = PermanentFault("api.credentials_refused", status=401)
LOST = TemporaryFault("api.cut_short")


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


class Daemon:
    """Ticks the sensors."""

    def __init__(
        self, instance: dg.DagsterInstance, warehouse: Warehouse, settings: Settings
    ) -> None:
        self.instance, self.warehouse = instance, warehouse
        self.sensors = {sensor.name: sensor for sensor in sensors(settings, resources(settings))}
        self.cursor: str | None = None

    def ticks(self, name: str) -> Any:  # noqa: ANN401
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources={"warehouse": self.warehouse}
        ) as context:
            return self.sensors[name](context)

    def kinds(self) -> list[str]:
        return [row["kind"] for row in self.warehouse.rows("select kind from letters order by id")]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(lms_home=tmp_path, lms_first_day=ago(3), _env_file=None)


@pytest.fixture
def daemon(instance: dg.DagsterInstance, warehouse: Warehouse, settings: Settings) -> Daemon:
    return Daemon(instance, warehouse, settings)


def test_every_sensor_is_on_without_anybody_switching_it_on(settings: Settings) -> None:
    found = {
        sensor.name: sensor.default_status for sensor in sensors(settings, resources(settings))
    }
    assert set(found) == {"run_succeeded", "run_failed", "letters", "batches", "missing", "purge"}
    assert set(found.values()) == {dg.DefaultSensorStatus.RUNNING}


def test_a_run_that_failed_before_the_first_tick_has_a_letter(daemon: Daemon) -> None:
    ran(daemon.instance, ago(1), fails_with=REFUSED)
    daemon.ticks("letters")
    daemon.ticks("letters")
    assert daemon.kinds() == ["failure"]


def test_a_run_that_will_be_retried_has_no_letter(daemon: Daemon) -> None:
    ran(daemon.instance, ago(1), fails_with=LOST, dagster__will_retry="true")
    daemon.ticks("letters")
    assert daemon.kinds() == []


def test_runs_of_batches_and_runs_of_long_ago_are_not_looked_for(daemon: Daemon) -> None:
    ran(daemon.instance, ago(1), fails_with=REFUSED, batch="b")
    alone = ran(daemon.instance, ago(1), fails_with=REFUSED)
    assert untold_runs(daemon.instance, daemon.warehouse, now=NOW) == [alone]
    later = NOW + timedelta(days=3)
    assert untold_runs(daemon.instance, daemon.warehouse, now=later) == []


def opened(daemon: Daemon, batch: str, *days: date, kind: str = "backfill") -> None:
    with daemon.warehouse.begin() as connection:
        open_batch(connection, batch, kind=kind, days=days)


def test_a_batch_is_published_once_and_then_has_its_letter(daemon: Daemon) -> None:
    opened(daemon, "b", ago(1), ago(2))
    ran(daemon.instance, ago(1), batch="b")
    assert daemon.ticks("batches").run_requests == []
    ran(daemon.instance, ago(2), batch="b")

    (request,) = daemon.ticks("batches").run_requests
    assert (request.partition_key, request.tags["lms/batch"]) == (str(ago(1)), "b")
    # However often it is asked for until it has begun, Dagster makes one run of it.
    assert daemon.ticks("batches").run_requests[0].run_key == request.run_key

    ran(daemon.instance, ago(1), batch="b", publishes=True)
    assert daemon.ticks("batches").run_requests == []
    assert daemon.kinds() == ["history"]
    daemon.ticks("batches")
    assert daemon.kinds() == ["history"]


def test_a_batch_that_a_command_leads_is_left_to_it(daemon: Daemon) -> None:
    opened(daemon, "b", ago(1))
    ran(daemon.instance, ago(1), fails_with=REFUSED, batch="b")
    with leading(daemon.warehouse, "b"):
        daemon.ticks("batches")
        assert daemon.kinds() == []
    daemon.ticks("batches")
    assert daemon.kinds() == ["failure"]


def test_the_runs_of_a_backfill_from_the_page_are_a_batch(daemon: Daemon) -> None:
    ran(daemon.instance, ago(1), dagster__backfill="abcdefgh")
    daemon.ticks("batches")
    rows = daemon.warehouse.rows("select batch, kind from batches")
    assert rows == [{"batch": "abcdefgh", "kind": "backfill"}]


def test_missing_days_are_requested_newest_first(
    instance: dg.DagsterInstance, warehouse: Warehouse, tmp_path: Path
) -> None:
    # An hour that has passed wherever the clock stands: the schedule has had its turn.
    hour = (NOW - timedelta(hours=2)).hour
    settings = Settings(
        lms_home=tmp_path, lms_first_day=ago(4), lms_hour=hour, lms_late_days=0, _env_file=None
    )
    result = Daemon(instance, warehouse, settings).ticks("missing")
    days = [request.partition_key for request in result.run_requests]
    assert days == sorted(days, reverse=True)
    assert days == [str(ago(n)) for n in (1, 2, 3)]
    assert len({request.tags["lms/batch"] for request in result.run_requests}) == 1


def test_the_check_on_the_page_warns_when_yesterday_is_late_and_passes_when_it_is_loaded(
    daemon: Daemon, tmp_path: Path
) -> None:
    lake = Lake(url=str(tmp_path / "lake"))
    (late,) = daemon.ticks("missing").asset_events
    assert (late.check_name, late.passed) == ("yesterday_is_loaded", False)
    assert late.severity == dg.AssetCheckSeverity.WARN
    daemon.cursor = daemon.ticks("missing").cursor
    assert daemon.ticks("missing").asset_events == []
    for n in (1, 2, 3):
        loaded(daemon.warehouse, lake, [record(day=ago(n))], day=ago(n))
    (good,) = daemon.ticks("missing").asset_events
    assert good.passed


def test_days_that_failed_too_often_are_given_up_in_one_letter(daemon: Daemon) -> None:
    for day in (ago(1), ago(2), ago(3)):
        for _ in range(5):
            ran(daemon.instance, day, fails_with=LOST, batch="earlier")
    daemon.ticks("missing")
    daemon.ticks("missing")
    assert daemon.kinds() == ["given_up"]


def status(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_a_run_whose_process_was_killed_is_failed_and_has_a_letter(daemon: Daemon) -> None:
    orphan = began(daemon.instance, ago(1))
    mine = began(daemon.instance, ago(2))
    with kept(daemon.warehouse.engine, Lock.RUN, mine, name="the run's process"):
        daemon.ticks("batches")
    daemon.ticks("letters")
    assert status(daemon.instance, orphan) == dg.DagsterRunStatus.FAILURE
    assert status(daemon.instance, mine) == dg.DagsterRunStatus.STARTED
    assert daemon.kinds() == ["failure"]
