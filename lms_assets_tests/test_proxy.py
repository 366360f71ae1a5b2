"""The proxy before the page, in a real browser: nobody, strangers, viewers, operators (F5)."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page
from playwright.sync_api import Error as PlaywrightError

from lms_assets_tests.api_server import free_port
from lms_assets_tests.browser import chromium
from lms_assets_tests.daemons import up
from lms_assets_tests.driving import PROJECT
from lms_assets_tests.homes import Grader, end, wait_until

pytestmark = pytest.mark.slow

CADDY = Path(sys.executable).with_name("caddy")
PASSWORDS = {"operator": "op3rator-of-the-test", "viewer": "vi3wer-of-the-test"}
KEY = "k3y-of-the-test"
# As deploy/proxy/Caddyfile says it.
READ_ONLY = """
eval "$("$1" env)"
exec dagster-webserver --read-only -h 127.0.0.1 -p "$2" -w workspace.yaml
"""
LAUNCH = """
mutation {
  launchRun(executionParams: {
    selector: {
      repositoryLocationName: "lms_assets", repositoryName: "__repository__",
      jobName: "daily_attempts"
    },
    runConfigData: {}
  }) { __typename }
}
"""


@dataclass
class Door:
    """The proxy's address, and what it answered to a browser."""

    address: str
    inner_ports: tuple[int, ...]
    bodies: dict[str, str] = field(default_factory=dict)


def hashed(password: str) -> str:
    made = subprocess.run(
        [CADDY, "hash-password", "--plaintext", password, "--algorithm", "bcrypt"],
        capture_output=True,
        text=True,
        check=True,
    )
    return made.stdout.strip()


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with up(Grader()) as installation:
        viewers, site = free_port(), free_port()
        place = installation.place
        (place.folder / "report.html").write_text("<p>the report</p>")
        environment = {
            **place.environment,
            "LMS_SITE": f"https://localhost:{site}",
            "LMS_TLS": "tls internal",
            "LMS_OPERATOR_UPSTREAM": f"127.0.0.1:{installation.port}",
            "LMS_VIEWER_UPSTREAM": f"127.0.0.1:{viewers}",
            "LMS_REPORT": str(place.folder),
            "LMS_OPERATOR_HASH": hashed(PASSWORDS["operator"]),
            "LMS_VIEWER_HASH": hashed(PASSWORDS["viewer"]),
            "HOME": str(place.folder),
            "XDG_DATA_HOME": str(place.folder / "caddy"),
        }
        log = (place.folder / "proxy.log").open("w")
        commands = (
            ["sh", "-c", READ_ONLY, "sh", str(CADDY.with_name("lms")), str(viewers)],
            [str(CADDY), "run", "--adapter", "caddyfile", "--config", "deploy/proxy/Caddyfile"],
        )
        started = [
            subprocess.Popen(c, cwd=PROJECT, env=environment, stdout=log, stderr=log, text=True)
            for c in commands
        ]
        try:
            found = Door(environment["LMS_SITE"], (installation.port, viewers))
            wait_until(lambda: _answers(found, "viewer"), within_s=90)
            yield found
        finally:
            for process in started:
                end(process)


def _answers(door: Door, name: str) -> bool:
    done = subprocess.run(
        [
            *("curl", "-ks", "-o", os.devnull, "-w", "%{http_code}"),
            *("-u", f"{name}:{PASSWORDS[name]}", f"{door.address}/server_info"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout == "200"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


def page_of(browser: Browser, door: Door, name: str | None, password: str = "") -> Page:
    """A new window of somebody who logs in with a name, or of nobody."""
    login = {"username": name, "password": password or PASSWORDS[name]} if name else None
    context = browser.new_context(ignore_https_errors=True, http_credentials=login)  # type: ignore[arg-type]
    page = context.new_page()

    def keep(response: Any) -> None:  # noqa: ANN401
        # What is still on its way when the page is left has no body any more.
        with suppress(PlaywrightError):
            if response.status == 200:
                door.bodies[response.url] = response.text()

    page.on("response", keep)
    return page


def asked(page: Page, door: Door, query: str) -> Any:  # noqa: ANN401
    answer = page.request.post(f"{door.address}/graphql", data={"query": query})
    return json.loads(answer.text())


@pytest.mark.parametrize(
    ("name", "password"), [(None, ""), ("viewer", "wrong"), ("operator", "wrong"), ("root", "x")]
)
def test_without_a_right_login_nothing_is_shown(
    door: Door, browser: Browser, name: str | None, password: str
) -> None:
    page = page_of(browser, door, name, password)
    for path in ("/", "/graphql", "/report.html", "/server_info"):
        answer = page.request.get(f"{door.address}{path}")
        assert (path, answer.status) == (path, 401)
        assert "dagster" not in answer.text().lower()


def test_a_viewer_sees_the_page_and_may_run_nothing(door: Door, browser: Browser) -> None:
    page = page_of(browser, door, "viewer")
    page.goto(f"{door.address}/locations/lms_assets/jobs")
    page.get_by_text("daily_attempts").first.wait_for(timeout=30_000)
    launched = asked(page, door, LAUNCH)["data"]["launchRun"]["__typename"]
    assert launched == "UnauthorizedError"
    assert "the report" in page.request.get(f"{door.address}/report.html").text()


def test_an_operator_may_run_all(door: Door, browser: Browser) -> None:
    page = page_of(browser, door, "operator")
    page.goto(f"{door.address}/locations/lms_assets/jobs")
    page.get_by_text("daily_attempts").first.wait_for(timeout=30_000)
    launched = asked(page, door, LAUNCH)["data"]["launchRun"]["__typename"]
    # A launch without a day is refused for that, and not for who asks.
    assert launched not in ("UnauthorizedError", "")


def test_no_secret_is_in_anything_that_the_browser_was_sent(door: Door, browser: Browser) -> None:
    page = page_of(browser, door, "operator")
    for path in ("/deployment/config", "/locations/lms_assets/resources", "/runs", "/assets"):
        page.goto(f"{door.address}{path}")
        page.wait_for_load_state("networkidle")
    assert len(door.bodies) > 10
    secrets = [KEY, *PASSWORDS.values()]
    shown = [url for url, body in door.bodies.items() if any(s in body for s in secrets)]
    assert shown == []


def test_the_pages_themselves_listen_on_this_machine_alone(door: Door) -> None:
    listening = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=True).stdout
    places = [line.split()[3] for line in listening.splitlines()]
    ours = [place for place in places if int(place.rpartition(":")[2]) in door.inner_ports]
    assert sorted(ours) == sorted(f"127.0.0.1:{port}" for port in door.inner_ports)
