"""Dagster's page, clicked in a real browser: the graph, a day, a history, a failure."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from lms_assets_tests.browser import chromium
from lms_assets_tests.daemons import ASSETS, Up, up
from lms_assets_tests.homes import Grader, wait_until

SCREENSHOTS = Path(__file__).resolve().parents[1] / "build" / "screenshots"
NOW = datetime.now(UTC)
SOON_MS = 60_000


def ago(days: int) -> date:
    return NOW.date() - timedelta(days=days)


@pytest.fixture(scope="module")
def grader() -> Grader:
    return Grader(str(ago(8)))


@pytest.fixture(scope="module")
def here(grader: Grader) -> Iterator[Up]:
    # One day was loaded before; nothing is caught up by itself while the test clicks.
    with up(grader, lms_first_day=ago(9), lms_catch_up_days=0) as here:
        yield here


@pytest.fixture
def page(here: Up) -> Iterator[Page]:
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(SOON_MS)
        yield page


def shown(page: Page, name: str) -> None:
    """A picture of the page as it is now, kept beside the build."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


def open_graph(page: Page, here: Up) -> None:
    page.goto(f"{here.address}/asset-groups")
    page.get_by_role("button", name="Materialize all").wait_for()
    page.get_by_text("attempts", exact=True).first.wait_for()


def launch(page: Page, here: Up, days: str) -> None:
    """The dialog of the graph was filled in, and its button pressed."""
    open_graph(page, here)
    page.get_by_role("button", name="Materialize all").click()
    page.get_by_text("Partition selection").wait_for()
    page.locator("[role=dialog] input[type=text]").first.fill(days)
    page.keyboard.press("Tab")
    shown(page, f"launch-{len(days)}")
    button = page.get_by_role("button", name="Launch").last
    expect(button).to_be_enabled(timeout=SOON_MS)
    button.click()
    page.get_by_text("View", exact=True).wait_for()


def test_the_page_shows_the_whole_road_as_a_graph(page: Page, here: Up) -> None:
    open_graph(page, here)
    page.keyboard.press("Alt+E")
    for asset in ASSETS:
        expect(page.get_by_text(asset, exact=True).first).to_be_visible(timeout=SOON_MS)
    shown(page, "asset-graph")


@pytest.mark.slow
def test_the_page_warns_when_yesterday_is_not_loaded(page: Page, here: Up) -> None:
    wait_until(lambda: here.ticks("missing") >= 1)
    page.goto(f"{here.address}/assets/attempts_table?view=checks")
    page.get_by_text("yesterday_is_loaded").first.click()
    expect(page.get_by_text("is not loaded").first).to_be_visible(timeout=SOON_MS)
    shown(page, "yesterday-is-late")


@pytest.mark.slow
def test_a_day_is_materialized_by_clicks_and_its_figures_are_shown(page: Page, here: Up) -> None:
    day = str(ago(2))
    launch(page, here, day)
    wait_until(lambda: here.place.runs("__ASSET_JOB") == [(day, "SUCCESS")])
    page.goto(f"{here.address}/assets/attempts_table?view=partitions&partition={day}")
    expect(page.get_by_text("inserted", exact=True).first).to_be_visible(timeout=SOON_MS)
    shown(page, "a-day")
    wait_until(lambda: here.place.letters() == [("success", "sent")])


@pytest.mark.slow
def test_a_history_of_three_days_is_launched_by_clicks_with_one_letter_and_one_publication(
    page: Page, here: Up
) -> None:
    days = [str(ago(n)) for n in (6, 5, 4)]
    launch(page, here, f"[{days[0]}...{days[2]}]")
    wait_until(lambda: set(days) <= set(here.place.loaded()), within_s=180)
    wait_until(lambda: here.place.letters()[-1] == ("history", "sent"), within_s=180)
    assert [day for day, _ in here.place.runs("publication")] == [days[2]]
    (letter,) = here.place.rows("select facts from letters where kind = 'history'")
    assert (letter["facts"]["done"], letter["facts"]["failures"]) == (3, [])
    page.goto(f"{here.address}/assets/attempts_table?view=partitions")
    page.get_by_text(days[0]).first.wait_for()
    shown(page, "three-days")
    page.goto(f"{here.address}/runs")
    page.get_by_text("Success").first.wait_for()
    shown(page, "runs")


@pytest.mark.slow
def test_a_failing_day_is_red_and_says_why(page: Page, here: Up) -> None:
    day = str(ago(8))
    launch(page, here, day)
    wait_until(lambda: (day, "FAILURE") in here.place.runs("__ASSET_JOB"))
    (run,) = here.place.rows("select run_id from dagster.runs where partition = :day", day=day)
    page.goto(f"{here.address}/runs/{run['run_id']}")
    expect(page.get_by_text("Failure").first).to_be_visible(timeout=SOON_MS)
    cause = page.get_by_text("The API refused the credentials").first
    expect(cause).to_be_visible(timeout=SOON_MS)
    shown(page, "a-failing-day")
    assert "k3y-of-the-test" not in page.content()
    wait_until(lambda: here.place.letters()[-1] == ("failure", "sent"))
