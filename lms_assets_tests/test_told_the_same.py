"""One cause and one remedy, told by the command, by doctor, in the letter and on the page."""

import email
import email.policy
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from html import unescape

import pytest

from lms_assets.faults import PermanentFault
from lms_assets_tests.daemons import Up, up
from lms_assets_tests.homes import Grader, Home, wait_until
from lms_assets_tests.sheets_server import ADDRESS, SheetsServer

pytestmark = pytest.mark.slow

WHY = """
query($id: ID!) { runOrError(runId: $id) { ... on Run { eventConnection { events {
    ... on ExecutionStepFailureEvent { stepKey error { message } } } } } } }
"""


def ago(days: int) -> date:
    return datetime.now(UTC).date() - timedelta(days=days)


@pytest.fixture(scope="module")
def sheets() -> Iterator[SheetsServer]:
    with SheetsServer() as sheets:
        yield sheets


@pytest.fixture(scope="module")
def grader() -> Grader:
    return Grader()


@pytest.fixture(scope="module")
def here(grader: Grader, sheets: SheetsServer) -> Iterator[Up]:
    named = {
        "google_sheets_api_url": sheets.url,
        "google_sheets_credentials_base64": sheets.credentials_base64(),
        "spreadsheet_id": sheets.spreadsheet_id,
    }
    with up(grader, lms_first_day=ago(9), lms_catch_up_days=0, **named) as here:
        yield here


def one_line(said: str) -> str:
    return re.sub(r"\s+", " ", said)


def letters(place: Home) -> Iterator[tuple[str, str]]:
    """The plain text and the HTML of each letter, oldest first."""
    for file in sorted((place.folder / "outbox").glob("*.eml")):
        letter = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
        plain, rich = letter.get_body(["plain"]), letter.get_body(["html"])
        assert plain is not None
        assert rich is not None
        yield one_line(plain.get_content()), one_line(unescape(rich.get_content()))


def on_the_page(here: Up, day: date) -> str:
    """What Dagster's page shows of the day's failed step."""
    (run,) = here.place.rows(
        "select run_id from dagster.runs where partition = :day and pipeline_name = "
        "'daily_attempts' order by id desc limit 1",
        day=str(day),
    )
    events = here.ask(WHY, id=run["run_id"])["runOrError"]["eventConnection"]["events"]
    return one_line(" ".join(event["error"]["message"] for event in events if event))


def told_in_four_places(here: Up, fault: PermanentFault, day: date) -> None:
    cause, remedy = fault.cause(), fault.remedy()
    before = len(list(letters(here.place)))
    failed = here.place.lms("run", str(day))
    assert failed.returncode == 1
    wait_until(lambda: len(list(letters(here.place))) > before)
    plain, rich = list(letters(here.place))[-1]
    doctor = here.place.lms("doctor")
    assert doctor.returncode == 1
    for said in (failed.stdout, doctor.stdout, plain, rich, on_the_page(here, day)):
        assert (cause in one_line(said), remedy in one_line(said)) == (True, True), said


def test_a_wrong_password_of_the_api(here: Up, grader: Grader) -> None:
    # doctor asks for a second of a year ago.
    grader.failing = {str(ago(2)), "2024-01-01"}
    told_in_four_places(here, PermanentFault("api.credentials_refused", status=401), ago(2))
    grader.failing = set()


def test_a_spreadsheet_that_is_not_shared(here: Up, sheets: SheetsServer) -> None:
    sheets.is_shared = False
    told_in_four_places(here, PermanentFault("sheet.not_shared", address=ADDRESS), ago(3))
    sheets.is_shared = True
