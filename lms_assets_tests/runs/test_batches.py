"""When a batch waits, publishes and is told of; who leads it."""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pytest

from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.batches import (
    ABANDONED_AFTER,
    Batch,
    BatchRun,
    close_batch,
    leading,
    newest_good_day,
    next_step,
    open_batch,
    open_batches,
    runs_of,
)
from lms_assets.runs.tags import RETRIED_AS_TAG, batch_of, publishes
from lms_assets_tests.tiny_runs import ran

NOW = datetime(2025, 7, 10, 12, tzinfo=UTC)
DAYS = ("2025-07-01", "2025-07-02")
GOOD, BAD = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE


def batch(*days: str, is_led: bool = False) -> Batch:
    return Batch("b", "backfill", days, NOW - timedelta(hours=1), is_led)


def run(
    day: str,
    status: dg.DagsterRunStatus = GOOD,
    *,
    publishes: bool = False,
    will_be_retried: bool = False,
    ago: timedelta = timedelta(seconds=5),
) -> BatchRun:
    return BatchRun(f"run {day}", day, status, publishes, will_be_retried, NOW - ago)


def test_a_batch_publishes_when_its_last_run_has_ended() -> None:
    assert next_step(batch(*DAYS), [run(DAYS[0]), run(DAYS[1])], now=NOW) == "publish"


@pytest.mark.parametrize(
    "status",
    [
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ],
)
def test_a_batch_waits_for_a_run_that_has_not_ended(status: dg.DagsterRunStatus) -> None:
    assert next_step(batch(*DAYS), [run(DAYS[0]), run(DAYS[1], status)], now=NOW) == "wait"


def test_a_batch_waits_for_a_failed_run_that_will_be_retried() -> None:
    runs = [run(DAYS[0]), run(DAYS[1], BAD, will_be_retried=True)]
    assert next_step(batch(*DAYS), runs, now=NOW) == "wait"


def test_a_batch_does_not_wait_for_ever_for_a_retry_that_nobody_makes() -> None:
    """Dagster retries no run of a backfill that was cancelled meanwhile."""
    runs = [run(DAYS[0]), run(DAYS[1], BAD, will_be_retried=True, ago=ABANDONED_AFTER)]
    assert next_step(batch(*DAYS), runs, now=NOW) == "publish"


def test_a_run_that_was_retried_is_over_when_the_other_one_is_there() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        run_id = ran(instance, date(2025, 7, 1), batch="b", dagster__will_retry="true")
        assert [one.will_be_retried for one in runs_of(instance, "b")] == [True]
        instance.add_run_tags(run_id, {RETRIED_AS_TAG: "another run"})
        assert [one.will_be_retried for one in runs_of(instance, "b")] == [False]


def test_a_batch_waits_for_a_day_that_has_no_run_yet() -> None:
    assert next_step(batch(*DAYS), [run(DAYS[0])], now=NOW) == "wait"


def test_a_batch_whose_days_nobody_requests_any_more_is_over() -> None:
    runs = [run(DAYS[0], ago=ABANDONED_AFTER)]
    assert next_step(batch(*DAYS), runs, now=NOW) == "publish"


def test_a_batch_of_unknown_days_is_over_when_no_more_runs_come() -> None:
    assert next_step(batch(), [run(DAYS[0])], now=NOW) == "wait"
    assert next_step(batch(), [run(DAYS[0], ago=ABANDONED_AFTER)], now=NOW) == "publish"


def test_a_batch_that_never_had_a_run_is_over_as_well() -> None:
    assert next_step(batch(*DAYS), [], now=NOW) == "letter"


def test_a_batch_is_left_to_the_command_that_leads_it() -> None:
    runs = [run(DAYS[0]), run(DAYS[1])]
    assert next_step(batch(*DAYS, is_led=True), runs, now=NOW) == "wait"


def test_a_batch_publishes_once_and_then_has_its_letter() -> None:
    days = [run(DAYS[0]), run(DAYS[1])]
    under_way = run(DAYS[1], dg.DagsterRunStatus.STARTED, publishes=True)
    assert next_step(batch(*DAYS), [*days, under_way], now=NOW) == "wait"
    assert next_step(batch(*DAYS), [*days, run(DAYS[1], publishes=True)], now=NOW) == "letter"


def test_a_failed_publication_has_a_letter_and_is_not_repeated() -> None:
    runs = [run(DAYS[0]), run(DAYS[1]), run(DAYS[1], BAD, publishes=True)]
    assert next_step(batch(*DAYS), runs, now=NOW) == "letter"


def test_a_batch_without_a_loaded_day_has_a_letter_but_no_publication() -> None:
    canceled = run(DAYS[1], dg.DagsterRunStatus.CANCELED)
    assert next_step(batch(*DAYS), [run(DAYS[0], BAD), canceled], now=NOW) == "letter"


def test_a_batch_is_published_under_its_newest_good_day() -> None:
    runs = [run("2025-07-01"), run("2025-07-02"), run("2025-07-03", BAD)]
    assert newest_good_day(runs) == date(2025, 7, 2)
    assert newest_good_day([run("2025-07-03", BAD)]) is None


def test_a_batch_is_open_until_it_is_closed(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        open_batch(connection, "b", kind="backfill", days=[date(2025, 7, 1)])
        open_batch(connection, "b", kind="schedule", days=[])
    with warehouse.begin() as connection:
        (found,) = open_batches(connection)
        close_batch(connection, "b")
        assert open_batches(connection) == []
    assert (found.kind, found.days, found.is_led) == ("backfill", ("2025-07-01",), False)


def test_a_batch_is_led_for_as_long_as_its_leader_lives(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        open_batch(connection, "led", kind="backfill", days=[])
        open_batch(connection, "left", kind="backfill", days=[])

    def led() -> dict[str, bool]:
        with warehouse.begin() as one, warehouse.begin() as other:
            open_batches(one)  # another who looks at the same time is no leader
            return {found.batch: found.is_led for found in open_batches(other)}

    with leading(warehouse, "led"):
        assert led() == {"led": True, "left": False}
    assert led() == {"led": False, "left": False}


def test_a_run_that_a_person_executes_again_is_a_single_run() -> None:
    """R10: the page keeps the tags of the first run, its batch too."""
    first = {"lms/batch": "b"}
    again = first | {"dagster/parent_run_id": "first"}
    assert (batch_of(first), publishes(first)) == ("b", False)
    assert (batch_of(again), publishes(again)) == (None, True)
    # Dagster's own retry goes on in the batch.
    assert batch_of(again | {"dagster/retry_number": "1"}) == "b"
