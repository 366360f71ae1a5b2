"""`lms up`: a real daemon, killed and started again, beside other commands."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta

import psutil
import pytest

from lms_assets_tests.api_server import ApiServer, free_port
from lms_assets_tests.daemons import Up, begin, up
from lms_assets_tests.homes import LMS, Grader, Home, descendants_of, end, home, wait_until

pytestmark = pytest.mark.slow

NOW = datetime.now(UTC)
# An hour that has passed wherever the clock stands, so that yesterday is due.
HOUR = (NOW - timedelta(hours=3)).hour


def ago(days: int) -> date:
    return NOW.date() - timedelta(days=days)


AUTOMATION = """
query {
  schedulesOrError(repositorySelector:
    {repositoryName: "__repository__", repositoryLocationName: "lms_assets"}) {
    ... on Schedules { results { name scheduleState { status } } } }
  sensorsOrError(repositorySelector:
    {repositoryName: "__repository__", repositoryLocationName: "lms_assets"}) {
    ... on Sensors { results { name sensorState { status } } } }
}
"""


@pytest.fixture(scope="module")
def grader() -> Grader:
    return Grader()


@pytest.fixture(scope="module")
def here(grader: Grader) -> Iterator[Up]:
    with up(grader, lms_first_day=ago(9), lms_catch_up_days=0) as here:
        yield here


def test_schedule_and_sensors_are_on_after_the_first_start(here: Up) -> None:
    said = here.ask(AUTOMATION)
    (schedule,) = said["schedulesOrError"]["results"]
    states = {
        one["name"]: one["sensorState"]["status"] for one in said["sensorsOrError"]["results"]
    }
    assert schedule["scheduleState"]["status"] == "RUNNING"
    assert states == dict.fromkeys(
        ["run_succeeded", "run_failed", "letters", "batches", "missing", "purge"], "RUNNING"
    )


def test_a_run_in_a_terminal_beside_the_daemon_has_one_letter(here: Up) -> None:
    assert here.place.lms("run", str(ago(3))).returncode == 0
    before = {name: here.ticks(name) for name in ("run_succeeded", "letters")}
    wait_until(lambda: all(here.ticks(name) >= n + 2 for name, n in before.items()))
    rows = here.place.rows("select kind, status from letters where day = :day", day=ago(3))
    assert rows == [{"kind": "success", "status": "sent"}]


def test_a_backfill_beside_the_daemon_has_one_publication_and_one_letter(
    here: Up,
) -> None:
    assert here.place.lms("backfill", str(ago(8)), str(ago(6))).returncode == 0
    before = here.ticks("batches")
    wait_until(lambda: here.ticks("batches") >= before + 2)
    rows = here.place.rows("select kind, status from letters where day = :day", day=ago(6))
    assert rows == [{"kind": "history", "status": "sent"}]
    assert [day for day, _ in here.place.runs("publication")] == [str(ago(6))]


RUNS_OF_THE_LOCATION = """
query { runsOrError(filter: {tags: [
    {key: ".dagster/repository", value: "__repository__@lms_assets"}]}) {
  ... on Runs { results { runId jobName repositoryOrigin { repositoryName } tags { key } } } } }
"""
EXECUTE_AGAIN = """
mutation($id: String!) { launchRunReexecution(
    reexecutionParams: {parentRunId: $id, strategy: ALL_STEPS}) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""


def test_runs_of_the_command_stand_in_the_page_and_can_be_executed_again_there(here: Up) -> None:
    """R56, R10: what is executed again is published and told of like a run by itself."""
    assert here.place.lms("backfill", "--again", str(ago(5)), str(ago(5))).returncode == 0
    runs = here.ask(RUNS_OF_THE_LOCATION)["runsOrError"]["results"]
    (run,) = [one for one in runs if one["jobName"] == "daily_attempts"][:1]
    assert run["repositoryOrigin"] == {"repositoryName": "__repository__"}
    assert {tag["key"] for tag in run["tags"]} & {"lms/pid", "lms/process_started"} == set()

    launched = here.ask(EXECUTE_AGAIN, id=run["runId"])["launchRunReexecution"]

    assert launched["__typename"] == "LaunchRunSuccess", launched
    again = launched["run"]["runId"]
    told = "select status from letters where run_id = :run and batch is null"
    wait_until(lambda: here.place.rows(told, run=again) == [{"status": "sent"}])


def test_a_second_up_in_the_same_home_is_refused(here: Up) -> None:
    said = here.place.lms("up", "--port", str(free_port()))
    assert said.returncode == 1
    assert "It is up already" in said.stdout


def test_the_daemon_is_a_sign_of_life(here: Up) -> None:
    wait_until(lambda: "daemon      works" in here.place.lms("doctor", "--alive").stdout)


@pytest.fixture
def place(grader: Grader) -> Iterator[Home]:
    """A home of its own over the same API, which answers at once again."""
    grader.latency_s, grader.failing = 0, set()
    with (
        ApiServer(grader) as api,
        home(api, lms_first_day=ago(3), lms_catch_up_days=0, lms_hour=HOUR) as place,
    ):
        yield place


def test_every_day_of_a_pause_is_run_on_return_with_one_letter(place: Home) -> None:
    assert place.lms("run", str(ago(3))).returncode == 0
    place.environment["LMS_CATCH_UP_DAYS"] = "30"
    begin(place, free_port())
    wait_until(lambda: place.loaded() == [str(ago(3)), str(ago(2)), str(ago(1))])
    wait_until(lambda: len(place.letters()) == 2 and place.letters()[-1][1] == "sent")
    told = place.rows("select facts from letters order by id")
    assert place.letters() == [("success", "sent"), ("history", "sent")], told[-1]
    assert len(place.runs("publication")) == 1


def test_a_run_that_died_with_the_machine_is_failed_has_a_letter_and_runs_again(
    place: Home, grader: Grader
) -> None:
    grader.latency_s = 600
    place.environment |= {"LMS_CATCH_UP_DAYS": "1", "API_CONCURRENCY": "1"}
    port = free_port()
    begin(place, port)
    wait_until(lambda: grader.asked[str(ago(1))])
    wait_until(lambda: place.runs() == [(str(ago(1)), "STARTED")])
    machine = place.started[-1]
    # Runs are children of the code servers, which the daemon and the page have started.
    everything = [machine, *descendants_of(machine.pid)]
    for process in everything:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            process.kill()
    machine.wait(10)
    assert place.runs() == [(str(ago(1)), "STARTED")]

    grader.latency_s = 0
    begin(place, port)

    assert "1 runs of a process that died were marked failed" in place.said("up")
    assert place.runs()[0] == (str(ago(1)), "FAILURE")
    wait_until(lambda: place.letters() == [("failure", "sent")])
    # The one place at the API is free again.
    assert place.lms("run", str(ago(1))).returncode == 0
    assert place.letters() == [("failure", "sent"), ("recovered", "sent")]


def test_processes_that_a_killed_up_left_are_ended_by_the_next_up(place: Home) -> None:
    port = free_port()
    begin(place, port)
    killed = place.started[-1]
    left = descendants_of(killed.pid)
    killed.kill()
    killed.wait(10)
    assert any(process.is_running() for process in left)
    begin(place, port)
    psutil.wait_procs(left, timeout=20)
    assert not any(process.is_running() for process in left)


def test_a_list_of_leftovers_that_was_cut_by_a_loss_of_power_stops_no_start(place: Home) -> None:
    up = place.folder / "dagster" / "up.json"
    up.parent.mkdir(exist_ok=True)
    up.write_text("[[4711, 17")
    begin(place, free_port())
    assert json.loads(up.read_text())


def test_ctrl_c_ends_the_processes_of_up_and_no_others_also_in_the_background(
    place: Home,
) -> None:
    # As a shell without job control starts it: deaf to SIGINT unless it listens again.
    script = f'sleep 600 & echo $!; "{LMS}" up --port {free_port()} > "$LOG" 2>&1 & echo $!; wait'
    log = place.folder / "background.log"
    shell = subprocess.Popen(
        ["sh", "-c", script],
        env={**place.environment, "LOG": str(log)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert shell.stdout is not None
    bystander, pid = (int(shell.stdout.readline()) for _ in range(2))
    try:
        wait_until(lambda: log.exists() and "Daemon       ready" in log.read_text())
        started = [psutil.Process(pid), *descendants_of(pid)]
        assert len(started) >= 3
        os.kill(pid, signal.SIGINT)
        _, alive = psutil.wait_procs(started, timeout=40)
        assert alive == []
        assert psutil.pid_exists(bystander)
        assert "Stopping" in log.read_text()
        assert "Traceback" not in log.read_text()
    finally:
        with suppress(ProcessLookupError):
            os.kill(bystander, signal.SIGKILL)
        end(shell)


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(place: Home) -> None:  # R34
    place.environment |= {"http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"}
    place.environment |= {"no_proxy": "", "NO_PROXY": ""}
    begin(place, free_port())


def test_definitions_that_cannot_be_loaded_are_no_readiness(place: Home) -> None:  # R42
    folder = place.folder / ("t" * 100)
    folder.mkdir()
    place.environment["TMPDIR"] = str(folder)
    said = place.lms("up", "--port", str(free_port()))
    assert said.returncode == 1
    assert "Daemon       ready" not in said.stdout
    assert "is too long for a socket's path" in said.stdout
