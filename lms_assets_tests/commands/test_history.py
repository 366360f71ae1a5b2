"""`lms backfill`, as a person calls it: the real command, a slow API, kills and Ctrl-C."""

import signal
from collections import Counter
from collections.abc import Iterator
from datetime import date

import psutil
import pytest
from sqlalchemy import text

from lms_assets_tests.api_server import ApiServer
from lms_assets_tests.homes import Grader, Home, descendants_of, end, home, wait_until

FIRST = "2025-03-01"


def days(first: int, last: int) -> list[str]:
    return [f"2025-03-{n:02d}" for n in range(first, last + 1)]


@pytest.fixture
def grader() -> Grader:
    return Grader(latency_s=0.5)


@pytest.fixture
def place(grader: Grader) -> Iterator[Home]:
    with ApiServer(grader) as api, home(api, lms_first_day=FIRST, api_concurrency=2) as place:
        yield place


def test_a_backfill_loads_each_day_alone_and_ends_with_those_that_failed(
    place: Home, grader: Grader
) -> None:
    grader.failing = {"2025-03-03"}
    said = place.lms("backfill", FIRST, "2025-03-06")

    assert said.returncode == 1
    assert said.stdout.splitlines() == [
        "2025-03-03  failed: The API refused the credentials (status 401). Check API_CLIENT and "
        "API_CLIENT_KEY, or ask the owners of the API for new ones.",
        "5 done, 1 failed.",
    ]
    assert "(6/6, 1 failed, 25 attempts" in said.stderr
    assert place.loaded() == [day for day in days(1, 6) if day != "2025-03-03"]
    assert grader.most_at_once == 2
    assert set(grader.asked.values()) == {1}
    # A run per day, one publication, one letter.
    statuses = ["SUCCESS", "SUCCESS", "FAILURE", "SUCCESS", "SUCCESS", "SUCCESS"]
    assert place.runs() == list(zip(days(1, 6), statuses, strict=True))
    assert place.runs("publication") == [("2025-03-06", "SUCCESS")]
    assert place.letters() == [("history", "sent")]

    # Mended and called again: only what is missing.
    grader.failing = set()
    said = place.lms("backfill", FIRST, "2025-03-06")
    assert (said.returncode, said.stdout) == (0, "1 done, 0 failed.\n")
    assert grader.asked["2025-03-03"] == 2
    assert sum(grader.asked.values()) == 7
    assert place.letters() == [("history", "sent"), ("recovered", "sent")]


@pytest.mark.slow
def test_days_already_loaded_are_left_out_unless_they_are_asked_for_again(
    place: Home, grader: Grader
) -> None:
    place.lms("backfill", FIRST, "2025-03-02")
    said = place.lms("backfill", FIRST, "2025-03-02")
    assert (said.returncode, said.stdout) == (0, "Nothing to do.\n")
    assert "2 days, of which 2 are loaded already." in said.stderr
    assert sum(grader.asked.values()) == 2
    assert place.lms("backfill", "--again", FIRST, "2025-03-02").returncode == 0
    assert sum(grader.asked.values()) == 4
    assert place.rows("select count(*) as n from attempts") == [{"n": 10}]


def test_a_letter_that_a_killed_command_recorded_is_sent_by_a_backfill_without_days(
    place: Home,
) -> None:
    place.lms("run", FIRST)
    [file] = (place.folder / "outbox").glob("*.eml")
    file.unlink()
    with place.warehouse.begin() as connection:
        connection.execute(text("update letters set status = 'waiting', delivered_to = '[]'"))
    said = place.lms("backfill", FIRST, FIRST)
    assert (said.returncode, said.stdout) == (0, "Nothing to do.\n")
    assert place.letters() == [("success", "sent")]
    assert [one.name for one in (place.folder / "outbox").glob("*.eml")] == [file.name]


@pytest.mark.slow
def test_a_backfill_whose_publication_failed_is_published_when_it_is_called_again(
    place: Home,
) -> None:
    workbook = place.folder / "statistics.xlsx"
    workbook.mkdir()
    said = place.lms("backfill", FIRST, "2025-03-02")
    assert said.returncode == 1
    assert said.stdout == "2 done, 0 failed.\n"
    assert said.stderr.splitlines()[-1].startswith("lms: Publication failed: ")
    assert place.letters() == [("failure", "sent")]

    workbook.rmdir()
    said = place.lms("backfill", FIRST, "2025-03-02")
    assert (said.returncode, said.stdout) == (0, "Published.\n")
    assert workbook.is_file()
    assert place.letters() == [("failure", "sent"), ("recovered", "sent")]
    assert len(place.runs()) == 2
    said = place.lms("backfill", FIRST, "2025-03-02")
    assert (said.returncode, said.stdout) == (0, "Nothing to do.\n")


@pytest.mark.slow
def test_a_backfill_killed_between_the_merge_and_the_figures_computes_them_at_the_next_call(
    place: Home,
) -> None:  # R8
    begun = "select 1 from load_ledger"
    with place.warehouse.begin() as other:
        other.execute(text("lock table student_hours in access exclusive mode"))
        killed = place.start("backfill", FIRST, FIRST)
        wait_until(lambda: place.rows(begun))
        end(killed, with_signal=signal.SIGKILL)
    assert place.rows("select count(*) as n from daily_statistics") == [{"n": 0}]

    said = place.lms("backfill", FIRST, FIRST)

    assert (said.returncode, said.stdout) == (0, "1 done, 0 failed.\n")
    assert place.rows("select day, attempts from daily_statistics") == [
        {"day": date(2025, 3, 1), "attempts": 5}
    ]


@pytest.mark.slow
def test_days_asked_for_again_are_asked_for_again_after_a_kill(
    place: Home, grader: Grader
) -> None:  # R13
    place.lms("backfill", FIRST, "2025-03-04")
    grader.latency_s = 3
    grader.asked.clear()
    killed = place.start("backfill", "--again", FIRST, "2025-03-04")
    wait_until(lambda: grader.asked)
    end(killed, with_signal=signal.SIGKILL)
    grader.latency_s = 0
    grader.asked.clear()
    said = place.lms("backfill", "--again", FIRST, "2025-03-04")
    assert (said.returncode, said.stdout) == (0, "4 done, 0 failed.\n")
    assert set(grader.asked) == set(days(1, 4))
    said = place.lms("reclean", FIRST, "2025-03-04")
    assert (said.returncode, said.stdout) == (0, "4 done, 0 failed.\n")


@pytest.mark.slow
def test_two_backfills_at_once_ask_no_more_of_the_api_than_one(place: Home, grader: Grader) -> None:
    grader.latency_s = 1.5
    first = place.start("backfill", FIRST, "2025-03-06")
    second = place.start("backfill", "2025-03-07", "2025-03-12")
    assert first.wait(240) == 0
    assert second.wait(240) == 0
    assert place.loaded() == days(1, 12)
    assert grader.most_at_once == 2
    assert place.letters() == [("history", "sent"), ("history", "sent")]
    assert len(place.runs("publication")) == 2


def is_gone(processes: list[psutil.Process]) -> bool:
    return not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


@pytest.mark.slow
def test_a_backfill_that_was_killed_goes_on_when_it_is_called_again(
    place: Home, grader: Grader
) -> None:
    killed = place.start("backfill", FIRST, "2025-03-12")
    wait_until(lambda: len(place.loaded()) >= 3)
    workers = descendants_of(killed.pid)
    killed.kill()
    assert killed.wait(10) == -signal.SIGKILL
    # Its workers end by themselves, after the day that they were at.
    wait_until(lambda: is_gone(workers), within_s=40)
    left = 12 - len(place.loaded())
    assert left > 0
    assert place.letters() == []

    said = place.lms("backfill", FIRST, "2025-03-12")

    assert (said.returncode, said.stdout) == (0, f"{left} done, 0 failed.\n")
    assert place.loaded() == days(1, 12)
    # One batch, with one letter and one publication, for both calls.
    assert place.letters() == [("history", "sent")]
    assert place.runs("publication") == [("2025-03-12", "SUCCESS")]
    assert place.rows("select facts->>'done' as done from letters") == [{"done": "12"}]
    assert Counter(status for _, status in place.runs()) == {"SUCCESS": 12}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_a_backfill_cleanly_and_leaves_nothing_running(
    place: Home, grader: Grader, number: int
) -> None:
    grader.latency_s = 2
    stopped = place.start("backfill", FIRST, "2025-03-12")
    wait_until(lambda: [status for _, status in place.runs()].count("SUCCESS") >= 2)
    workers = descendants_of(stopped.pid)

    stopped.send_signal(number)

    assert stopped.wait(60) == 130
    assert is_gone(workers)
    assert "Traceback" not in place.said("backfill")
    assert place.said("backfill").endswith("lms: stopped.\n")
    assert {status for _, status in place.runs()} <= {"SUCCESS", "FAILURE", "CANCELED"}
    assert place.letters() == [("history", "sent")]
    assert len(place.runs("publication")) == 1
    assert place.lms("backfill", FIRST, "2025-03-12").returncode == 0
    assert place.loaded() == days(1, 12)
    assert place.rows("select count(*) as n from daily_statistics") == [{"n": 12}]


@pytest.mark.slow
def test_a_worker_that_dies_fails_its_day_alone(place: Home, grader: Grader) -> None:
    grader.latency_s = 3
    backfill = place.start("backfill", FIRST, "2025-03-05")
    wait_until(lambda: sum(grader.asked.values()) >= 2)
    worker = next(one for one in descendants_of(backfill.pid) if "history" in str(one.cmdline()))
    worker.kill()
    assert backfill.wait(120) == 1
    assert Counter(status for _, status in place.runs()) == {"SUCCESS": 4, "FAILURE": 1}
    assert "4 done, 1 failed." in place.said("backfill")
    assert "failed: The run was interrupted" in place.said("backfill")
    assert place.letters() == [("history", "sent")]


@pytest.mark.slow
def test_a_run_that_is_stopped_by_ctrl_c_ends_with_130(place: Home, grader: Grader) -> None:
    grader.latency_s = 20
    run = place.start("run", FIRST)
    wait_until(lambda: grader.asked)
    run.send_signal(signal.SIGINT)
    assert run.wait(15) == 130
    assert "Traceback" not in place.said("run")
    ((_, status),) = place.runs()
    assert status in {"FAILURE", "CANCELED"}
