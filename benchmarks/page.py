"""How large `report.html` is with three years of days and 2,000 tasks, and how soon it shows them.

Run: .venv/bin/python -m benchmarks.page [--days 1096] [--courses 20] [--tasks 2000] [--times 5]

Prints the size, the time to make the page, and in headless Chromium, from the start of the
navigation, the medians until the first paint with contents, the first chart and the last one.
Limits: under 5 MB, under 2 s to the first chart.
"""

import argparse
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Browser

from lms_assets.statistics.names import Names
from lms_assets.statistics.page.build import render, vega_bundle
from lms_assets_tests.browser import chromium
from lms_assets_tests.statistics.page.page_figures import large

LARGEST_MB = 5
SLOWEST_FIRST_CHART_MS = 2_000
CHARTS = 8

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


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("days", 1096), ("courses", 20), ("tasks", 2_000), ("times", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    return parser.parse_args()


def main() -> int:
    given = arguments()
    figures = large(days=given.days, courses=given.courses, tasks=given.tasks)
    vega_bundle()
    began = time.perf_counter()
    html = render(figures, language="en", names=Names(), made_at=datetime.now(UTC))
    size_mb = len(html.encode()) / 1024**2
    print(f"made in            {time.perf_counter() - began:8.2f} s")
    print(f"size               {size_mb:8.2f} MB (limit {LARGEST_MB})")
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        file = Path(folder) / "report.html"
        file.write_text(html, encoding="utf-8")
        runs = [opened(browser, file) for _ in range(given.times)]
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    for name, median in medians.items():
        print(f"{name:18} {median:8.0f} ms")
    too_slow = medians["first chart"] >= SLOWEST_FIRST_CHART_MS
    return int(size_mb >= LARGEST_MB or too_slow)


if __name__ == "__main__":
    sys.exit(main())
