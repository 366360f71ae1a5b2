"""The settings of ETL-Project, said again as a ``.env`` of this platform."""

import configparser
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from lms_assets.settings import SettingsError

# Section and key of config.ini, in lower case → the setting's name here.
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
# The platform itself says for which window it asks.
_DROPPED_FROM_QUERY = {*_QUERY, "start", "end"}
_PLAIN = re.compile(r"[A-Za-z0-9_.,:/@+-]+")


def env_from_config_ini(path: Path) -> str:
    """The text of a ``.env`` that says what the ``config.ini`` of ETL-Project said.

    Its secrets are in the text. A ``client`` and a ``client_key`` in the query of
    ``api_url`` become settings of their own. Keys that are not known are named in
    comments, without their values.

    Raises:
        SettingsError: The file cannot be read as such a ``config.ini``; says nothing of its values.
    """
    said = _said(path)
    known = {setting: value for setting, value in _known(said) if value}
    if not known:
        raise SettingsError(
            f"{path}: has no setting of ETL-Project's config.ini: "
            "a key of [Database], [API] or [Email] is expected"
        )
    known = _with_split_address(known)
    lines = [f"{name}={_quoted(known[name])}" for name in _in_order(known)]
    missing = [f"# {name} is not in {path.name}: set it" for name in _NEEDED if name not in known]
    unknown = [f"# not known here: [{s}] {key}" for s, key in said if not _setting(s, key)]
    return "\n".join([f"# From {path.name} of ETL-Project.", *lines, *missing, *unknown]) + "\n"


def _said(path: Path) -> dict[tuple[str, str], str]:
    """Section and key → value, as the file says them."""
    # A password may hold a percent sign.
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
    """Where the fault is; the parser's own message quotes the line, and so a secret."""
    line = getattr(error, "lineno", None) or next(iter(getattr(error, "errors", [])), (None,))[0]
    return f": line {line} cannot be understood" if line else ""


def _setting(section: str, key: str) -> str | None:
    return _SETTINGS.get((section.strip().lower(), key))


def _known(said: dict[tuple[str, str], str]) -> Iterator[tuple[str, str]]:
    for (section, key), value in said.items():
        setting = _setting(section, key)
        if setting:
            yield setting, value


def _in_order(known: dict[str, str]) -> list[str]:
    order = ("API_URL", "API_CLIENT", "API_CLIENT_KEY", *_SETTINGS.values())
    return [name for name in dict.fromkeys(order) if name in known]


def _with_split_address(known: dict[str, str]) -> dict[str, str]:
    """The client and its key stand apart from the address, which keeps the rest of its query."""
    if "API_URL" not in known:
        return known
    address = urlsplit(known["API_URL"])
    query = dict(parse_qsl(address.query))
    found = {setting: query[name] for name, setting in _QUERY.items() if query.get(name)}
    kept = [
        part
        for part in address.query.split("&")
        if part.partition("=")[0] not in _DROPPED_FROM_QUERY
    ]
    url = urlunsplit(address._replace(query="&".join(kept)))
    return found | known | {"API_URL": url}


def _quoted(value: str) -> str:
    """The value as the ``.env`` reader takes it back, character for character."""
    if _PLAIN.fullmatch(value):
        return value
    escaped = value.replace("\\", r"\\").replace("'", r"\'")
    # The reader fills in ${NAME} even between single quotes; ${:-$} gives a lone dollar sign.
    return "'" + escaped.replace("${", "${:-$}{") + "'"
