"""How large `report.html` is with years of days and many tasks, and how soon it shows them."""

import statistics
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Browser

from benchmarks.results import Row
from lms_assets.statistics.names import Names
from lms_assets.statistics.page.build import render, vega_bundle
from lms_assets_tests.browser import chromium
from lms_assets_tests.statistics.page.page_figures import large

LARGEST_MB = 5
SLOWEST_FIRST_CHART_S = 2.0
CHARTS = 11

MARKS = """() => {
  const at = (name) => performance.getEntriesByName(name)[0]?.startTime;
  const marks = performance.getEntriesByType("mark").map((mark) => mark.startTime);
  return {
    "first contents": at("first-contentful-paint"),
    "first chart": Math.min(...marks),
    "last chart": Math.max(...marks),
  };
}"""


def opened(browser: Browser, file: Path) -> dict[str, float]:
    with browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        page = context.new_page()
        page.goto(file.as_uri())
        page.wait_for_function(f"document.body.dataset.drawn === '{CHARTS}'")
        return dict(page.evaluate(MARKS))


def rows(*, days: int = 1096, courses: int = 20, tasks: int = 2_000, times: int = 5) -> list[Row]:
    """Size and speed of the page of so many days."""
    figures = large(days=days, courses=courses, tasks=tasks)
    html = render(
        figures, language="en", names=Names(), made_at=datetime.now(UTC), vega=vega_bundle()
    )
    size_mb = len(html.encode()) / 1024**2
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        file = Path(folder) / "report.html"
        file.write_text(html, encoding="utf-8")
        runs = [opened(browser, file) for _ in range(times)]
    first_s = statistics.median(run["first chart"] for run in runs) / 1000
    what = f"{days:,} days, {courses} courses, {tasks:,} tasks"
    return [
        Row(f"the page's first chart, {what}", first_s, None, SLOWEST_FIRST_CHART_S),
        Row("the page's size against 5 MB", size_mb, size_mb / LARGEST_MB, 1.0, "5 MB"),
    ]
