"""ETL-Project's config.ini becomes a .env that says the same."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lms_assets.commands.switching import env_from_config_ini
from lms_assets.settings import Settings, SettingsError

CONFIG = """\
[Database]
HOST = db.example.org
DATABASE = lms
USER = analyst
PASSWORD = p%ss'w"o rd#1\\n$HOME ${HOME}

[API]
api_url = https://api.example.org/statistics?client=Factory&client_key=K%2BY&start=2023-04-01

[Email]
mail_password = abcd efgh
sender_mail = robot@example.org
receiver_email = anna@example.org, boris@example.org
smtp_server = smtp.example.org
port = 465
signature = With regards
"""


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "config.ini"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read_back(folder: Path, env: str) -> Settings:
    file = folder / ".env"
    file.write_text(env, encoding="utf-8")
    return Settings(_env_file=file)


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def test_every_setting_of_config_ini_is_read_back_from_the_env(tmp_path: Path) -> None:
    found = read_back(tmp_path, env_from_config_ini(written(tmp_path, CONFIG)))

    assert found.db_host == "db.example.org"
    assert found.db_name == "lms"
    assert found.db_user == "analyst"
    assert found.db_password.get_secret_value() == "p%ss'w\"o rd#1\\n$HOME ${HOME}"
    assert found.api_url == "https://api.example.org/statistics"
    assert found.api_client == "Factory"
    assert found.api_client_key.get_secret_value() == "K+Y"
    assert found.sender_password.get_secret_value() == "abcd efgh"
    assert found.sender_email == "robot@example.org"
    assert found.recipients_emails == ("anna@example.org", "boris@example.org")
    assert (found.smtp_server, found.smtp_port) == ("smtp.example.org", 465)


def test_an_env_from_config_ini_has_these_lines(tmp_path: Path) -> None:
    config = "[API]\napi_url = https://api.example.org/?client=a&v=2\n[Email]\nport = 465\n"

    assert env_from_config_ini(written(tmp_path, config)) == (
        "# From config.ini of ETL-Project.\n"
        "API_URL='https://api.example.org/?v=2'\n"
        "API_CLIENT=a\n"
        "SMTP_PORT=465\n"
        "# API_CLIENT_KEY is not in config.ini: set it\n"
    )


def test_an_unknown_key_is_named_and_its_value_is_not(tmp_path: Path) -> None:
    env = env_from_config_ini(written(tmp_path, CONFIG + "[Sheets]\ntoken = s3cret\n"))

    assert "# not known here: [Email] signature\n" in env
    assert "# not known here: [Sheets] token\n" in env
    assert "With regards" not in env
    assert "s3cret" not in env


@pytest.mark.parametrize("spelled", ["\ufeff" + CONFIG, CONFIG.replace("\n", "\r\n")])
def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path, spelled: str) -> None:
    expected = env_from_config_ini(written(tmp_path, CONFIG))

    assert env_from_config_ini(written(tmp_path, spelled)) == expected


def test_an_address_without_a_query_stays_as_it_is(tmp_path: Path) -> None:
    config = written(tmp_path, "[API]\napi_url = https://api.example.org/a%20b\nclient = c\n")

    found = env_from_config_ini(config)

    assert "API_URL='https://api.example.org/a%20b'\nAPI_CLIENT=c\n" in found


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("PASSWORD = s3cret\n", "is not a config.ini: line 1 cannot be understood"),
        ("[API]\ns3cret\n", "is not a config.ini: line 2 cannot be understood"),
        ("[API]\na = s3cret\na = s3cret\n", "is not a config.ini: line 3 cannot be understood"),
        ("", "has no setting of ETL-Project's config.ini"),
        ("[Other]\nkey = s3cret\n", "has no setting of ETL-Project's config.ini"),
        ('{"api_url": "s3cret"}', "is not a config.ini"),
        (b"\xff\xfe[API]\x00s3cret", "is not a text in UTF-8"),
    ],
)
def test_a_file_that_is_no_config_ini_is_refused_without_showing_it(
    tmp_path: Path, content: str | bytes, expected: str
) -> None:
    with pytest.raises(SettingsError) as error:
        env_from_config_ini(written(tmp_path, content))

    assert expected in str(error.value)
    assert "s3cret" not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.ini: cannot be read \(No such file"):
        env_from_config_ini(tmp_path / "nowhere.ini")


PASSWORDS = (
    st.text(
        st.characters(blacklist_categories=["Cs", "Cc", "Zl", "Zp"])
        | st.sampled_from("$${}:-'\"\\#%="),
        min_size=1,
    )
    .map(str.strip)
    .filter(bool)
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(password=PASSWORDS)
def test_any_password_is_read_back_character_for_character(tmp_path: Path, password: str) -> None:
    config = written(tmp_path, f"[Database]\nPASSWORD = {password}\n")

    found = read_back(tmp_path, env_from_config_ini(config))

    assert found.db_password.get_secret_value() == password
