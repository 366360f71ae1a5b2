"""What a person launches from Dagster's page, by its own GraphQL, beside a real daemon."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import openpyxl
import pytest

from lms_assets_tests.daemons import Up, backfill_in_page, up
from lms_assets_tests.homes import Grader, wait_until

pytestmark = pytest.mark.slow

UP_TO_THE_TABLE = ("raw_attempts", "cleaned_attempts", "attempts_table")
EXECUTE_AGAIN = """
mutation($id: String!, $steps: ReexecutionStrategy!) { launchRunReexecution(
    reexecutionParams: {parentRunId: $id, strategy: $steps}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }
"""


def ago(days: int) -> date:
    return datetime.now(UTC).date() - timedelta(days=days)


@pytest.fixture(scope="module")
def grader() -> Grader:
    return Grader()


@pytest.fixture(scope="module")
def here(grader: Grader) -> Iterator[Up]:
    with up(grader, lms_first_day=ago(9), lms_catch_up_days=0) as here:
        yield here


def executed_again(here: Up, run_id: str, steps: str = "FROM_FAILURE") -> str:
    said = here.ask(EXECUTE_AGAIN, id=run_id, steps=steps)["launchRunReexecution"]
    assert said["__typename"] == "LaunchRunSuccess", said
    return str(said["run"]["runId"])


def letter(here: Up, column: str, value: str) -> dict[str, Any]:
    """The letter of a run or of a batch, once it was sent."""
    statement = f"select kind, facts from letters where {column} = :value and status = 'sent'"
    wait_until(lambda: here.place.rows(statement, value=value))
    (row,) = here.place.rows(statement, value=value)
    return row


def figures(here: Up, days: Sequence[date]) -> list[int]:
    rows = here.place.rows(
        "select attempts from daily_statistics where day = any(:days) order by day",
        days=list(days),
    )
    return [row["attempts"] for row in rows]


def in_the_workbook(here: Up) -> dict[date, int]:
    daily = openpyxl.load_workbook(here.place.folder / "statistics.xlsx")["Daily"]
    return {day.date(): n for day, n in daily.iter_rows(2, max_col=2, values_only=True) if n}


def test_late_records_without_their_figures_are_noticed_reported_and_repaired(
    here: Up, grader: Grader
) -> None:
    """R12: the figures stayed old, while two days were told to be done."""
    days = [ago(9), ago(8)]
    assert here.place.lms("backfill", *map(str, days)).returncode == 0
    assert figures(here, days) == [5, 5]
    grader.students = 7

    batch = backfill_in_page(here.port, days, UP_TO_THE_TABLE)

    told = letter(here, "batch", batch)
    assert figures(here, days) == [7, 7]
    assert (told["kind"], told["facts"]["done"], told["facts"]["failures"]) == ("history", 2, [])
    assert {day: in_the_workbook(here)[day] for day in days} == dict.fromkeys(days, 7)
    assert not here.place.rows("select from lagging_days")
    assert "Nothing to do" in here.place.lms("backfill", *map(str, days)).stdout


def test_a_failed_day_of_a_batch_that_is_executed_again_has_a_letter_and_a_publication(
    here: Up, grader: Grader
) -> None:
    """R10: the new run has the tags of a batch that is closed, and nobody heard of it."""
    good, bad = ago(6), ago(5)
    grader.failing = {str(bad)}
    told = letter(here, "batch", backfill_in_page(here.port, [good, bad]))
    assert (told["facts"]["done"], len(told["facts"]["failures"])) == (1, 1)
    (failed,) = here.place.rows(
        "select run_id from dagster.runs where partition = :day and status = 'FAILURE'",
        day=str(bad),
    )

    again = executed_again(here, failed["run_id"])
    assert letter(here, "run_id", again)["kind"] == "failure"
    grader.failing = set()
    mended = executed_again(here, again)

    assert letter(here, "run_id", mended)["kind"] == "recovered"
    assert in_the_workbook(here)[bad] == figures(here, [bad])[0] == grader.students
    assert not here.place.rows("select from unpublished_changes")
    assert "Nothing to do" in here.place.lms("backfill", str(bad), str(bad)).stdout
