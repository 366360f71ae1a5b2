"""What `deploy/` says is what the settings and the commands are; Caddy lets in whom it should."""

import configparser
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

import pytest
import requests
import yaml

from lms_assets.commands.cli import COMMANDS
from lms_assets.settings import Settings
from lms_assets_tests.smtp_server import free_port

DEPLOY = Path(__file__).resolve().parents[1] / "deploy"
CADDY = Path(sys.executable).with_name("caddy")
UNITS = sorted(path.name for path in (DEPLOY / "systemd").iterdir())
NAMES = {name.upper() for name in Settings.model_fields}
# Of the proxy alone, and of PostgreSQL's image.
OTHERS = re.compile(r"LMS_(SITE|TLS|REPORT|(OPERATOR|VIEWER)_(HASH|UPSTREAM))$|POSTGRES_")


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string((DEPLOY / "systemd" / name).read_text(encoding="utf-8"))
    return parser


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", [name for name in UNITS if name.endswith(".service")])
def test_a_unit_runs_a_command_that_is_there(name: str) -> None:
    (verb,) = re.findall(r"/opt/lms_assets/lms (\w+)", unit(name)["Service"]["ExecStart"])
    assert verb in COMMANDS


def test_the_timer_has_its_service_and_each_running_unit_ends_in_order() -> None:
    assert {"lms-backup.timer", "lms-backup.service"} <= set(UNITS)
    for name in ("lms.service", "lms-worker.service"):
        assert unit(name)["Service"]["KillSignal"] == "SIGINT"


def test_the_compose_file_sets_only_settings_that_are_there() -> None:
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    named = {
        name
        for name in re.findall(r"\b[A-Z][A-Z0-9]+_[A-Z0-9_]+\b", text)
        if not OTHERS.match(name)
    }
    assert len(named) > 10
    assert named - NAMES == set()


def test_the_containers_settings_are_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what the head of the file asks for, the settings of a cluster are accepted."""
    text = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
    head = text[: text.index("x-lms")]
    asked = [name for name in re.findall(r"[A-Z][A-Z0-9_]+", head) if name in NAMES]
    given = dict.fromkeys(asked, "x") | {
        "API_URL": "https://api.example.org",
        "SENDER_EMAIL": "a@example.org",
        "RECIPIENTS_EMAILS": "a@example.org",
    }
    fixed = compose()["x-lms"]["environment"]
    own = {name: value for name, value in fixed.items() if not value.startswith("${")}
    for name, value in (given | own | {"LMS_KEY": "k" * 32}).items():
        monkeypatch.setenv(name, value)
    assert Settings(_env_file=None).lms_broker_url is not None


def test_each_service_runs_a_command_that_is_there_and_only_the_proxy_s_port_is_open() -> None:
    services = compose()["services"]
    assert services.keys() == {"up", "viewer", "worker", "proxy", "postgres", "redis"}
    for name in ("up", "worker"):
        assert services[name]["command"][0] in COMMANDS
    opened = {name: one["ports"] for name, one in services.items() if "ports" in one}
    assert opened == {"up": ["443:443"]}
    assert services["proxy"]["network_mode"] == services["viewer"]["network_mode"] == "service:up"
    volumes = {v.partition(":")[0] for one in services.values() for v in one.get("volumes", [])}
    assert {name for name in volumes if not name.startswith(".")} == compose()["volumes"].keys()


def test_the_image_is_made_from_files_that_are_there() -> None:
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    for line in re.findall(r"(?m)^COPY (.+)$", text):
        for name in line.split()[:-1]:
            assert (DEPLOY.parent / name).exists(), name


class Upstream(BaseHTTPRequestHandler):
    """Says which page it stands for, and which login it was told of."""

    def do_GET(self) -> None:
        said = f"{self.server.server_name} {self.headers.get('Authorization')}"  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def upstream(name: str) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.server_name = name
    Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def hashed(password: str) -> str:
    command = [CADDY, "hash-password", "--plaintext", password]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Caddy with our file, by TLS with a certificate of its own; its address."""
    folder = tmp_path_factory.mktemp("proxy")
    (folder / "report.html").write_text("the page of figures", encoding="utf-8")
    (folder / "erasure.key").write_text("secret", encoding="utf-8")
    port = free_port()
    with upstream("operators") as operators, upstream("viewers") as viewers:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_DATA_HOME": str(folder / "data"),
            "LMS_SITE": f"https://localhost:{port}",
            "LMS_TLS": "tls internal",
            "LMS_OPERATOR_HASH": hashed("operator's"),
            "LMS_VIEWER_HASH": hashed("viewer's"),
            "LMS_OPERATOR_UPSTREAM": f"127.0.0.1:{operators}",
            "LMS_VIEWER_UPSTREAM": f"127.0.0.1:{viewers}",
            "LMS_REPORT": str(folder),
        }
        # What would be asked of the machine's own store of certificates, or of port 80.
        own = "{\n\tadmin off\n\tskip_install_trust\n\tauto_https disable_redirects\n}"
        text = (DEPLOY / "proxy" / "Caddyfile").read_text(encoding="utf-8")
        (folder / "Caddyfile").write_text(text.replace("{\n\tadmin off\n}", own), encoding="utf-8")
        command = [CADDY, "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"]
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as caddy:
            address = environment["LMS_SITE"]
            for _ in range(200):
                try:
                    requests.get(address, verify=False, timeout=2)
                    break
                except requests.ConnectionError:
                    sleep(0.1)
            yield address
            caddy.terminate()


def asked(address: str, *login: str) -> tuple[int, str]:
    session = requests.Session()
    session.trust_env = False
    answer = session.get(address, auth=login or None, verify=False, timeout=10)  # type: ignore[arg-type]
    return answer.status_code, answer.text


pytestmark = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")


def test_nobody_comes_in_without_a_login_or_with_a_wrong_one(proxy: str) -> None:
    for page in ("/", "/report.html", "/graphql"):
        assert asked(proxy + page) == (401, "")
        assert asked(proxy + page, "operator", "wrong") == (401, "")
        assert asked(proxy + page, "nobody", "operator's") == (401, "")


def test_an_operator_and_a_viewer_reach_different_pages_and_their_logins_go_no_further(
    proxy: str,
) -> None:
    assert asked(proxy, "operator", "operator's") == (200, "operators None")
    assert asked(proxy, "viewer", "viewer's") == (200, "viewers None")
    assert asked(proxy + "/graphql", "viewer", "viewer's") == (200, "viewers None")


def test_both_read_the_page_of_figures_and_nothing_else_of_the_home(proxy: str) -> None:
    for login in (("operator", "operator's"), ("viewer", "viewer's")):
        assert asked(proxy + "/report.html", *login) == (200, "the page of figures")
        assert "secret" not in asked(proxy + "/erasure.key", *login)[1]
