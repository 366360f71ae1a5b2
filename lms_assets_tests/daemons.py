"""`lms up` in a home of its own, and what is asked of its page."""

import json
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

from lms_assets_tests.api_server import ApiServer, free_port
from lms_assets_tests.homes import Grader, Home, home, wait_until

ASSETS = (
    "raw_attempts",
    "cleaned_attempts",
    "attempts_table",
    "daily_statistics",
    "statistics_sheet",
    "statistics_page",
)
LAUNCH = """
mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } } }
"""


def ask_page(port: int, query: str, **variables: object) -> Any:  # noqa: ANN401
    """What the GraphQL of the page on this port answers."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)["data"]


def backfill_in_page(port: int, days: Iterable[date], assets: Iterable[str] = ASSETS) -> str:
    """The id of the backfill that the dialog of the page's graph would have begun."""
    params = {
        "assetSelection": [{"path": [asset]} for asset in assets],
        "partitionNames": [str(day) for day in days],
    }
    answer = ask_page(port, LAUNCH, params=params)["launchPartitionBackfill"]
    assert answer["__typename"] == "LaunchBackfillSuccess", answer
    return str(answer["backfillId"])


@dataclass
class Up:
    """The page and the daemon of a home."""

    place: Home
    port: int

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, query: str, **variables: object) -> Any:  # noqa: ANN401
        """What the page's GraphQL answers."""
        return ask_page(self.port, query, **variables)

    def ticks(self, sensor: str) -> int:
        """How often the daemon has looked at a sensor."""
        (row,) = self.place.rows(
            "select count(*) as n from dagster.job_ticks where tick_body like :name",
            name=f"%{sensor}%",
        )
        return int(row["n"])


@contextmanager
def up(grader: Grader, **settings: object) -> Iterator[Up]:
    """The platform is up over an API of the test."""
    with ApiServer(grader) as api, home(api, **settings) as place:
        port = free_port()
        begin(place, port)
        yield Up(place, port)


def begin(place: Home, port: int) -> None:
    """`lms up` was started, and is ready."""
    before = place.said("up").count("Daemon       ready") if place.started else 0
    process = place.start("up", "--port", str(port))

    def is_ready() -> bool:
        if process.poll() is not None:
            raise AssertionError(place.said("up"))
        return place.said("up").count("Daemon       ready") > before

    wait_until(is_ready)
