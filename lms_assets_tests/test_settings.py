"""Settings are read from the environment, else from `.env`; what is wrong is told by name alone."""

import json
import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import click
import pytest

from lms_assets.commands.backing_up import without_secrets
from lms_assets.commands.cli import COMMANDS, lms
from lms_assets.commands.demo import demo_days, demo_settings, left_out_days
from lms_assets.commands.misnamed import unknown_settings
from lms_assets.settings import (
    OUTSIDE,
    SHELL_OF_THE_DEMO,
    Settings,
    SettingsError,
    api_is_configured,
    load_settings,
    remember_demo,
)
from lms_assets_tests.driving import drive

NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)

REAL = {
    "API_URL": "https://api.example.org/attempts",
    "API_CLIENT": "client",
    "API_CLIENT_KEY": "key",
    "DB_HOST": "db.example.org",
    "DB_NAME": "lms",
    "DB_USER": "analyst",
    "SPREADSHEET_ID": "1abc",
    "GOOGLE_SHEETS_CREDENTIALS_BASE64": "e30=",
    "SMTP_SERVER": "smtp.example.org",
    "SENDER_EMAIL": "robot@example.org",
    "RECIPIENTS_EMAILS": "anna@example.org",
}

# As its users have it: no port of anything, no home, names that are ours only by luck.
EARLIER = """\
# LMS Analytics Pipeline
API_URL=https://b2b.example.org/api/export
API_CLIENT=Skillfactory
API_CLIENT_KEY="M2MGWS/+=#1"
DB_HOST=localhost
DB_NAME=lms
DB_USER=postgres
DB_PASSWORD='pa ss#word'
GOOGLE_SHEETS_CREDENTIALS_BASE64=eyJ0eXBlIjogInNlcnZpY2VfYWNjb3VudCJ9
SPREADSHEET_ID=1x8PqYVnFj
SMTP_SERVER=smtp.yandex.ru
SENDER_EMAIL=robot@example.org
SENDER_PASSWORD=abcd efgh
RECIPIENTS_EMAILS=anna@example.org, boris@example.org
"""


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder with no `.env` yet, and an environment without settings."""
    for variable in (name.upper() for name in Settings.model_fields):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.delenv("LMS_DEMO", raising=False)
    monkeypatch.setattr("lms_assets.settings.project_folder", lambda: tmp_path)
    return tmp_path


def told(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    """The settings of an environment that has these variables."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load_settings()


def refusal(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    """What is said of variables that cannot be."""
    with pytest.raises(SettingsError) as caught:
        told(monkeypatch, **variables)
    return str(caught.value)


# ------------------------------------------------------------------ nothing, or all of it


def test_nothing_set_is_the_demo_in_a_home_of_its_own(project: Path) -> None:
    settings = load_settings()
    assert settings.is_demo
    assert settings.lms_home == project / ".lms" / "demo"
    assert settings.lake_url == str(project / ".lms" / "demo" / "lake")
    assert (settings.lms_timezone, settings.lms_language, settings.lms_hour) == ("UTC", "en", 7)
    assert settings.lms_first_day == date(2023, 1, 1)


def test_an_api_ends_the_demo_and_what_else_is_unset_is_embedded(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = told(monkeypatch, API_URL="http://127.0.0.1/a", API_CLIENT="c", API_CLIENT_KEY="k")
    assert not settings.is_demo
    assert settings.lms_home == project / ".lms"
    assert (settings.db_host, settings.spreadsheet_id, settings.smtp_server) == (None, None, None)


def test_the_demo_takes_over_nothing_that_is_configured(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told(monkeypatch, **REAL, LMS_LAKE="s3://real", LMS_HOME=str(project / "home"))
    settings = demo_settings(None, now=NOW)
    assert settings.is_demo
    assert settings.lms_home == project / "home" / "demo"
    assert settings.lake_url == str(project / "home" / "demo" / "lake")
    assert settings.secret_values == ()
    for outside in ("api_url", "db_host", "spreadsheet_id", "smtp_server", "sender_email"):
        assert getattr(settings, outside) is None


def test_of_each_setting_that_may_be_unset_it_is_decided_whether_a_demo_keeps_it() -> None:
    """Else made-up students would reach the system of a setting that is new."""
    kept = {"lms_raw_days", "lms_names", "lms_staff", "lms_postgres_port"}
    unset = {name for name, field in Settings.model_fields.items() if field.default in (None, ())}
    assert unset == {*OUTSIDE, *kept}


@pytest.mark.parametrize("system", ["DB_HOST", "SPREADSHEET_ID", "SMTP_SERVER"])
@pytest.mark.parametrize(
    "verb", [verb for verb in sorted(COMMANDS) if verb not in ("bench", "demo", "test")]
)
def test_an_outside_system_without_the_api_ends_every_verb_but_demo_and_test(
    verb: str, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(system, "somewhere")
    said = drive(verb, *_least_arguments(verb))
    assert said.code == 2
    assert "API_URL" in said.err
    assert system in said.err
    assert drive(verb, "--help").code == 0


def test_no_command_reads_the_settings_while_it_is_imported() -> None:
    """So that `--help` and `demo` work whatever is set, and the demo's first day is its own."""
    script = (
        "import click\n"
        "from lms_assets.commands.cli import COMMANDS, lms\n"
        "for name in COMMANDS: lms.get_command(click.Context(lms), name)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "LMS_HOUR": "twenty-five", "LMS_TIMEZONE": "nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def _least_arguments(verb: str) -> list[str]:
    """What the command line demands of a verb; a day does for all of it."""
    command = lms.get_command(click.Context(lms), verb)
    assert command is not None
    wanted = [one for one in command.params if one.required]
    return [
        word
        for one in wanted
        for word in ([one.opts[0]] if isinstance(one, click.Option) else []) + ["2025-01-01"]
    ]


# ------------------------------------------------------------------ .env


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_an_env_of_the_earlier_pipeline_works_unchanged(project: Path, mark: str, end: str) -> None:
    content = f"{mark}{EARLIER}".replace("\n", end)
    (project / ".env").write_bytes(content.encode())
    settings = load_settings()
    assert settings.api_url == "https://b2b.example.org/api/export"
    assert settings.api_client == "Skillfactory"
    assert (settings.db_host, settings.db_port, settings.db_name) == ("localhost", 5432, "lms")
    assert settings.spreadsheet_id == "1x8PqYVnFj"
    assert (settings.smtp_server, settings.smtp_port) == ("smtp.yandex.ru", 465)
    assert settings.sender_email == "robot@example.org"
    assert settings.recipients_emails == ("anna@example.org", "boris@example.org")
    assert settings.secret_values == (
        "M2MGWS/+=#1",
        "pa ss#word",
        "eyJ0eXBlIjogInNlcnZpY2VfYWNjb3VudCJ9",
        "abcd efgh",
    )


def test_the_environment_stands_above_the_env_file(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / ".env").write_text("LMS_HOUR=5\nLMS_LANGUAGE=ru\n")
    settings = told(monkeypatch, LMS_HOUR="9")
    assert (settings.lms_hour, settings.lms_language) == (9, "ru")


def test_a_variable_without_a_value_is_unset(project: Path) -> None:
    (project / ".env").write_text("API_URL=\nLMS_HOUR=\nLMS_POSTGRES_PORT=\nRECIPIENTS_EMAILS=\n")
    settings = load_settings()
    assert (settings.lms_hour, settings.lms_postgres_port, settings.is_demo) == (7, None, True)


def test_a_home_is_relative_to_the_project_not_to_where_the_command_is_called(
    project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    settings = told(monkeypatch, LMS_HOME="data", **REAL)
    assert settings.lms_home == project / "data"


# ------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("API_TIMEOUT_S", "-1"),
        ("API_TIMEOUT_S", "soon"),
        ("API_CONCURRENCY", "0"),
        ("DB_PORT", "65536"),
        ("DB_PORT", "54a2"),
        ("DB_SSLMODE", "maybe"),
        ("SMTP_PORT", "-25"),
        ("LMS_FIRST_DAY", "2023-13-01"),
        ("LMS_TIMEZONE", "Mars/Olympus"),
        ("LMS_LANGUAGE", "klingon"),
        ("LMS_SCHEDULE", "weekly"),
        ("LMS_HOUR", "24"),
        ("LMS_LATE_DAYS", "-7"),
        ("LMS_LOG_FORMAT", "xml9"),
        ("LMS_MAX_REJECTED_PCT", "101"),
        ("LMS_SHEET_STUDENTS", "perhaps"),
        ("LMS_NAMES", "nowhere.csv"),
        ("LMS_STAFF", "nobody.txt"),
    ],
)
def test_an_impossible_value_is_refused_with_its_variable(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refusal(monkeypatch, **{variable: value})
    assert said.startswith(f"{variable}: ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("RECIPIENTS_EMAILS", "anna@example.org, s3cret s3cret@example.org"),
        ("RECIPIENTS_EMAILS", "s3cret"),
        ("SMTP_PORT", "s3cret"),
        ("DB_PORT", "s3cret"),
        ("LMS_TIMEZONE", "s3cret"),
        ("LMS_FIRST_DAY", "s3cret"),
    ],
)
def test_a_value_that_stands_under_the_wrong_name_is_never_shown(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refusal(monkeypatch, **{**REAL, variable: value})
    assert variable in said
    assert "s3cret" not in said


@pytest.mark.parametrize(
    ("without", "system"),
    [
        ("API_CLIENT", "API_URL"),
        ("API_CLIENT_KEY", "API_URL"),
        ("DB_NAME", "DB_HOST"),
        ("DB_USER", "DB_HOST"),
        ("GOOGLE_SHEETS_CREDENTIALS_BASE64", "SPREADSHEET_ID"),
        ("SENDER_EMAIL", "SMTP_SERVER"),
        ("RECIPIENTS_EMAILS", "SMTP_SERVER"),
    ],
)
def test_half_an_outside_system_is_refused_by_what_it_lacks(
    without: str, system: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {name: value for name, value in REAL.items() if name != without}
    said = refusal(monkeypatch, **given)
    assert without in said
    assert system in said


def test_every_variable_that_is_wrong_has_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said = refusal(monkeypatch, DB_PORT="x", LMS_HOUR="y", LMS_LANGUAGE="z").splitlines()
    assert [line.partition(":")[0] for line in said] == ["DB_PORT", "LMS_LANGUAGE", "LMS_HOUR"]


@pytest.mark.parametrize(
    ("given", "means"),
    [
        ("a@example.org", ("a@example.org",)),
        ("a@example.org,b@example.org", ("a@example.org", "b@example.org")),
        (" a@example.org , b@example.org ,", ("a@example.org", "b@example.org")),
        ("имя@пример.рф", ("имя@пример.рф",)),
    ],
)
def test_recipients_are_separated_by_commas(
    given: str, means: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert told(monkeypatch, RECIPIENTS_EMAILS=given).recipients_emails in (means, ())
    assert told(monkeypatch, **{**REAL, "RECIPIENTS_EMAILS": given}).recipients_emails == means


def test_settings_never_show_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = {
        "API_CLIENT_KEY": "s3cret1",
        "DB_PASSWORD": "s3cret2",
        "SENDER_PASSWORD": "s3cret3",
        "HEARTBEAT_URL": "https://s3cret4",
    }
    settings = told(monkeypatch, **{**REAL, **secrets})
    assert "s3cret" not in f"{settings!r} {settings} {settings.model_dump_json()}"


@pytest.mark.parametrize(
    "line", ["API_URL https://api.example.org", "LMS_LANGUAGE", "DB_SSLROOTCERT=\0", "#\0"]
)
def test_a_line_of_the_env_file_that_says_nothing_is_refused_by_its_number(
    project: Path, line: str
) -> None:
    (project / ".env").write_text(f"LMS_HOUR=7\n{line}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="line 2"):
        load_settings()


def test_a_misspelt_setting_is_named_with_the_setting_that_is_meant(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMS_TIMEZON", "Europe/Moscow")
    (project / ".env").write_text("API_URLS=https://api.example.org\nEDITOR=vi\n")
    assert unknown_settings() == [
        "API_URLS is no setting: API_URL is meant?",
        "LMS_TIMEZON is no setting: LMS_TIMEZONE is meant?",
    ]


@pytest.mark.parametrize(
    ("wrong", "meant"), [("SMTP_HOST", "SMTP_SERVER"), ("API_KEY", "API_CLIENT_KEY")]
)
def test_another_programs_name_of_a_setting_is_reported_with_our_name(
    wrong: str, meant: str, monkeypatch: pytest.MonkeyPatch
) -> None:  # R61
    monkeypatch.setenv(wrong, "x")
    assert unknown_settings() == [f"{wrong} is no setting: {meant} is meant?"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEARTBEAT_URL", "foo"),  # R61
        ("DASHBOARD_URL", "file:///home/ann/report.html"),
        ("LMS_PAGE_URL", "report.html"),
        ("LMS_DAGSTER_URL", "localhost:3000"),
        ("LMS_BROKER_URL", "amqp://localhost"),
        ("LMS_KEY", "short"),
        ("LMS_RAW_DAYS", "0"),
        ("LMS_TIMEZONE", "localtime"),  # R6
        ("LMS_TIMEZONE", "posixrules"),
        ("DB_SSLROOTCERT", "nowhere.crt"),
        ("LMS_COURSE_LETTERS", "nowhere.csv"),
    ],
)
def test_a_value_that_cannot_be_right_ends_every_command_before_anything(
    name: str, value: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for system, given in {**REAL, name: value}.items():
        monkeypatch.setenv(system, given)
    said = drive("run")
    assert said.code == 2
    assert name in said.err
    assert list(project.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NOTIFY_URLS", "json://localhost"),
        ("LMS_COURSE_LETTERS", "letters.csv"),
        ("LMS_BROKER_URL", "redis://localhost"),
        ("LMS_LAKE", "s3://bucket/prefix"),
    ],
)
def test_made_up_students_reach_nothing_that_others_see(
    name: str, value: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "letters.csv").touch()
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=f"API_URL is missing while {name} is set"):
        load_settings()
    assert load_settings(demo=True).is_demo


@pytest.mark.parametrize("missing", ["DB_HOST", "LMS_LAKE", "SPREADSHEET_ID", "SMTP_SERVER"])
def test_workers_of_other_machines_need_each_system_outside_this_one(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {**REAL, "LMS_LAKE": "s3://bucket", "LMS_BROKER_URL": "redis://localhost"}
    for name, value in whole.items():
        if name != missing:
            monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=rf"{missing} \(needed with LMS_BROKER_URL\)"):
        load_settings()


def test_each_address_for_short_messages_is_a_secret_by_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    both = "tgram://token-a/1, json://user:token-b@localhost"
    settings = told(monkeypatch, **REAL, NOTIFY_URLS=both)
    assert set(both.split(", ")) <= set(settings.secret_values)
    assert "token" not in repr(settings)


def test_a_shell_that_was_prepared_for_the_demo_is_refused_once_an_api_is_set(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # R54
    monkeypatch.setenv("LMS_DEMO", SHELL_OF_THE_DEMO)
    assert load_settings().is_demo
    lines = [f"{name}={value}\n" for name, value in REAL.items()]
    (project / ".env").write_text("".join(lines), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"prepared by \./lms env .* open a new shell"):
        load_settings()
    assert load_settings(demo=True).is_demo


def test_the_demo_can_be_asked_for_where_an_api_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """R55: what the demo's closing lines say then."""
    assert told(monkeypatch, **REAL, LMS_DEMO="1").is_demo
    assert api_is_configured()


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ("[]", "holds no record"),
        ('[{"created_at": "2026-11-22 10:00:00"}]', "only records of 2026-11-22 to 2026-11-22"),
        ('[{"created_at": "2199-01-01 10:00:00"}]', "only records of 2199-01-01"),
        ('[{"created_at": "9999-12-31 23:59:59"}]', "only records of 9999-12-31"),
        ('[{"created_at": "0001-01-01 00:00:00"}]', "only records of 0001-01-01"),
    ],
)
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Asia/Tokyo"])
def test_records_of_no_day_that_is_over_are_refused_in_one_sentence(
    records: str, says: str, zone: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # R7
    monkeypatch.setenv("LMS_TIMEZONE", zone)
    file = project / "records.json"
    file.write_text(records, encoding="utf-8")
    with pytest.raises(click.ClickException, match=re.escape(says)):
        demo_settings(file, now=NOW)
    assert list(project.iterdir()) == [file]


def test_days_of_the_records_that_cannot_be_loaded_are_left_out_and_named(project: Path) -> None:
    file = project / "records.json"  # R7
    moments = ["2026-11-21 10:00:00", "2026-11-22 10:00:00", "0001-01-01 00:00:00"]
    file.write_text(json.dumps([{"created_at": moment} for moment in moments]), encoding="utf-8")
    settings = demo_settings(file, now=NOW)
    assert demo_days(settings, days=3, now=NOW) == [date(2026, 11, 21)]
    assert left_out_days(settings, now=NOW) == [date(1, 1, 1), date(2026, 11, 22)]


def test_the_demos_faulty_tasks_are_so_from_the_newest_day_of_its_first_call_on(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMS_TIMEZONE", "Asia/Tokyo")
    settings = demo_settings(None, now=NOW)
    assert settings.demo_faults_from is None
    remember_demo(settings, date(2026, 11, 19), date(2026, 11, 21))
    assert load_settings().demo_faults_from == "2026-11-20T15:00:00"
    remember_demo(load_settings(), date(2026, 10, 1), date(2026, 12, 24))
    assert load_settings().demo_faults_from == "2026-11-20T15:00:00"
    assert load_settings().lms_first_day == date(2026, 10, 1)


def test_a_state_of_the_demo_that_was_cut_by_a_loss_of_power_is_named(project: Path) -> None:
    remember_demo(demo_settings(None, now=NOW), date(2026, 11, 19), date(2026, 11, 21))
    state = project / ".lms" / "demo" / "demo.json"
    state.write_bytes(state.read_bytes()[:-3])
    with pytest.raises(SettingsError) as found:
        load_settings()
    assert str(found.value) == f"{state} is cut short: remove it, then call ./lms demo"


def test_a_demo_of_recorded_attempts_has_no_made_up_faults_and_no_made_up_titles(
    project: Path,
) -> None:
    made_up = remember_demo(demo_settings(None, now=NOW), date(2026, 11, 21), date(2026, 11, 21))
    assert made_up.lms_names == made_up.demo_names_file
    (project / ".lms" / "demo" / "demo.json").unlink()
    file = project / "records.json"
    file.write_text('[{"created_at": "2026-11-21 10:00:00"}]', encoding="utf-8")
    recorded = demo_settings(file, now=NOW)
    recorded = remember_demo(recorded, date(2026, 11, 21), date(2026, 11, 21))
    assert (recorded.demo_faults_from, recorded.lms_names) == (None, None)


@pytest.mark.parametrize("name", ["none.csv", "n" * 300])
def test_a_file_that_is_not_there_is_named_with_its_setting(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("LMS_STAFF", name)
    with pytest.raises(SettingsError, match=f"LMS_STAFF: there is no file {name}"):
        load_settings()


def test_titles_that_are_configured_stand_above_those_of_the_demo(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project / "names.csv").write_text("course,task,title,link\n", encoding="utf-8")
    monkeypatch.setenv("LMS_NAMES", "names.csv")
    made_up = remember_demo(demo_settings(None, now=NOW), date(2026, 11, 21), date(2026, 11, 21))
    assert made_up.lms_names == project / "names.csv"


@pytest.mark.parametrize(
    ("variable", "value", "complaint"),
    [
        ("LMS_FIRST_DAY", "soon", "LMS_FIRST_DAY: is not a day, as 2025-07-24 is"),
        ("LMS_FIRST_DAY", "24.07.2025", "LMS_FIRST_DAY: is not a day, as 2025-07-24 is"),
        ("LMS_HOUR", "seven", "LMS_HOUR: is not a whole number"),
        ("LMS_HOUR", "7.5", "LMS_HOUR: is not a whole number"),
        ("API_TIMEOUT_S", "a minute", "API_TIMEOUT_S: is not a number"),
        ("LMS_SHEET_STUDENTS", "perhaps", "LMS_SHEET_STUDENTS: is neither yes nor no"),
    ],
)
def test_a_value_of_another_kind_is_answered_with_what_is_wanted(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, complaint: str
) -> None:
    assert refusal(monkeypatch, **{variable: value}) == complaint


# ------------------------------------------------------------------ in a backup


def test_what_a_backup_says_of_the_settings_is_an_env_file_of_the_same_settings(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = {
        "API_URL": "https://grader.example/attempts?school=Ёж's#1",
        "API_CLIENT": "a \\ b",
        "API_CLIENT_KEY": "secret-of-the-api",
        "SMTP_SERVER": "mail.example",
        "SENDER_EMAIL": "lms@example.org",
        "RECIPIENTS_EMAILS": "one@example.org, two@example.org",
        "LMS_FIRST_DAY": "2025-07-24",
        "LMS_LATE_DAYS": "0",
        "LMS_SHEET_STUDENTS": "yes",
        "NOTIFY_URLS": "json://secret.example",
    }
    settings = told(monkeypatch, **variables)
    written = without_secrets(settings)
    assert "secret-of" not in written
    assert "secret.example" not in written
    for name in variables:
        monkeypatch.delenv(name)
    (project / ".env").write_text(written, encoding="utf-8")
    secrets = {name: variables[name] for name in ("API_CLIENT_KEY", "NOTIFY_URLS")}
    assert told(monkeypatch, **secrets) == settings


def test_a_password_in_an_address_is_in_no_backup(monkeypatch: pytest.MonkeyPatch) -> None:
    address = "https://robot:pa55word@grader.example/attempts"
    settings = told(monkeypatch, API_URL=address, API_CLIENT="c", API_CLIENT_KEY="k")
    assert "# API_URL is secret\n" in without_secrets(settings)
    assert "pa55word" not in without_secrets(settings)


def test_a_demos_backup_sets_nothing() -> None:
    assert without_secrets(load_settings()).startswith("#")
