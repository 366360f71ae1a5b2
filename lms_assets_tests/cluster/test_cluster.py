"""Two workers of a cluster, each a process with a home of its own, over a real Redis."""

from collections.abc import Iterator
from datetime import date, timedelta

import pytest

from lms_assets_tests.cluster.machines import Cluster, cluster
from lms_assets_tests.driving import secrets_in_database, secrets_in_folder
from lms_assets_tests.homes import wait_until

pytestmark = pytest.mark.slow

FIRST = date(2025, 1, 1)
DAYS = 60
PATIENCE_S = 1500
UNFINISHED = {"NOT_STARTED", "QUEUED", "STARTING", "STARTED", "CANCELING"}


def names(days: int) -> list[str]:
    return [str(FIRST + timedelta(days=n)) for n in range(days)]


@pytest.mark.parametrize("keeps", [True, False], ids=["redis-keeps", "redis-forgets"])
def test_sixty_days_outlive_a_killed_worker_and_a_killed_redis(keeps: bool) -> None:
    """All are loaded, none twice; one letter, one publication, no run is left unfinished."""
    with cluster(latency_s=1, keeps=keeps, LMS_FIRST_DAY=str(FIRST)) as here:
        here.up()
        first, second = here.worker("first"), here.worker("second")
        here.backfill(FIRST, DAYS)
        wait_until(lambda: len(here.loaded()) >= DAYS // 6 and here.grader.open == 2)
        first.kill()
        wait_until(lambda: len(here.loaded()) >= DAYS // 3, within_s=PATIENCE_S)
        here.redis.stop()
        here.redis.start()
        wait_until(lambda: len(here.loaded()) >= DAYS // 2, within_s=PATIENCE_S)
        here.start_worker(first)
        wait_until(lambda: len(set(here.loaded())) == DAYS, within_s=PATIENCE_S)
        wait_until(lambda: here.letters() == [("history", "sent")], within_s=PATIENCE_S)
        wait_until(lambda: not here.runs().keys() & UNFINISHED)
        assert here.loaded() == names(DAYS)
        assert here.rows("select count(*) as n from attempts") == [{"n": 5 * DAYS}]
        assert here.runs() == {"SUCCESS": DAYS + 1, "FAILURE": 1}
        assert len(here.runs_of("publication")) == 1
        assert len(here.office.deliveries) == 1
        (letter,) = here.rows("select facts from letters")
        assert (letter["facts"]["done"], letter["facts"]["failures"]) == (DAYS, [])
        assert here.grader.most_at_once == 2
        assert second.processes[0].poll() is None


@pytest.fixture(scope="module")
def pair() -> Iterator[Cluster]:
    """The page and one worker, over an API that takes five seconds."""
    with cluster(latency_s=5, LMS_FIRST_DAY=str(FIRST)) as here:
        here.up()
        here.worker("worker")
        yield here


def test_a_run_is_cancelled_in_the_page_wherever_its_process_is(pair: Cluster) -> None:
    """One that has begun is interrupted; one that waits for the worker never begins."""
    pair.backfill(FIRST, 2)
    wait_until(lambda: pair.grader.open == 1 and pair.runs().get("STARTING") == 1)
    rows = pair.rows("select run_id, status from dagster.runs order by status")
    (waiting,) = [row["run_id"] for row in rows if row["status"] == "STARTING"]
    (running,) = [row["run_id"] for row in rows if row["status"] == "STARTED"]
    asked = pair.grader.asked.total()
    pair.cancel(waiting, at_once=True)
    pair.cancel(running)
    wait_until(lambda: pair.runs() == {"CANCELED": 2})
    assert pair.grader.asked.total() == asked
    assert pair.loaded() == []


def test_ctrl_c_lets_the_run_in_hand_end(pair: Cluster) -> None:
    worker = pair.machines["worker"]
    pair.backfill(FIRST + timedelta(days=5), 1)
    # The API may still be at the answer of a run that was cancelled.
    wait_until(lambda: pair.runs().get("STARTED") == 1 and pair.grader.open == 1)
    worker.end()
    assert worker.processes[-1].returncode == 0
    assert pair.runs()["SUCCESS"] == 1
    assert pair.loaded() == [str(FIRST + timedelta(days=5))]
    pair.start_worker(worker)


def test_the_page_of_figures_lies_in_the_lake(pair: Cluster) -> None:
    pair.backfill(FIRST + timedelta(days=7), 1)
    wait_until((pair.lake / "report.html").exists)
    assert "</html>" in (pair.lake / "report.html").read_text(encoding="utf-8")
    for machine in pair.machines.values():
        assert not (machine.place.home / "report.html").exists()


def test_doctor_counts_the_workers_that_answer(pair: Cluster) -> None:
    said = pair.machines["up"].place.lms("doctor")
    assert "workers     works  1 answer" in said.out, said.out + said.err


def test_the_brokers_password_is_left_nowhere(pair: Cluster) -> None:
    secrets = {"password": pair.redis.password, "in the address": pair.redis.url}
    for machine in pair.machines.values():
        assert secrets_in_folder(machine.place.folder, secrets) == []
    assert secrets_in_database(pair.warehouse.url, secrets) == []


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"LMS_FIRST_DAY": "2025-02-01"}, "LMS_FIRST_DAY=2025-02-01 (./lms up: 2025-01-01)"),
        ({"LMS_KEY": "f" * 64}, "LMS_KEY"),
        ({"LMS_LAKE": "elsewhere"}, "LMS_LAKE"),
    ],
)
def test_a_worker_with_other_settings_is_refused(
    pair: Cluster, settings: dict[str, str], named: str
) -> None:
    said = pair.machine("other", **settings).place.lms("worker")
    assert said.code == 2
    assert named in said.err.replace("\n", " ")


def test_a_worker_that_an_up_with_other_settings_overtook_ends_and_its_run_waits() -> None:
    """The run is done once, by a worker that has the new settings."""
    with cluster(LMS_FIRST_DAY=str(FIRST)) as here:
        up, old = here.up(), here.worker("old")
        here.backfill(FIRST, 1)
        wait_until(lambda: here.loaded() == names(1))
        up.end()
        here.settings["API_CONCURRENCY"] = "2"
        here.up()
        here.backfill(FIRST + timedelta(days=1), 1)
        wait_until(lambda: old.processes[-1].poll() is not None)
        assert old.processes[-1].returncode == 2
        assert "API_CONCURRENCY=4 (./lms up: 2)" in old.said().replace("\n", " ")
        assert here.loaded() == names(1)
        here.worker("new")
        wait_until(lambda: here.loaded() == names(2))
        wait_until(lambda: not here.runs().keys() & UNFINISHED)
        assert here.runs().keys() == {"SUCCESS"}
