"""Which launcher an installation has, and what becomes of runs while no broker answers."""

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.code_pointer import ModuleCodePointer
from dagster._core.launcher import LaunchRunContext
from dagster._core.origin import JobPythonOrigin, RepositoryPythonOrigin
from sqlalchemy import make_url, text

from lms_assets.cluster.launcher import WorkersLauncher, workers_that_answer
from lms_assets.commands.installation import prepare
from lms_assets.definitions import code_location
from lms_assets.faults import TemporaryFault
from lms_assets.resources.sessions import STAYS_OPEN_IN_RUNS
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.instance import open_instance
from lms_assets.runs.processes import end_orphans
from lms_assets.runs.tags import PARTITION_TAG
from lms_assets.settings import load_settings
from lms_assets_tests.api_server import free_port
from lms_assets_tests.tiny_runs import started

PASSWORD = "broker's-secret"


@pytest.fixture
def settings(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """Those of a whole installation, in the environment; nothing listens where the broker is."""
    url = make_url(warehouse.url)
    own = {
        "API_URL": "http://127.0.0.1:9/attempts",
        "API_CLIENT": "c",
        "API_CLIENT_KEY": "k",
        "DB_HOST": str(url.query.get("host") or url.host),
        "DB_PORT": str(url.query.get("port") or url.port or 5432),
        "DB_NAME": str(url.database),
        "DB_USER": str(url.username),
        "DB_PASSWORD": str(url.password or "none"),
        "SPREADSHEET_ID": "s",
        "GOOGLE_SHEETS_CREDENTIALS_BASE64": "e30=",
        "SMTP_SERVER": "127.0.0.1",
        "SENDER_EMAIL": "a@example.org",
        "RECIPIENTS_EMAILS": "a@example.org",
        "LMS_HOME": str(tmp_path / "home"),
        "LMS_LAKE": str(tmp_path / "lake"),
    }
    ours = ("DAGSTER_HOME", "LMS_DAGSTER_POSTGRES_URL", "LMS_RUNS_AT_ONCE", "LMS_DEMO")
    for name in (*ours, "LMS_BROKER_URL", "DAGSTER_DISABLE_TELEMETRY"):
        # Set first, so that what `prepare` sets is undone too.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    return own


@pytest.fixture
def instance(
    settings: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    """Of a cluster whose broker does not answer."""
    monkeypatch.setenv("LMS_BROKER_URL", f"redis://:{PASSWORD}@127.0.0.1:{free_port()}/0")
    prepare(load_settings())
    with open_instance() as instance:
        yield instance


def waiting(instance: dg.DagsterInstance) -> str:
    """A run that was given to the launcher and has not begun; its id."""
    code = ModuleCodePointer("lms_assets.definitions", "code_location")
    repository = RepositoryPythonOrigin(executable_path="python", code_pointer=code)
    run = instance.create_run_for_job(
        code_location().resolve_job_def("daily_attempts"),
        tags={PARTITION_TAG: "2025-03-01"},
        status=dg.DagsterRunStatus.STARTING,
        job_code_origin=JobPythonOrigin("daily_attempts", repository),
    )
    return run.run_id


def status(instance: dg.DagsterInstance, run_id: str) -> str:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status.value


def test_the_broker_s_address_chooses_the_launcher(instance: dg.DagsterInstance) -> None:
    launcher = instance.run_launcher
    assert isinstance(launcher, WorkersLauncher)
    assert not launcher.supports_check_run_worker_health
    assert not launcher.supports_resume_run
    assert instance.run_retries_enabled
    assert instance.run_retries_max_retries == 0


def test_without_it_runs_start_on_this_machine(settings: dict[str, str]) -> None:
    prepare(load_settings())
    with open_instance() as instance:
        assert type(instance.run_launcher).__name__ == "DefaultRunLauncher"
        assert not instance.run_retries_enabled


def test_dagster_s_files_hold_no_secret_of_the_broker(
    instance: dg.DagsterInstance, settings: dict[str, str]
) -> None:
    text = (Path(settings["LMS_HOME"]) / "dagster" / "dagster.yaml").read_text(encoding="utf-8")
    assert PASSWORD not in text
    assert PASSWORD not in instance.info_str()


def test_a_run_that_cannot_be_sent_waits_and_is_not_failed(instance: dg.DagsterInstance) -> None:
    run_id = waiting(instance)
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.run_launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))
    sent = instance.get_run_by_id(run_id)
    assert sent is not None
    assert sent.tags["dagster/max_retries"] == "2"
    assert sent.status == dg.DagsterRunStatus.STARTING
    messages = [entry.message for entry in instance.all_logs(run_id)]
    assert any("The broker was not reached" in message for message in messages)


def test_a_run_that_waits_for_a_worker_is_no_orphan_however_long(
    instance: dg.DagsterInstance, warehouse: Warehouse
) -> None:
    waits, gone = waiting(instance), started(instance, date(2025, 3, 2))
    now = datetime.now(UTC)
    assert end_orphans(instance, warehouse, now=now + timedelta(hours=20)) == [gone]
    assert (status(instance, waits), status(instance, gone)) == ("STARTING", "FAILURE")


def test_a_broker_that_does_not_answer_is_named_without_its_password(
    instance: dg.DagsterInstance,
) -> None:
    with pytest.raises(TemporaryFault, match="LMS_BROKER_URL") as fault:
        workers_that_answer()
    assert PASSWORD not in str(fault.value)


def test_only_this_process_keeps_its_sessions_open(instance: dg.DagsterInstance) -> None:
    """Dagster's code server makes an instance for each tick, and each would keep sessions."""
    assert make_url(os.environ["LMS_DAGSTER_POSTGRES_URL"]).query["plugin"] == STAYS_OPEN_IN_RUNS
    storage = instance.run_storage
    with storage.connect() as one:  # type: ignore[attr-defined]
        first = one.scalar(text("select pg_backend_pid()"))
    with storage.connect() as one:  # type: ignore[attr-defined]
        assert one.scalar(text("select pg_backend_pid()")) == first
