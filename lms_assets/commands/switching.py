"""The settings of ETL-Project as a ``.env`` of this platform."""

import configparser
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from lms_assets.settings import SettingsError

# Section and key of config.ini, in lower case → our setting.
_SETTINGS = {
    ("database", "host"): "DB_HOST",
    ("database", "port"): "DB_PORT",
    ("database", "database"): "DB_NAME",
    ("database", "user"): "DB_USER",
    ("database", "password"): "DB_PASSWORD",
    ("api", "api_url"): "API_URL",
    ("api", "client"): "API_CLIENT",
    ("api", "client_key"): "API_CLIENT_KEY",
    ("email", "smtp_server"): "SMTP_SERVER",
    ("email", "port"): "SMTP_PORT",
    ("email", "sender_mail"): "SENDER_EMAIL",
    ("email", "mail_password"): "SENDER_PASSWORD",
    ("email", "receiver_email"): "RECIPIENTS_EMAILS",
}
_NEEDED = ("API_URL", "API_CLIENT", "API_CLIENT_KEY")
_QUERY = {"client": "API_CLIENT", "client_key": "API_CLIENT_KEY"}
# The platform adds the window to each request itself.
_DROPPED_FROM_QUERY = {*_QUERY, "start", "end"}
_PLAIN = re.compile(r"[A-Za-z0-9_.,:/@+-]+")


def env_from_config_ini(path: Path) -> str:
    """The text of a ``.env`` with the settings of ETL-Project's ``config.ini``, secrets included.

    A ``client`` and a ``client_key`` in the query of ``api_url`` become settings of their own.
    Comments name the unknown keys, without their values.

    Raises:
        SettingsError: The file is no such ``config.ini``; the message quotes no value.
    """
    entries = _file_entries(path)
    settings = {setting: value for setting, value in _settings_in(entries) if value}
    if not settings:
        raise SettingsError(
            f"{path}: has no setting of ETL-Project's config.ini: "
            "a key of [Database], [API] or [Email] is expected"
        )
    settings = _with_split_address(settings)
    lines = [f"{name}={_quoted(settings[name])}" for name in _in_order(settings)]
    missing = [
        f"# {name} is not in {path.name}: set it" for name in _NEEDED if name not in settings
    ]
    unknown = [f"# not known here: [{s}] {key}" for s, key in entries if not _setting(s, key)]
    return "\n".join([f"# From {path.name} of ETL-Project.", *lines, *missing, *unknown]) + "\n"


def _file_entries(path: Path) -> dict[tuple[str, str], str]:
    """Section and key → value, as in the file."""
    # Without interpolation, because a password may hold a percent sign.
    parser = configparser.ConfigParser(interpolation=None, default_section="")
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: is not a text in UTF-8") from None
    except configparser.Error as error:
        raise SettingsError(f"{path}: is not a config.ini{_place(error)}") from None
    return {(s, key): parser[s][key] for s in parser.sections() for key in parser[s]}


def _place(error: configparser.Error) -> str:
    """The number of the wrong line; the parser's own message would quote it, perhaps a secret."""
    line = getattr(error, "lineno", None) or next(iter(getattr(error, "errors", [])), (None,))[0]
    return f": line {line} cannot be understood" if line else ""


def _setting(section: str, key: str) -> str | None:
    return _SETTINGS.get((section.strip().lower(), key))


def _settings_in(entries: dict[tuple[str, str], str]) -> Iterator[tuple[str, str]]:
    for (section, key), value in entries.items():
        setting = _setting(section, key)
        if setting:
            yield setting, value


def _in_order(settings: dict[str, str]) -> list[str]:
    order = ("API_URL", "API_CLIENT", "API_CLIENT_KEY", *_SETTINGS.values())
    return [name for name in dict.fromkeys(order) if name in settings]


def _with_split_address(settings: dict[str, str]) -> dict[str, str]:
    """The client and its key are moved out of the address's query; other parameters stay there."""
    if "API_URL" not in settings:
        return settings
    address = urlsplit(settings["API_URL"])
    query = dict(parse_qsl(address.query))
    in_query = {setting: query[name] for name, setting in _QUERY.items() if query.get(name)}
    parts = [
        part
        for part in address.query.split("&")
        if part.partition("=")[0] not in _DROPPED_FROM_QUERY
    ]
    url = urlunsplit(address._replace(query="&".join(parts)))
    return in_query | settings | {"API_URL": url}


def _quoted(value: str) -> str:
    """The value, quoted so that the reader of ``.env`` returns it unchanged."""
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", r"\\").replace("'", r"\'")
    # The reader replaces ${NAME} even between single quotes; ${:-$} gives a single dollar sign.
    return "'" + escaped.replace("${", "${:-$}{") + "'"
