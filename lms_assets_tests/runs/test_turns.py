"""Turns at the API: how many at once, and what those who wait are told."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.turns import ApiTurns
from lms_assets_tests.homes import wait_until

HOLDER = """
import sys, time
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.turns import ApiTurns
turns = ApiTurns(api="https://api", at_once=1)
with turns.turn(Warehouse(url=sys.argv[1]), name="run 1234 of 2025-03-01", tell=print):
    print("has its turn", flush=True)
    time.sleep(600)
"""


def test_no_more_runs_than_set_ask_at_once_and_the_waiting_ones_know_for_whom_they_wait(
    warehouse: Warehouse,
) -> None:
    """R23"""
    turns = ApiTurns(api="https://api", at_once=2)
    may_end = Event()
    told: list[str] = []
    done: list[str] = []

    def ask(name: str) -> None:
        with turns.turn(warehouse, name=name, tell=told.append):
            done.append(name)
            may_end.wait(30)

    with ThreadPoolExecutor(3) as threads:
        for name in ("run of Monday", "run of Tuesday", "run of Wednesday"):
            threads.submit(ask, name)
        wait_until(lambda: told, within_s=20)
        asking = ", ".join(sorted(done))
        assert told == [f"Waits for its turn at the API, which {asking} have (API_CONCURRENCY=2)."]
        assert len(done) == 2
        may_end.set()
    assert len(done) == 3


def test_another_api_has_turns_of_its_own(warehouse: Warehouse) -> None:
    told: list[str] = []
    one, other = ApiTurns(api="https://a", at_once=1), ApiTurns(api="https://b", at_once=1)
    with (
        one.turn(warehouse, name="one", tell=told.append),
        other.turn(warehouse, name="other", tell=told.append),
    ):
        assert told == []


def test_the_turn_of_a_killed_process_is_free(warehouse: Warehouse) -> None:
    """R20"""
    turns = ApiTurns(api="https://api", at_once=1)
    command = [sys.executable, "-c", HOLDER, warehouse.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "has its turn\n"
        assert "which run 1234 of 2025-03-01 has (" in turns.waits_for(warehouse)
        process.kill()
    with turns.turn(warehouse, name="next", tell=lambda _: None):
        assert "which next has (" in turns.waits_for(warehouse)
