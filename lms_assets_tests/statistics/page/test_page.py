import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import text

from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics import measures
from lms_assets.statistics.figures import FIGURES, definition_of, name_of
from lms_assets.statistics.names import Name, Names
from lms_assets.statistics.page.build import as_json_in_html, render, vega_bundle
from lms_assets.statistics.page.payload import change_pct
from lms_assets.statistics.page.queries import PageFigures, figures_for_page
from lms_assets.texts import Texts, catalogue
from lms_assets_tests.browser import chromium
from lms_assets_tests.statistics.page.page_figures import (
    PYTHON,
    PYTHON_HARD,
    SQL,
    SQL_TASK,
    large,
    small,
)

MADE_AT = datetime(2025, 7, 25, 4, 5, tzinfo=UTC)
MEGABYTE = 1024 * 1024
HOSTILE = "</script><script>window.stolen = 1</script><img src=x onerror='window.stolen = 1'>"
NAMES = Names(
    {
        (PYTHON, ""): Name("Python from zero", "https://lms.example.org/python"),
        (PYTHON, PYTHON_HARD): Name("Quick sort", "https://lms.example.org/python/sort"),
    }
)
CHARTS = [
    *("activity", "users", "success", "hardest", "items", "help", "time", "stops"),
    *("retention", "heat"),
]
DRAWN = len(CHARTS) + 1


def page_of(
    figures: PageFigures | None = None, *, language: str = "en", names: Names = NAMES
) -> str:
    return render(
        figures or small(), language=language, names=names, made_at=MADE_AT, vega=vega_bundle()
    )


def payload_of(html: str) -> dict[str, Any]:
    [payload] = re.findall(r'<script type="application/json" id="figures">(.*?)</script>', html)
    return dict(json.loads(payload))


class Loads(HTMLParser):
    """What a browser would fetch by itself: sources and linked sheets, never links to click."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        keys = {"src", "srcset", "data", "poster"} | ({"href"} if tag == "link" else set())
        self.found += [value or "" for key, value in attrs if key in keys]


# --- The file ---------------------------------------------------------------------------------


def test_the_page_loads_nothing() -> None:
    loads = Loads()
    loads.feed(page_of())
    assert loads.found == ["data:,"]


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_page_says_its_language_and_of_when_it_is(language: str) -> None:
    html = page_of(language=language)
    as_of = {
        "en": "As of the end of 24 July 2025 (Europe/Moscow)",
        "ru": "На конец дня 24 июля 2025 (Europe/Moscow)",
    }
    made = {
        "en": "Made 25 July 2025, 07:05 from 1,968 attempts",
        "ru": "Составлено 25 июля 2025, 07:05, попыток: 1\xa0968",
    }
    assert f'<html lang="{language}">' in html
    assert as_of[language] in html
    assert made[language] in html


def test_every_id_in_the_page_is_unique_and_every_description_exists() -> None:
    markup = page_of().split("<script")[0]
    ids = re.findall(r'\bid="([^"]+)"', markup)
    described = re.findall(r'aria-(?:describedby|labelledby)="([^"]+)"', markup)
    assert len(ids) == len(set(ids))
    assert set(described) <= set(ids)
    assert len(described) >= 18


def test_each_figure_stands_in_the_page_once_rounded_half_away_from_zero() -> None:
    payload = payload_of(page_of())
    assert payload["courses"][0]["title"] == "All courses"
    assert payload["overall"][0]["runs_per_submit"] == 0.13
    assert payload["overall"][0]["success_blind_pct"] == 20.3
    assert payload["overall"][0]["median_active_min"] == 18.2
    assert payload["overall"][0]["blind_pct"] == 87.5


def test_named_tasks_are_shown_by_title_and_other_tasks_by_short_ids() -> None:
    payload = payload_of(page_of())
    assert [c["title"] for c in payload["courses"]] == [
        "All courses",
        "Org+SQL+2025",
        "Python from zero",
    ]
    assert payload["tasks"]["title"] == ["Quick sort", "…44444444", "…22222222", "…33333333"]


def test_a_title_cannot_end_the_script_that_holds_it() -> None:
    names = Names({(PYTHON, ""): Name(HOSTILE), (PYTHON, PYTHON_HARD): Name(HOSTILE)})
    html = page_of(names=names)
    assert HOSTILE not in html
    assert payload_of(html)["tasks"]["title"][0] == HOSTILE


def test_json_in_html_is_the_same_json() -> None:
    value = {"a": "</script><!-- & \u2028 é", "b": [1, None, 2.5]}
    assert json.loads(as_json_in_html(value)) == value
    assert not set(as_json_in_html(value)) & set("<>&")


def test_the_bundle_cannot_end_its_script() -> None:
    assert "</script" not in vega_bundle()
    assert "<!--" not in vega_bundle()


@pytest.mark.parametrize(
    ("now", "before", "change"),
    [(862, 1600, -46.125), (12, 0, None), (5, None, None), (0, 4, -100.0), (None, 4, None)],
)
def test_a_change_from_nothing_is_unknown(
    now: float | None, before: float | None, change: float | None
) -> None:
    assert change_pct(now, before) == change


@pytest.mark.parametrize("language", ["en", "ru"])
def test_without_attempts_the_page_says_so(language: str) -> None:
    html = page_of(PageFigures(), language=language)
    empty = {"en": "There are no attempts yet.", "ru": "Попыток пока нет."}
    assert empty[language] in html
    assert "<script" not in html


def test_three_years_of_days_and_two_thousand_tasks_are_under_five_megabytes() -> None:
    assert len(page_of(large()).encode()) < 5 * MEGABYTE


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_page_calls_every_figure_as_the_registry_does(language: str) -> None:
    """R52: the page has no names of its own for figures."""
    html, texts = page_of(language=language), Texts(language)
    named = payload_of(html)["figures"]
    assert {f: known["name"] for f, known in named.items()} == {f: name_of(f, texts) for f in named}
    assert all(definition_of(f, texts) in unescape(html) for f in named if not FIGURES[f].pattern)
    own = {key.split(".")[1] for key in catalogue(language) if key.startswith("page.")}
    assert own & {"tile", "stat", "column", "define"} == set()


# --- From the database ------------------------------------------------------------------------


def load(warehouse: Warehouse, records: list[dict[str, Any]]) -> None:
    insert = text(
        "insert into attempts (user_id, attempt_type, is_correct, created_at, course, task)"
        " values (:user, :kind, :is_correct, :at, :course, :task)"
    )
    with warehouse.begin() as connection:
        connection.execute(insert, records)
        as_of = max(record["at"] for record in records).date()
        measures.refresh_all(connection, zone="UTC", as_of=as_of)


def recorded(data: Path) -> list[dict[str, Any]]:
    """Real attempts; their course and task cut out of what the API says."""
    found = []
    records = json.loads((data / "recodex_2017_attempts.json").read_text(encoding="utf-8"))
    for record in records:
        [sourcedid] = re.findall(r"'lis_result_sourcedid': '(.*?)'", record["passback_params"])
        course, task, _ = sourcedid.rsplit(":", 2)
        verdict = record["is_correct"]
        found.append(
            {
                "user": record["lti_user_id"],
                "kind": record["attempt_type"],
                "is_correct": None if verdict is None else bool(verdict),
                "at": datetime.fromisoformat(record["created_at"]),
                "course": course,
                "task": task,
            }
        )
    return found


def figures_in(warehouse: Warehouse) -> PageFigures:
    with warehouse.begin() as connection:
        return figures_for_page(connection)


def test_an_empty_database_gives_an_empty_page(warehouse: Warehouse) -> None:
    assert figures_in(warehouse) == PageFigures()


def test_a_week_is_the_sum_of_its_days_with_an_interval_of_its_own(warehouse: Warehouse) -> None:
    monday = datetime.fromisoformat("2025-07-21 09:00")
    load(
        warehouse,
        [
            {
                "user": f"student {n}",
                "kind": "submit",
                "is_correct": n < 3,
                "at": monday + timedelta(days=n % 7 if n < 9 else 7),
                "course": "c",
                "task": "t",
            }
            for n in range(10)
        ],
    )
    weeks = [week for week in figures_in(warehouse).weeks if week["course"] == ""]
    assert [(w["week"], w["attempts"], w["correct"], w["wrong"]) for w in weeks] == [
        (date(2025, 7, 21), 9, 3, 6),
        (date(2025, 7, 28), 1, 0, 1),
    ]
    assert weeks[0]["success_pct"] == pytest.approx(33.33, abs=0.01)
    assert weeks[0]["success_low_pct"] == pytest.approx(12.06, abs=0.01)
    assert weeks[0]["success_high_pct"] == pytest.approx(64.58, abs=0.01)


def test_no_student_of_the_real_attempts_is_in_the_page(warehouse: Warehouse, data: Path) -> None:
    attempts = recorded(data)
    load(warehouse, attempts)
    html = page_of(figures_in(warehouse), names=Names())
    assert [student for student in {a["user"] for a in attempts} if student in html] == []
    assert "user_id" not in html


# --- In a browser -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


class Trouble(list[str]):
    """What a page should not do: errors, warnings, requests."""

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.append(str(error)))
        page.on("console", lambda message: self.append(message.text))
        page.on("request", lambda request: self.requested(request.url))

    def requested(self, url: str) -> None:
        if not url.startswith(("file:", "data:")):
            self.append(url)


Open = Callable[..., Any]


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Open:
    """Opens a page as a file, waits until all is drawn, and holds it to silence at the end."""

    @contextmanager
    def open_(html: str, *, width: int = 1280, **context: Any) -> Iterator[Page]:  # noqa: ANN401
        file = tmp_path / "report.html"
        file.write_text(html, encoding="utf-8")
        trouble = Trouble()
        with browser.new_context(viewport={"width": width, "height": 900}, **context) as session:
            page = session.new_page()
            trouble.watch(page)
            page.goto(file.as_uri())
            drawn(page)
            yield page
        assert trouble == []

    return open_


def drawn(page: Page) -> None:
    page.wait_for_function(f"document.body.dataset.drawn === '{DRAWN}'")


def tile(page: Page, key: str, part: str = "value") -> str:
    return " ".join(page.locator(f'[data-tile="{key}"] .{part}').inner_text().split())


def note(page: Page, key: str) -> str:
    return page.locator(f'[data-note="{key}"]').inner_text().replace("\xa0", " ")


def table(page: Page, key: str) -> list[list[str]]:
    rows = page.locator(f'[data-table="{key}"] tbody tr').all()
    return [[c.inner_text().replace("\xa0", " ") for c in r.locator("th, td").all()] for r in rows]


def opened_table(page: Page, key: str) -> None:
    page.locator(f'[data-table="{key}"] summary').click()
    expect(page.locator(f'[data-table="{key}"] tbody tr').first).to_be_visible()


def colour(page: Page, selector: str, name: str = "background-color") -> str:
    script = "([selector, name]) => getComputedStyle(document.querySelector(selector))[name]"
    return str(page.evaluate(script, [selector, name]))


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("width", [360, 1280])
def test_every_chart_is_drawn_without_a_word_on_the_console(
    opened: Open, language: str, width: int
) -> None:
    with opened(page_of(language=language), width=width) as page:
        for name in CHARTS:
            expect(page.locator(f'[data-chart="{name}"] svg')).to_have_count(1)
            assert page.locator(f'[data-chart="{name}"]').get_attribute("aria-label")


def test_the_first_view_is_28_days_of_all_courses(opened: Open) -> None:
    with opened(page_of()) as page:
        shown = page.locator(".shown").inner_text()
        assert shown == "28 days: 27 Jun 2025 – 24 Jul 2025 · All courses"
        assert tile(page, "attempts") == "1,960"
        assert tile(page, "attempts", "note") == (
            "Attempts per student, mean: 13.1 · Attempts per student, median: 4.0"
        )
        assert tile(page, "users") == "150"
        assert tile(page, "success_pct") == "35.2 %"
        assert tile(page, "success_pct", "note") == "95 %: 32.3 – 38.1 % · n = 1,038"
        assert tile(page, "submits") == "1,038"
        assert tile(page, "correct_of_all_pct") == "18.6 %"
        assert tile(page, "run_to_success_pct") == "39.6 %"
        assert tile(page, "stuck") == "14"


def test_numbers_are_written_by_the_custom_of_the_language(opened: Open) -> None:
    with opened(page_of(language="ru")) as page:
        assert tile(page, "attempts") == "1 960"
        assert tile(page, "success_pct") == "35,2 %"
        assert "27 июн. 2025" in page.locator(".shown").inner_text()


def test_a_click_on_a_period_shows_its_numbers_and_its_trend(opened: Open) -> None:
    with opened(page_of()) as page:
        page.get_by_role("button", name="7 days").click()
        drawn(page)
        assert tile(page, "attempts") == "1,840"
        assert tile(page, "attempts", "trend") == "up ▲ 15.0 % · 1,600 in the 7 days before"
        assert tile(page, "users", "trend") == "up ▲ 20.0 % · 100 in the 7 days before"
        assert tile(page, "success_pct", "trend") == "down ▼ 4.7 pp · 40.0 % in the 7 days before"
        assert tile(page, "new_users", "trend") == "0 in the 7 days before"
        assert note(page, "activity") == "n = 1,840."
        expect(page.get_by_role("button", name="7 days")).to_have_attribute("aria-pressed", "true")
        expect(page.get_by_role("button", name="28 days")).to_have_attribute(
            "aria-pressed", "false"
        )


def test_where_the_history_does_not_reach_the_period_before_there_is_no_trend(
    opened: Open,
) -> None:
    """R63: no data is not 0. The history has 40 days."""
    with opened(page_of()) as page:
        assert tile(page, "attempts", "trend") == "data for 12 of the days before: 8"
        page.get_by_role("button", name="90 days").click()
        assert tile(page, "attempts", "trend") == "no data for the 90 days before"


def test_all_history_has_no_trend(opened: Open) -> None:
    with opened(page_of()) as page:
        page.get_by_role("button", name="All", exact=True).click()
        assert tile(page, "attempts") == "1,970"
        assert tile(page, "submits", "note") == (
            "Runs: 926 · Correct submits: 366 · Wrong submits: 676 · Ungraded submits: 2"
        )
        assert tile(page, "attempts", "trend") == ""
        assert "15 Jun 2025 – 24 Jul 2025" in page.locator(".shown").inner_text()


def test_a_course_shows_its_own_numbers_and_its_tasks_alone(opened: Open) -> None:
    with opened(page_of()) as page:
        page.get_by_label("Course").select_option("Org+SQL+2025")
        drawn(page)
        assert tile(page, "attempts") == "165"
        assert tile(page, "success_pct") == "21.5 %"
        assert tile(page, "stuck") == "1"
        assert [row[:4] for row in table(page, "hardest")] == [
            ["…44444444", "", "50.0 %", "23.7 – 76.3 %"]
        ]
        assert note(page, "heat").startswith("n = 23 attempts of the last 28 full days")


def test_a_course_without_attempts_in_the_period_shows_zero(opened: Open) -> None:
    with opened(page_of()) as page:
        page.get_by_label("Course").select_option("Python from zero")
        page.get_by_role("button", name="7 days").click()
        assert tile(page, "attempts") == "0"
        assert tile(page, "success_pct") == "—"
        link = page.locator(".shown a")
        assert link.get_attribute("href") == "https://lms.example.org/python"


def test_the_hardest_tasks_stand_first_with_their_interval_and_label(opened: Open) -> None:
    with opened(page_of()) as page:
        assert [row[:6] for row in table(page, "hardest")] == [
            ["Quick sort", "Python from zero", "hard", "2.9 %", "0.5 – 14.9 %", "34"],
            ["…44444444", "Org+SQL+2025", "", "50.0 %", "23.7 – 76.3 %", "10"],
            ["…22222222", "Python from zero", "very easy", "97.6 %", "91.5 – 99.3 %", "82"],
        ]
        assert note(page, "hardest") == (
            "3 of 4 tasks have at least 10 students: 1 hard, 1 very easy. Over the whole history."
        )


def test_a_task_says_how_many_of_its_students_need_help(opened: Open) -> None:
    with opened(page_of()) as page:
        assert [row[:4] for row in table(page, "help")] == [
            ["Quick sort", "Python from zero", "13", "1"],
            ["…44444444", "Org+SQL+2025", "1", "1"],
        ]
        label = page.locator('[data-chart="help"]').get_attribute("aria-label") or ""
        assert "Quick sort · Python from zero, 13 of 34" in label


def test_a_table_is_sorted_by_the_heading_that_was_pressed(opened: Open) -> None:
    with opened(page_of()) as page:
        heading = page.locator('[data-table="hardest"] thead button', has_text="First-try success")
        heading.click()
        assert [row[3] for row in table(page, "hardest")] == ["97.6 %", "50.0 %", "2.9 %"]
        page.keyboard.press("Enter")
        assert [row[3] for row in table(page, "hardest")] == ["2.9 %", "50.0 %", "97.6 %"]
        sorted_by = page.locator('[data-table="hardest"] [aria-sort="ascending"]')
        assert sorted_by.inner_text() == "First-try success"


def test_each_chart_has_its_figures_as_a_table(opened: Open) -> None:
    with opened(page_of()) as page:
        for name in CHARTS:
            details = page.locator(f'[data-table="{name}"]')
            if details.get_attribute("open") is None:
                details.locator("summary").click()
            expect(details.locator("tbody tr").first).to_be_visible()
        newest = ["24 Jul 2025", "1,640", "762", "315", "563", "0"]
        assert table(page, "activity")[0] == newest
        assert table(page, "users")[0] == ["24 Jul 2025", "105", "120", "150"]
        assert table(page, "heat")[0] == ["Mon", "09:00", "500", "80"]
        assert table(page, "retention")[0] == ["30 Jun 2025", "0", "40", "40", "100.0 %: 40 of 40"]
        assert table(page, "retention")[3][4] == "12.5 %: 5 of 40 (week not complete)"


def test_a_long_history_is_shown_by_week(opened: Open) -> None:
    with opened(page_of(large(courses=1, tasks=3))) as page:
        page.get_by_role("button", name="All", exact=True).click()
        drawn(page)
        page.locator('[data-table="activity"] summary').click()
        heading = page.locator('[data-table="activity"] th').first.inner_text()
        assert heading == "Week from"
        assert "By week; the last one may be incomplete." in note(page, "activity")


def test_a_long_table_is_shown_in_parts(opened: Open) -> None:
    with opened(page_of(large(days=30, courses=2, tasks=300))) as page:
        assert len(table(page, "help")) == 10
        page.locator('[data-table="help"]').get_by_role("button", name="Show 100 more").click()
        assert len(table(page, "help")) == 110


def test_the_keyboard_reaches_a_definition_and_escape_closes_it(opened: Open) -> None:
    with opened(page_of()) as page:
        definition = page.locator("#define-attempts-tile")
        expect(definition).to_be_hidden()
        page.locator('[data-tile="attempts"] .definition button').focus()
        page.keyboard.press("Shift+Tab")
        page.keyboard.press("Tab")
        expect(definition).to_be_visible()
        assert "Runs + correct submits + wrong submits" in definition.inner_text()
        focused = page.evaluate("document.activeElement.getAttribute('aria-describedby')")
        assert focused == "define-attempts-tile"
        page.keyboard.press("Escape")
        expect(definition).to_be_hidden()


def test_the_pointer_shows_a_definition_within_a_narrow_window(opened: Open) -> None:
    with opened(page_of(language="ru"), width=360) as page:
        page.locator('[data-tile="success_pct"] .definition').hover()
        definition = page.locator("#define-success_pct-tile")
        expect(definition).to_be_visible()
        box = definition.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 360


def test_period_and_course_are_chosen_without_a_mouse(opened: Open) -> None:
    with opened(page_of()) as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert tile(page, "attempts") == "1,840"
        for _ in range(4):
            page.keyboard.press("Tab")
        page.keyboard.press("ArrowDown")
        assert tile(page, "attempts") == "165"


@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_narrow_window_scrolls_only_downwards(opened: Open, language: str) -> None:
    with opened(page_of(language=language), width=360) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_dark_and_light_follow_the_reader_and_paper_is_white(opened: Open) -> None:
    with opened(page_of(), color_scheme="light") as page:
        assert colour(page, "body") == "rgb(244, 245, 247)"
        assert colour(page, '[data-chart="success"] svg path[stroke]', "stroke")
        page.emulate_media(color_scheme="dark")
        assert colour(page, "body") == "rgb(18, 22, 29)"
        page.emulate_media(media="print", color_scheme="dark")
        assert colour(page, "body") == "rgb(255, 255, 255)"
        expect(page.locator(".controls")).to_be_hidden()
        expect(page.locator(".definition").first).to_be_hidden()
        expect(page.locator("#definitions")).to_be_visible()
        assert page.pdf(format="A4")[:5] == b"%PDF-"


@pytest.mark.parametrize("language", ["en", "ru"])
def test_on_paper_every_table_fits_a_page_of_a4(opened: Open, language: str) -> None:
    with opened(page_of(language=language), width=718) as page:
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= 718


def test_charts_take_the_colours_of_the_scheme_without_being_drawn_again(opened: Open) -> None:
    with opened(page_of(), color_scheme="light") as page:
        bar = '[data-chart="help"] svg .mark-rect path'
        assert colour(page, bar, "fill") == "rgb(47, 111, 206)"
        page.emulate_media(color_scheme="dark")
        assert colour(page, bar, "fill") == "rgb(110, 166, 247)"


# --- Alarms, tasks, links -----------------------------------------------------------------------


def test_the_newest_days_alarms_stand_before_all_figures(opened: Open) -> None:
    with opened(page_of()) as page:
        assert [row[:7] for row in table(page, "alarms")] == [
            ["Quick sort", "Python from zero", "collapsed", "20", "1", "5.0 %", "80.0 %"],
            ["…44444444", "Org+SQL+2025", "surged", "20", "20", "100.0 %", "25.0 %"],
        ]
        assert [row[8:] for row in table(page, "alarms")] == [
            ["< 0.0001", "23 Jul 2025"],
            ["0.0042", "24 Jul 2025"],
        ]
        sections = page.locator("main > section:visible")
        assert sections.first.get_attribute("id") == "alarms"
        page.get_by_label("Course").select_option("Org+SQL+2025")
        assert [row[0] for row in table(page, "alarms")] == ["…44444444"]


def test_on_a_phone_an_alarm_is_a_card_that_says_each_figure_by_name(opened: Open) -> None:
    with opened(page_of(), width=360) as page:
        expect(page.locator('[data-table="alarms"] thead')).to_be_hidden()
        cells = page.locator('[data-table="alarms"] tbody tr').first.locator("th, td")
        boxes = [cell.bounding_box() or {} for cell in cells.all()]
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= 360 for box in boxes)
        tops = [box["y"] for box in boxes]
        assert tops == sorted(set(tops))
        named = "cell => getComputedStyle(cell, '::before').content"
        assert cells.nth(1).evaluate(named) == '"Course"'


def test_a_day_without_an_alarm_says_so(opened: Open) -> None:
    with opened(page_of(replace(small(), alarms=[]))) as page:
        assert note(page, "alarms") == "No task behaved unusually on 24 Jul 2025."


def test_item_analysis_shows_a_point_per_task_and_the_tasks_to_check(opened: Open) -> None:
    with opened(page_of()) as page:
        expect(page.locator('[data-chart="items"] svg .mark-symbol.role-mark path')).to_have_count(
            2
        )
        assert note(page, "items").startswith("2 of 4 tasks have enough students to compare; 1 to")
        opened_table(page, "items")
        assert [row[2:6] for row in table(page, "items")] == [
            ["negative: check the task", "−0.46", "−0.61 – −0.27", "80"],
            ["fair", "0.25", "−0.10 – 0.55", "32"],
        ]


def test_a_course_shows_where_students_stop_in_the_order_of_work(opened: Open) -> None:
    with opened(page_of()) as page:
        page.get_by_label("Course").select_option("Python from zero")
        drawn(page)
        labels = page.locator('[data-chart="stops"] svg .role-axis-label text').all_text_contents()
        titles = [label for label in labels if not label.isdigit()]
        assert titles == ["Quick sort", "…22222222"]
        opened_table(page, "stops")
        assert table(page, "stops") == [
            ["…22222222", "6", "4", "40.0 %", "15"],
            ["Quick sort", "5", "1", "33.3 %", "15"],
        ]


def test_a_task_has_a_view_of_its_figures_its_days_and_its_alarms(opened: Open) -> None:
    with opened(page_of()) as page:
        expect(page.locator("#task")).to_be_hidden()
        page.locator('[data-table="alarms"]').get_by_role("link", name="Quick sort").click()
        drawn(page)
        expect(page.locator("#heading-task")).to_be_focused()
        assert page.locator("#heading-task").inner_text() == "Quick sort · Python from zero"
        assert page.locator("#task .alarms li").all_inner_texts() == [
            "collapsed from 23 Jul 2025, last on 24 Jul 2025: 1 of 20 solved it, "
            "usually 80.0\xa0%; q: < 0.0001"
        ]
        opened_table(page, "task")
        assert table(page, "task") == [
            ["24 Jul 2025", "20", "1", "5.0 %", "collapsed"],
            ["23 Jul 2025", "12", "1", "8.3 %", "collapsed"],
            ["16 Jul 2025", "10", "8", "80.0 %", ""],
        ]
        figures = page.locator('[data-list="task"]').inner_text().replace("\xa0", " ")
        assert "First-try success\n2.9 % (0.5 – 14.9 %) n = 34" in figures
        page.get_by_role("link", name="Close the task").click()
        expect(page.locator("#task")).to_be_hidden()


def test_on_a_phone_the_view_of_a_task_begins_below_the_controls(opened: Open) -> None:
    with opened(page_of(), width=360) as page:
        page.locator('[data-table="alarms"]').get_by_role("link", name="Quick sort").click()
        drawn(page)
        controls, heading = (
            page.locator(which).bounding_box() or {} for which in (".controls", "#heading-task")
        )
        assert heading["y"] >= controls["y"] + controls["height"]


def test_a_link_keeps_period_course_and_task(opened: Open) -> None:
    with opened(page_of()) as page:
        page.get_by_role("button", name="7 days").click()
        page.get_by_label("Course").select_option("Org+SQL+2025")
        page.locator('[data-table="alarms"]').get_by_role("link", name="…44444444").click()
        link = page.url
        page.go_back()
        expect(page.locator("#task")).to_be_hidden()
        page.goto("about:blank")
        page.goto(link)
        drawn(page)
        assert page.locator("#heading-task").inner_text() == "…44444444 · Org+SQL+2025"
        assert tile(page, "attempts") == "165"
        expect(page.get_by_role("button", name="7 days")).to_have_attribute("aria-pressed", "true")


def test_a_link_to_a_missing_course_or_task_shows_the_first_view(opened: Open) -> None:
    with opened(page_of()) as page:
        page.evaluate("location.hash = '#period=5&course=gone&task=gone'")
        assert page.locator(".shown").inner_text().endswith("All courses")
        expect(page.locator("#task")).to_be_hidden()


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened: Open, language: str, scheme: str) -> None:
    link = f"#period=28&task={PYTHON_HARD}"
    with opened(page_of(language=language), width=900, color_scheme=scheme) as page:
        page.evaluate(f"location.hash = '{link}'")
        drawn(page)
        expect(page.locator("#task")).to_be_visible()
        for details in page.locator("details").all():
            details.evaluate("element => { element.open = true; }")
        found = Axe().run(page).response["violations"]
        serious = [
            (rule["id"], [node["target"] for node in rule["nodes"][:5]])
            for rule in found
            if rule["impact"] in ("serious", "critical")
        ]
        assert serious == []


def test_hostile_titles_are_text(opened: Open) -> None:
    known = {key: Name(HOSTILE) for key in ((PYTHON, ""), (PYTHON, PYTHON_HARD), (SQL, SQL_TASK))}
    with opened(page_of(names=Names(known))) as page:
        page.get_by_label("Course").select_option(HOSTILE)
        drawn(page)
        page.locator('[data-chart="hardest"] svg .mark-rect path').first.hover(force=True)
        assert table(page, "hardest")[0][0] == HOSTILE
        assert page.evaluate("window.stolen") is None


def test_a_chart_tells_its_figures_under_the_pointer(opened: Open) -> None:
    with opened(page_of()) as page:
        page.locator('[data-chart="hardest"] svg .mark-rect path').last.hover(force=True)
        tip = page.locator("#vg-tooltip-element")
        expect(tip).to_be_visible()
        assert "97.6\xa0%" in tip.inner_text()
        assert "82" in tip.inner_text()


@pytest.mark.parametrize(
    ("chart", "told"),
    [
        ("activity", "Date 24 Jul 2025 Attempts 1,640"),
        (
            "users",
            "Date 24 Jul 2025 Active students 105 Active in 7 days 120 Active in 30 days 150",
        ),
        (
            "success",
            "Date 24 Jul 2025 Submit success 35.9 % 95 % interval 32.8 – 39.1 % Graded submits 878",
        ),
    ],
)
def test_a_day_tells_its_figures_under_the_pointer(opened: Open, chart: str, told: str) -> None:
    with opened(page_of()) as page:
        drawing = page.locator(f'[data-chart="{chart}"] svg')
        drawing.scroll_into_view_if_needed()
        box = drawing.bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + box["width"] - 20, box["y"] + box["height"] - 60)
        tip = page.locator("#vg-tooltip-element")
        expect(tip).to_be_visible()
        assert " ".join(tip.inner_text().split()).startswith(told)


def test_the_real_attempts_show_the_figures_that_are_known_of_them(
    opened: Open, warehouse: Warehouse, data: Path
) -> None:
    load(warehouse, recorded(data))
    with opened(page_of(figures_in(warehouse), names=Names())) as page:
        assert tile(page, "attempts") == "1,000"
        assert tile(page, "users") == "85"
        assert tile(page, "success_pct") == "20.8 %"
        assert tile(page, "stuck") == "14"
        assert [(row[0], row[3], row[5]) for row in table(page, "hardest")] == [
            ("…576298d1", "2.9 %", "34"),
            ("…4b0c3604", "17.1 %", "82"),
            ("…42282117", "21.5 %", "79"),
        ]
        page.get_by_role("button", name="7 days").click()
        assert tile(page, "attempts") == "896"
        assert tile(page, "attempts", "trend") == "data for 6 of the days before: 104"
        stats = page.locator('[data-list="time"]').inner_text().replace("\xa0", " ")
        assert "18.2 n = 121" in stats
        assert "33 n = 154" in stats
