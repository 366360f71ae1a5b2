"""The platform as Dagster and its page see it, on one page and without anything configured."""

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from lms_assets.attempts.partitions import attempt_days
from lms_assets.definitions import code_location
from lms_assets.settings import Settings
from lms_assets_tests.driving import PROJECT, Checkout, checkout

ASSETS = {
    "raw_attempts": set(),
    "cleaned_attempts": {"raw_attempts"},
    "attempts_table": {"cleaned_attempts"},
    "daily_statistics": {"attempts_table"},
    "statistics_sheet": {"daily_statistics"},
    "statistics_page": {"daily_statistics"},
}
SECRETS = {
    "API_URL": "http://127.0.0.1:9/attempts",
    "API_CLIENT": "client",
    "API_CLIENT_KEY": "s3cret-of-the-api",
    "DB_HOST": "127.0.0.1",
    "DB_NAME": "lms",
    "DB_USER": "analyst",
    "DB_PASSWORD": "s3cret-of-the-database",
    "SPREADSHEET_ID": "1abc",
    "GOOGLE_SHEETS_CREDENTIALS_BASE64": "czNjcmV0LW9mLXRoZS1zaGVldA==",
    "SMTP_SERVER": "smtp.example.org",
    "SENDER_EMAIL": "robot@example.org",
    "SENDER_PASSWORD": "s3cret-of-the-mail",
    "RECIPIENTS_EMAILS": "anna@example.org",
    "HEARTBEAT_URL": "https://monitor.example.org/s3cret-of-the-monitor",
}
SECRET_WORDS = ("s3cret-of", "czNjcmV0")


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings at all."""
    for variable in (name.upper() for name in Settings.model_fields):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("LMS_DEMO", raising=False)
    monkeypatch.setattr("lms_assets.settings.project_folder", lambda: tmp_path)


@pytest.fixture
def repository(bare: None) -> dg.RepositoryDefinition:
    """What a code server loads."""
    return code_location().get_repository_def()


def specs(repository: dg.RepositoryDefinition) -> dict[str, dg.AssetSpec]:
    """Each asset by its name."""
    graph = repository.asset_graph
    return {
        key.to_user_string(): repository.assets_defs_by_key[key].specs_by_key[key]
        for key in graph.materializable_asset_keys
    }


# ------------------------------------------------------------------ assets and checks


def test_the_assets_follow_each_other_along_the_data_s_road(
    repository: dg.RepositoryDefinition,
) -> None:
    deps = {
        name: {dep.asset_key.to_user_string() for dep in spec.deps}
        for name, spec in specs(repository).items()
    }
    assert deps == ASSETS


def test_every_asset_is_described_grouped_and_of_a_kind(
    repository: dg.RepositoryDefinition,
) -> None:
    for name, spec in specs(repository).items():
        assert spec.group_name in ("attempts", "statistics"), name
        assert spec.kinds, name
        assert "Grain:" in (spec.description or "") or name == "statistics_page", name
        assert len(spec.description or "") > 100, name


def test_one_partitions_definition_is_every_asset_s(repository: dg.RepositoryDefinition) -> None:
    definitions = {id(spec.partitions_def) for spec in specs(repository).values()}
    assert definitions == {id(attempt_days)}


def test_the_tables_tell_their_columns(repository: dg.RepositoryDefinition) -> None:
    wanted = {"user_id", "attempt_type", "created_at", "is_correct", "course", "task"}
    for name in ("cleaned_attempts", "attempts_table"):
        schema = specs(repository)[name].metadata["dagster/column_schema"]
        columns = {column.name: column for column in schema.columns}
        assert wanted <= set(columns)
        assert all(column.type for column in columns.values())


def test_what_must_hold_blocks_and_what_is_watched_warns(
    repository: dg.RepositoryDefinition,
) -> None:
    keys = repository.asset_graph.asset_check_keys
    blocking = {key.name for key in keys if repository.asset_graph.get_check_spec(key).blocking}
    assert blocking == {
        "every_record_is_accounted_for",
        "attempts_are_unique",
        "every_attempt_lies_in_its_day",
    }
    named = {(key.asset_key.to_user_string(), key.name) for key in keys}
    assert ("statistics_sheet", "the_sheet_agrees_with_the_table") in named
    assert all(repository.asset_graph.get_check_spec(key).description for key in keys)


# ------------------------------------------------------------------ what runs by itself


def test_the_schedule_runs_daily_at_seven_and_is_on(repository: dg.RepositoryDefinition) -> None:
    [schedule] = repository.schedule_defs
    assert schedule.job_name == "daily_attempts"
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 7 * * *", "UTC")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING


def test_the_schedule_keeps_the_set_hour_and_zone(
    bare: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMS_HOUR", "5")
    monkeypatch.setenv("LMS_TIMEZONE", "Europe/Moscow")
    monkeypatch.setenv("LMS_SCHEDULE", "every_3_days")
    [schedule] = code_location().get_repository_def().schedule_defs
    assert schedule.cron_schedule == "0 5 */3 * *"
    assert schedule.execution_timezone == "Europe/Moscow"


def test_every_sensor_is_on(repository: dg.RepositoryDefinition) -> None:
    states = {sensor.name: sensor.default_status for sensor in repository.sensor_defs}
    assert {"run_succeeded", "run_failed", "letters", "batches", "missing"} <= set(states)
    assert set(states.values()) == {dg.DefaultSensorStatus.RUNNING}


# ------------------------------------------------------------------ where tools find it


def test_pyproject_and_workspace_name_the_same_location() -> None:
    tool = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    [loaded] = yaml.safe_load((PROJECT / "workspace.yaml").read_text(encoding="utf-8"))["load_from"]
    module = loaded["python_module"]
    dg_project = tool["dg"]["project"]
    assert (
        module["module_name"]
        == tool["dagster"]["module_name"]
        == dg_project["code_location_target_module"]
        == "lms_assets.definitions"
    )
    assert (
        module["location_name"]
        == tool["dagster"]["code_location_name"]
        == dg_project["code_location_name"]
        == "lms_assets"
    )
    assert module["working_directory"] == "."


@pytest.fixture(scope="module")
def place() -> Iterator[Checkout]:
    with checkout() as made:
        yield made


def run_python(place: Checkout, script: str, **variables: str) -> dict[str, Any]:
    """What a script prints as JSON, by an environment that is empty but for these."""
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:lms_assets", "-c", script],
        cwd=place.folder,
        env={"PYTHONPATH": str(place.folder), "PATH": "/usr/bin:/bin", **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    return told


LOADED = """
import json
from lms_assets.definitions import code_location
names = [job.name for job in code_location().get_repository_def().get_all_jobs()]
print(json.dumps({"jobs": names}))
"""


def test_the_module_loads_with_an_empty_environment_and_opens_no_connection(
    place: Checkout,
) -> None:
    told = run_python(place, LOADED)
    assert {"daily_attempts", "publication"} <= set(told["jobs"])
    assert not (place.folder / ".lms").exists()


@pytest.mark.parametrize(
    "command",
    [
        "dagster definitions validate",
        "dagster definitions validate -w workspace.yaml",
        "dg check defs",
    ],
)
def test_dagster_s_own_tools_find_and_accept_it(
    place: Checkout, tmp_path: Path, command: str
) -> None:
    done = run_shell(place, command, DAGSTER_HOME=str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_what_lms_env_prints_is_all_that_dagster_s_own_tools_need(place: Checkout) -> None:
    materialize = "dagster job execute -m lms_assets.definitions -j daily_attempts --tags"
    tags = json.dumps({"dagster/partition": "2026-01-05"})
    done = run_shell(
        place,
        f"""
        set -e
        eval "$(lms env)"
        dagster definitions validate
        dg check defs
        dg list defs --json > defs.json
        {materialize} '{tags}'
        lms query 'select day, received > 0 as has_records from load_ledger' --csv
        lms env --stop
        """,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("day,has_records\n2026-01-05,True")
    assert "attempts_table" in (place.folder / "defs.json").read_text()


def run_shell(place: Checkout, script: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """A script in the project's folder, with the programs of this Python's environment."""
    programs = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(
        ["sh", "-c", script],
        cwd=place.folder,
        env=place.environment(PATH=programs, DAGSTER_DISABLE_TELEMETRY="1", **variables),
        capture_output=True,
        text=True,
        check=False,
    )


RESOURCES = """{
  repositoriesOrError {
    ... on RepositoryConnection {
      nodes {
        location { name }
        allTopLevelResourceDetails {
          name
          configuredValues { key value type }
          configFields { name defaultValueAsJson }
        }
      }
    }
    ... on PythonError { message }
  }
}"""


def test_the_pages_answers_about_resources_hold_no_secret(place: Checkout, tmp_path: Path) -> None:
    home = {"DAGSTER_HOME": str(tmp_path), "DAGSTER_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [Path(sys.executable).with_name("dagster-graphql"), "-t", RESOURCES],
        cwd=place.folder,
        env=place.environment(**home, **SECRETS),
        capture_output=True,
        text=True,
        check=False,
    )
    [answered] = [line for line in done.stdout.splitlines() if line.startswith("{")]
    [location] = json.loads(answered)["data"]["repositoriesOrError"]["nodes"]
    assert location["location"] == {"name": "lms_assets"}
    shown = {one["name"]: str(one) for one in location["allTopLevelResourceDetails"]}
    assert {"grader_api", "warehouse", "google_sheets", "mailer"} <= set(shown)
    assert "robot@example.org" in shown["mailer"]
    assert [word for word in SECRET_WORDS if word in done.stdout + done.stderr] == []


def test_the_resources_own_words_hold_no_secret(
    bare: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    definitions = code_location()
    told = f"{definitions.resources!r} {definitions.resources}"
    assert [word for word in SECRET_WORDS if word in told] == []
