"""Settings are read from the environment, else from `.env`; what is wrong is told by name alone."""

from datetime import date
from pathlib import Path

import click
import pytest

from lms_assets.commands.cli import COMMANDS, lms
from lms_assets.commands.demo import demo_settings
from lms_assets.settings import Settings, SettingsError, load_settings, unknown_settings
from lms_assets_tests.driving import drive

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
    settings = demo_settings(None)
    assert settings.is_demo
    assert settings.lms_home == project / "home" / "demo"
    assert settings.lake_url == str(project / "home" / "demo" / "lake")
    assert settings.secret_values == ()
    for outside in ("api_url", "db_host", "spreadsheet_id", "smtp_server", "sender_email"):
        assert getattr(settings, outside) is None


@pytest.mark.parametrize("system", ["DB_HOST", "SPREADSHEET_ID", "SMTP_SERVER"])
@pytest.mark.parametrize(
    "verb", [verb for verb in sorted(COMMANDS) if verb not in ("demo", "test")]
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
def test_a_value_that_cannot_be_is_told_by_its_variable(
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


@pytest.mark.parametrize("line", ["API_URL https://api.example.org", "LMS_LANGUAGE"])
def test_a_line_of_the_env_file_that_says_nothing_is_refused_by_its_number(
    project: Path, line: str
) -> None:
    (project / ".env").write_text(f"LMS_HOUR=7\n{line}\n", encoding="utf-8")
    with pytest.raises(SettingsError, match="line 2"):
        load_settings()


def test_a_misspelt_setting_is_told_with_the_one_that_is_near(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMS_TIMEZON", "Europe/Moscow")
    (project / ".env").write_text("API_URLS=https://api.example.org\nEDITOR=vi\n")
    assert unknown_settings() == [
        "API_URLS is no setting: API_URL is meant?",
        "LMS_TIMEZON is no setting: LMS_TIMEZONE is meant?",
    ]
