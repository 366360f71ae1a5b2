"""`lms run` beside other runs: a slow one, a killed one, one that Dagster's own tools started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lms_assets_tests.api_server import ApiServer
from lms_assets_tests.homes import Grader, Home, home, wait_until

pytestmark = pytest.mark.slow

FIRST, SECOND = "2025-03-01", "2025-03-02"


@pytest.fixture
def grader() -> Grader:
    return Grader(latency_s=60)


@pytest.fixture
def place(grader: Grader) -> Iterator[Home]:
    with ApiServer(grader) as api, home(api, lms_first_day=FIRST, api_concurrency=1) as place:
        yield place


def bare_tool(place: Home, day: str) -> "subprocess.Popen[str]":
    """`dagster job execute`, with the variables that `lms env` prints."""
    lines = place.lms("env").stdout.splitlines()
    exports = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    quoted = {name: value.strip("'") for name, value in exports.items() if name != "PATH"}
    tags = f'{{"dagster/partition": "{day}"}}'
    command = ["job", "execute", "-m", "lms_assets.definitions", "-j", "daily_attempts"]
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("dagster")), *command, "--tags", tags],
        env=place.environment | quoted,
        # Dagster reads the .env of the current folder.
        cwd=place.folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    place.started.append(process)
    return process


def test_a_run_that_waits_for_its_turn_says_for_whom_is_idle_and_ends_at_once(
    place: Home, grader: Grader
) -> None:
    """R23"""
    place.start("run", FIRST)
    wait_until(lambda: grader.asked[FIRST])
    waiting = place.start("run", SECOND)
    wait_until(lambda: (SECOND, "STARTED") in place.runs())
    wait_until(lambda: "Waits for its turn at the API" in place.said("run"))
    assert f"of {FIRST} has (API_CONCURRENCY=1)" in place.said("run")
    time.sleep(3)
    process = psutil.Process(waiting.pid)
    before = process.cpu_times().user
    time.sleep(4)
    assert process.cpu_times().user - before < 1
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(15) == 130
    assert grader.asked == {FIRST: 1}


def test_a_run_of_dagsters_own_tools_is_left_alone(place: Home, grader: Grader) -> None:
    """R19"""
    grader.latency_s = 12
    place.environment["API_CONCURRENCY"] = "2"
    bare = bare_tool(place, FIRST)
    wait_until(lambda: grader.asked[FIRST])
    assert place.lms("run", SECOND).returncode == 0
    assert bare.wait(120) == 0
    assert place.runs() == [(FIRST, "SUCCESS"), (SECOND, "SUCCESS")]


def test_a_killed_run_is_seen_as_dead_whoever_had_started_it_and_its_turn_is_free(
    place: Home, grader: Grader
) -> None:
    """R20"""
    bare = bare_tool(place, FIRST)
    wait_until(lambda: grader.asked[FIRST])
    os.kill(bare.pid, signal.SIGKILL)
    bare.wait(10)
    grader.latency_s = 0
    said = place.lms("run", SECOND)
    assert (said.returncode, "Waits" in said.stderr) == (0, False)
    assert place.runs() == [(FIRST, "FAILURE"), (SECOND, "SUCCESS")]
    assert place.letters() == [("failure", "sent"), ("success", "sent")]
