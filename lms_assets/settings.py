"""Every setting of the platform, read once from the environment and ``.env``.

No other module names environment variables of ours. This one imports no Dagster, so that a command
with a wrong setting fails at once.
"""

import json
import os
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from dotenv.parser import Binding, parse_stream
from pydantic import (
    AliasChoices,
    BeforeValidator,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from lms_assets.days import is_zone, midnight
from lms_assets.files import write_whole
from lms_assets.texts import LANGUAGES


def project_folder() -> Path:
    """The checkout that this package runs from, or the current folder when it was installed."""
    checkout = Path(__file__).resolve().parents[1]
    return checkout if (checkout / "pyproject.toml").exists() else Path.cwd()


def env_file() -> Path:
    """The path of ``.env``, which holds settings that the environment lacks; it may not exist."""
    return project_folder() / ".env"


SHORTEST_KEY = 32

# Setting → settings that it needs. Workers on other machines cannot use embedded doubles here.
NEEDED_WITH = {
    "api_url": ("api_client", "api_client_key"),
    "db_host": ("db_name", "db_user"),
    "spreadsheet_id": ("google_sheets_credentials_base64",),
    "smtp_server": ("sender_email", "recipients_emails"),
    "lms_broker_url": ("db_host", "lms_lake", "spreadsheet_id", "smtp_server"),
}
BEYOND_A_DEMO = (
    "db_host",
    "spreadsheet_id",
    "smtp_server",
    "notify_urls",
    "lms_course_letters",
    "lms_broker_url",
)


class SettingsError(Exception):
    """A setting is missing or wrong; nothing was begun."""


def _split_by_comma(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _web_address(value: str | SecretStr | None) -> str | SecretStr | None:
    """The value, which is a web address; a wrong one would otherwise fail only when it is used."""
    given = value.get_secret_value() if isinstance(value, SecretStr) else value
    if given is not None:
        parts = urlsplit(given)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("is not a web address, as https://example.org/page is")
    return value


Addresses = Annotated[tuple[str, ...], BeforeValidator(_split_by_comma)]
SecretAddresses = Annotated[tuple[SecretStr, ...], BeforeValidator(_split_by_comma)]


class Settings(BaseSettings):
    """All settings with their defaults.

    A field's name is its variable's name in lower case. An outside system that is ``None`` is
    replaced by its embedded double; in demo mode all of them are.

    Raises:
        pydantic.ValidationError: A value is invalid.
    """

    model_config = SettingsConfigDict(
        env_file_encoding="utf-8-sig",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        enable_decoding=False,
        hide_input_in_errors=True,
    )

    api_url: str | None = None
    api_client: str | None = None
    api_client_key: SecretStr | None = None
    api_timeout_s: float = Field(300, gt=0)
    api_concurrency: int = Field(4, ge=1, le=64)

    db_host: str | None = None
    db_port: int = Field(5432, ge=1, le=65535)
    db_name: str | None = None
    db_user: str | None = None
    db_password: SecretStr | None = None
    db_sslmode: Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] = (
        "prefer"
    )
    db_sslrootcert: Path | None = None

    google_sheets_credentials_base64: SecretStr | None = None
    spreadsheet_id: str | None = None
    google_sheets_api_url: str = "https://sheets.googleapis.com"

    smtp_server: str | None = None
    smtp_port: int = Field(465, ge=1, le=65535)
    sender_email: str | None = None
    sender_password: SecretStr | None = None
    recipients_emails: Addresses = ()
    dashboard_url: str | None = None
    notify_urls: SecretAddresses = ()
    lms_page_url: str | None = None
    lms_dagster_url: str | None = None
    lms_course_letters: Path | None = None

    lms_home: Path = Path(".lms")
    lms_lake: str | None = None
    lms_first_day: date = date(2023, 1, 1)
    lms_timezone: str = "UTC"
    lms_language: str = "en"
    lms_schedule: Literal["daily", "every_3_days"] = "daily"
    lms_hour: int = Field(7, ge=0, le=23)
    lms_late_days: int = Field(3, ge=0)
    lms_catch_up_days: int = Field(30, ge=0)
    lms_log_days: int = Field(3, ge=1)
    lms_log_format: Literal["text", "json"] = "text"
    lms_max_rejected_pct: float = Field(5, ge=0, le=100)
    lms_run_days: int = Field(180, ge=1)
    lms_raw_days: int | None = Field(None, ge=1)
    lms_key: SecretStr | None = None
    lms_broker_url: SecretStr | None = None
    lms_names: Path | None = None
    lms_staff: Path | None = None
    lms_sheet_students: bool = False
    lms_sheet_per_day: bool = False
    lms_postgres_port: int | None = Field(None, ge=1, le=65535)
    heartbeat_url: SecretStr | None = None

    is_demo: bool = Field(False, validation_alias=AliasChoices("LMS_DEMO", "is_demo"))

    @field_validator("lms_timezone")
    @classmethod
    def _zone_exists(cls, value: str) -> str:
        if not is_zone(value):
            raise ValueError("is not a zone of the IANA database, as Europe/Moscow is")
        return value

    @field_validator("lms_language")
    @classmethod
    def _language_has_texts(cls, value: str) -> str:
        if value not in LANGUAGES:
            raise ValueError(f"is none of {', '.join(LANGUAGES)}")
        return value

    @field_validator("dashboard_url", "lms_page_url", "lms_dagster_url", "heartbeat_url")
    @classmethod
    def _links_lead_somewhere(cls, value: str | SecretStr | None) -> str | SecretStr | None:
        return _web_address(value)

    @field_validator("lms_broker_url")
    @classmethod
    def _broker_is_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value and urlsplit(value.get_secret_value()).scheme not in ("redis", "rediss"):
            raise ValueError("is not an address of Redis, as redis://host:6379/0 is")
        return value

    @field_validator("lms_key")
    @classmethod
    def _key_cannot_be_guessed(cls, value: SecretStr | None) -> SecretStr | None:
        if value and len(value.get_secret_value()) < SHORTEST_KEY:
            raise ValueError(f"is shorter than {SHORTEST_KEY} characters: openssl rand -hex 32")
        return value

    @field_validator("recipients_emails")
    @classmethod
    def _addresses_can_be_written_to(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            name, _, host = address.rpartition("@")
            if not name or not host or set(address) & set(" <>\r\n\t,;"):
                raise ValueError("holds something that is not a mail address")
        return value

    @model_validator(mode="after")
    def _outside_systems_are_whole(self) -> Self:
        """Half an outside system is a mistake, and made-up students never reach a real one."""
        if self.is_demo:
            return self
        if self.api_url is None and self._beyond_a_demo:
            raise ValueError(
                f"API_URL is missing while {' and '.join(self._beyond_a_demo)} is set: "
                "set API_URL, API_CLIENT and API_CLIENT_KEY too"
            )
        missing = [
            f"{name.upper()} (needed with {system.upper()})"
            for system, names in NEEDED_WITH.items()
            if getattr(self, system) is not None
            for name in names
            if not getattr(self, name)
        ]
        if missing:
            raise ValueError("missing: " + ", ".join(missing))
        return self

    @property
    def _beyond_a_demo(self) -> list[str]:
        """The set variables with which made-up students would reach a real system."""
        names = [name.upper() for name in BEYOND_A_DEMO if getattr(self, name)]
        return names + (["LMS_LAKE"] if (self.lms_lake or "").startswith("s3://") else [])

    @property
    def zone(self) -> ZoneInfo:
        """The zone of the days."""
        return ZoneInfo(self.lms_timezone)

    @property
    def lake_url(self) -> str:
        """The lake's address: a folder or any fsspec URL."""
        return self.lms_lake or str(self.lms_home / "lake")

    @property
    def page_url(self) -> str:
        """Where the page of figures is written: in LMS_HOME, or where every worker can write."""
        return f"{self.lake_url if self.lms_broker_url else self.lms_home}/report.html"

    @property
    def secret_values(self) -> tuple[str, ...]:
        """All values that must never be shown, as they are set."""
        fields = (getattr(self, name) for name in type(self).model_fields)
        lists = (field if isinstance(field, tuple) else (field,) for field in fields)
        values = [value for values in lists for value in values]
        return tuple(
            value.get_secret_value()
            for value in values
            if isinstance(value, SecretStr) and value.get_secret_value()
        )

    @property
    def reader_password_file(self) -> Path:
        """The file with the password of the role that can log in on LMS_POSTGRES_PORT."""
        return self.lms_home / "postgres-reader.password"

    @property
    def demo_state_file(self) -> Path:
        """Where demo mode remembers its first day and from when on its faulty tasks are faulty."""
        return self.lms_home / "demo.json"

    @property
    def demo_faults_from(self) -> str | None:
        """From when on the demo's faulty tasks are so, naive UTC; None before its first call."""
        state = _demo_state(self) if self.is_demo else {}
        return state.get("faults_from")

    @property
    def demo_names_file(self) -> Path:
        """What the demo's courses and tasks are called, unless LMS_NAMES says it."""
        return self.lms_home / "demo_names.csv"

    @property
    def demo_records(self) -> Path | None:
        """The recorded API records that the demo API serves, when it was given some."""
        records = self.lms_home / "demo_records.json"
        return records if self.is_demo and records.exists() else None


# What a demo leaves as if it were unset: all that leads to somebody else's system.
OUTSIDE = (
    *("api_url", "api_client", "api_client_key"),
    *("db_host", "db_name", "db_user", "db_password", "db_sslrootcert"),
    *("google_sheets_credentials_base64", "spreadsheet_id"),
    *("smtp_server", "sender_email", "sender_password", "recipients_emails"),
    *("dashboard_url", "lms_page_url", "lms_dagster_url", "notify_urls", "lms_course_letters"),
    *("lms_lake", "lms_broker_url", "lms_key", "heartbeat_url"),
)

# What pydantic says of a value that is none of its kind → what we say.
_NO_SUCH_VALUE = {
    "date_from_datetime_parsing": "is not a day, as 2025-07-24 is",
    "int_parsing": "is not a whole number",
    "float_parsing": "is not a number",
    "bool_parsing": "is neither yes nor no",
}

# `lms env` marks the shell that it prepared for the demo; 1 asks for the demo.
SHELL_OF_THE_DEMO = "shell"


def load_settings(*, demo: bool = False, **given: Any) -> Settings:  # noqa: ANN401
    """The settings of this process: the environment, else ``.env`` in the project's folder.

    Args:
        demo: Embedded parts only, whatever is configured (`lms demo`).
        given: Values that stand above the environment; tests use them.

    Raises:
        SettingsError: With one line per variable that is missing or wrong, and never its value.
    """
    file = env_file()
    _refuse_unreadable_lines(file)
    try:
        settings = Settings(_env_file=file, **_forced_demo(demo), **given)
    except ValidationError as error:
        wrong = error.errors(include_input=False)
        lines = [_line(e["loc"], _NO_SUCH_VALUE.get(e["type"], e["msg"])) for e in wrong]
        raise SettingsError("\n".join(lines)) from None
    settings = settings.model_copy(
        update={
            "lms_home": (project_folder() / settings.lms_home.expanduser()).resolve(),
            "db_sslrootcert": _existing(settings.db_sslrootcert, "DB_SSLROOTCERT"),
            "lms_names": _existing(settings.lms_names, "LMS_NAMES"),
            "lms_staff": _existing(settings.lms_staff, "LMS_STAFF"),
            "lms_course_letters": _existing(settings.lms_course_letters, "LMS_COURSE_LETTERS"),
        }
    )
    return _demo(settings) if settings.is_demo or settings.api_url is None else settings


def _refuse_unreadable_lines(file: Path) -> None:
    """All lines can be read: an unreadable one would silently leave a default or demo mode."""
    for binding in bindings(file):
        is_cut = binding.key and binding.value is None
        if binding.error or is_cut or "\0" in binding.original.string:
            line = binding.original.line
            raise SettingsError(f".env: line {line} cannot be read: write it as NAME=value")


def bindings(file: Path) -> list[Binding]:
    """The lines of a ``.env``; empty if there is no such file."""
    if not file.is_file():
        return []
    try:
        with file.open(encoding="utf-8-sig") as stream:
            return list(parse_stream(stream))
    except UnicodeDecodeError:
        raise SettingsError(".env: is not UTF-8 text: save it as UTF-8") from None


def _forced_demo(demo: bool) -> dict[str, Any]:
    if demo:
        return {"is_demo": True}
    if os.environ.get("LMS_DEMO") != SHELL_OF_THE_DEMO:
        return {}
    if api_is_configured():
        raise SettingsError(
            "API_URL: is set, but this shell was prepared by ./lms env when it was not, for the "
            "demo: open a new shell, or call  unset LMS_DEMO DAGSTER_HOME LMS_DAGSTER_POSTGRES_URL"
        )
    return {"is_demo": True}


def api_is_configured() -> bool:
    """Whether API_URL is set in the environment or in ``.env``, even if the demo is selected."""
    written = {binding.key for binding in bindings(env_file()) if binding.value}
    return bool(os.environ.get("API_URL")) or "API_URL" in written


def _line(location: tuple[int | str, ...], message: str) -> str:
    variable = str(location[0]).upper() if location else ""
    return f"{variable}: {message}".removeprefix(": ").replace("Value error, ", "")


def _existing(path: Path | None, variable: str) -> Path | None:
    if path is None:
        return None
    found = (project_folder() / path.expanduser()).resolve()
    try:
        is_there = found.is_file()
    except OSError:  # The name is too long for the file system.
        is_there = False
    if not is_there:
        raise SettingsError(f"{variable}: there is no file {path}")
    return found


def _demo(settings: Settings) -> Settings:
    """The settings of demo mode: a home of its own, and no configured system."""
    unset = {name: Settings.model_fields[name].get_default() for name in OUTSIDE}
    home = settings.lms_home / "demo"
    return _with_demo_state(
        settings.model_copy(update={**unset, "is_demo": True, "lms_home": home})
    )


def _with_demo_state(demo: Settings) -> Settings:
    state = _demo_state(demo)
    if not state:
        return demo
    names = demo.demo_names_file if demo.demo_names_file.exists() else None
    # Recorded days are never followed by others, so no day after them is missing.
    catch_up = 0 if demo.demo_records else demo.lms_catch_up_days
    return demo.model_copy(
        update={
            "lms_first_day": date.fromisoformat(state["first_day"]),
            "lms_catch_up_days": catch_up,
            "lms_names": demo.lms_names or names,
        }
    )


def _demo_state(demo: Settings) -> dict[str, str]:
    if not demo.demo_state_file.exists():
        return {}
    try:
        state: dict[str, str] = json.loads(demo.demo_state_file.read_text(encoding="utf-8"))
    except ValueError:
        file = demo.demo_state_file
        raise SettingsError(f"{file} is cut short: remove it, then call ./lms demo") from None
    return state


def remember_demo(settings: Settings, first_day: date, newest_day: date) -> Settings:
    """Demo mode begins at ``first_day`` or earlier, for this process and for later ones.

    The tasks that are faulty in it are so from the newest day of its first call on: that day has
    others before it to be compared with, and its figures are those that a newcomer looks at.
    """
    state = _demo_state(settings)
    first = min(first_day.isoformat(), state.get("first_day", first_day.isoformat()))
    faults_from = state.get("faults_from") or midnight(newest_day, settings.zone).isoformat()
    new = {"first_day": first, **({} if settings.demo_records else {"faults_from": faults_from})}
    settings.lms_home.mkdir(parents=True, exist_ok=True)
    write_whole(settings.demo_state_file, json.dumps(state | new))
    return _with_demo_state(settings)


def running_as_root() -> bool:
    """Whether this process runs as root."""
    return hasattr(os, "geteuid") and os.geteuid() == 0
