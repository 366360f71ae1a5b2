import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook
from sqlalchemy import text

from lms_assets.embedded.workbook import WorkbookFile
from lms_assets.resources.spreadsheet.google import GoogleSheets
from lms_assets.resources.spreadsheet.layout import layout
from lms_assets.resources.spreadsheet.tabs import Grid, Percent, Tab, content
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics import measures
from lms_assets.statistics.names import Name, Names
from lms_assets.statistics.read_back import Statement, disagreements, stated
from lms_assets.statistics.sheet import SheetFigures, figures_for_sheet, per_day_tab, tabs, tabs_of
from lms_assets_tests.sheets_server import SheetsServer

SOURCEDID = re.compile(r"sourcedid': '([^']+):([^:']+):[^:']+'")
MADE_AT = datetime(2026, 11, 21, 4, 0, 59, tzinfo=UTC)
# 24 July 2025 as ETL-Project reported it.
JULY_24 = {
    "day": date(2025, 7, 24),
    "attempts": 1640,
    "users": 105,
    "runs": 762,
    "submits": 878,
    "correct": 315,
    "wrong": 563,
    "ungraded": 0,
    "success_pct": 100 * 315 / 878,
    "success_low_pct": 32.8,
    "success_high_pct": 39.1,
    "correct_of_all_pct": 100 * 315 / 1640,
    "run_to_success_pct": 100 * 315 / 762,
    "mean_attempts_per_user": 1640 / 105,
    "median_attempts_per_user": 8.0,
    "new_users": 5,
    "returning_users": 100,
    "wau": 300,
    "mau": 700,
    "stickiness_pct": 15.0,
    "attempts_trend_pct": None,
    "without_task": 0,
    "busiest_hour": 19,
    "computed_at": MADE_AT,
}
WEEK_BEFORE = {**JULY_24, "day": date(2025, 7, 17), "attempts": 1000, "success_pct": None}
COURSE = "course-v1:SkillFactory+DST-3.0+28FEB2021"
TASK = "lms.skillfactory.ru-ca3ecf8e5f284c329eb7bd529e1a9f7e"
TASK_FIGURES = {
    "oauth_consumer_key": "",
    "course": COURSE,
    "task": TASK,
    "students": 12,
    "solvers": 6,
    "first_try_pct": 25.0,
    "submits": 40,
    "success_pct": 15.0,
    "difficulty": "hard",
    "stuck": 2,
}
STUCK = {
    "user_id": "3583bf109f8b458e13ae1ac9d85c396a",
    "course": COURSE,
    "task": TASK,
    "state": "stuck",
    "graded": 7,
    "runs": 9,
    "blind_submits": 1,
    "first_attempt_at": datetime(2025, 7, 20, 10),  # noqa: DTZ001
    "last_submit_at": datetime(2025, 7, 24, 12),  # noqa: DTZ001
}
COURSE_FIGURES = [
    {"course": COURSE, "period_days": 28, "attempts": 900, "users": 80, "success_pct": 30.0},
    {"course": COURSE, "period_days": 0, "attempts": 2000, "users": 130, "success_pct": 35.0},
    {"course": "Old", "period_days": 0, "attempts": 9000, "users": 900, "success_pct": 20.0},
]
FIGURES = SheetFigures([WEEK_BEFORE, JULY_24], COURSE_FIGURES, [TASK_FIGURES], [STUCK])


def made(
    language: str = "en",
    figures: SheetFigures = FIGURES,
    names: Names | None = None,
    *,
    with_students: bool = True,
) -> dict[str, Tab]:
    of_tabs = tabs(
        figures,
        language=language,
        names=names or Names(),
        with_students=with_students,
        made_at=MADE_AT,
    )
    return {tab.title: tab for tab in of_tabs}


def row_of(tab: Tab, number: int = 0) -> dict[str, Any]:
    return dict(zip((c.heading for c in tab.columns), tab.rows[number], strict=True))


def grid_of(tab: Tab) -> list[list[Any]]:
    """What a worksheet holds after the tab was published on it."""
    headings = [column.heading for column in tab.columns]
    return [headings, *content(tab, layout(tab, []).height)]


def test_the_tabs_come_in_one_order_in_both_languages() -> None:
    assert list(made()) == [
        "Daily",
        "Report",
        "Alarms",
        "Courses",
        "Tasks",
        "Students who need help",
        "Definitions",
    ]
    assert list(made("ru")) == [
        "По дням",
        "Отчёт",
        "Тревоги",
        "Курсы",
        "Задачи",
        "Кому нужна помощь",
        "Определения",
    ]


def test_the_russian_days_begin_with_the_columns_of_the_two_earlier_systems() -> None:
    assert [column.heading for column in made("ru")["По дням"].columns][:10] == [
        "Дата",
        "Попытки",
        "Активные студенты",
        "Верные отправки",
        "Успешность отправок",
        "Запуски",
        "Отправки",
        "Попыток на студента, среднее",
        "Попыток на студента, медиана",
        "Верные отправки к запускам",
    ]


def test_a_day_is_a_row_the_newest_last() -> None:
    daily = made()["Daily"]
    assert [row[0] for row in daily.rows] == [date(2025, 7, 17), date(2025, 7, 24)]
    newest = row_of(daily, 1)
    assert (newest["Attempts"], newest["Active students"], newest["Correct submits"]) == (
        1640,
        105,
        315,
    )
    assert newest["Run to success"] == 100 * 315 / 762


def test_the_report_shows_the_newest_day_beside_the_week_before() -> None:
    rows = {row[0]: row[1:] for row in made()["Report"].rows}
    assert rows["Date"] == (date(2025, 7, 24), date(2025, 7, 17))
    assert rows["Attempts"] == (1640, 1000)
    assert rows["Submit success"] == (100 * 315 / 878, None)
    assert isinstance(rows["Submit success"][0], Percent)
    assert rows["Correct submits"] == (315, 315)
    assert rows["Wrong submits"] == (563, 563)
    assert rows["Runs"] == (762, 762)


def test_the_report_has_two_charts_of_the_days() -> None:
    charts = made()["Report"].charts
    assert [(chart.source, chart.x, chart.series) for chart in charts] == [
        ("Daily", "day", ("attempts", "users")),
        ("Daily", "day", ("success_pct", "success_low_pct", "success_high_pct")),
    ]


def test_courses_and_tasks_have_short_ids_where_they_were_given_no_names() -> None:
    course, task = row_of(made()["Courses"]), row_of(made()["Tasks"])
    assert course["Course"] == "SkillFactory+DST-3.0+28FEB2021"
    assert (task["Course"], task["Task"]) == ("SkillFactory+DST-3.0+28FEB2021", "…9e1a9f7e")
    assert task["Link"] is None


def test_courses_and_tasks_are_named_where_names_were_given() -> None:
    known = {
        (COURSE, ""): Name("Data Science"),
        (COURSE, TASK): Name("=Loops", "https://lms.example.org/loops"),
    }
    tabs_made = made(names=Names(known))
    assert row_of(tabs_made["Courses"])["Course"] == "Data Science"
    task = row_of(tabs_made["Tasks"])
    assert (task["Task"], task["Link"]) == ("=Loops", "https://lms.example.org/loops")


def test_a_course_is_a_row_with_both_its_periods_the_busiest_first() -> None:
    courses = made()["Courses"]
    busy, old = row_of(courses, 0), row_of(courses, 1)
    assert (busy["Attempts, 28 days"], busy["Attempts, all history"]) == (900, 2000)
    assert (old["Course"], old["Attempts, 28 days"], old["Attempts, all history"]) == (
        "Old",
        None,
        9000,
    )


def test_a_task_says_how_many_need_help_and_how_hard_it_is() -> None:
    task = row_of(made()["Tasks"])
    assert (task["Need help"], task["Students with a verdict"], task["Difficulty"]) == (
        2,
        12,
        "hard",
    )
    assert row_of(made("ru")["Задачи"])["Трудность"] == "трудная"


def test_a_sheet_with_earlier_headings_of_ours_is_taken_over() -> None:
    """R52: a figure's name changed; the sheets of before are ours as they were."""
    tab = made("ru")["По дням"]
    earlier = ["Дата", "Всего попыток", "Уникальные пользователи", "Успешные попытки"]
    rest = [column.heading for column in tab.columns[4:]]
    place = layout(tab, [[*earlier, *rest, "моё"], [45862, 1640, 105, 315]])
    assert place.places == tuple(range(len(tab.columns)))
    assert place.added == frozenset()


def test_the_headings_of_another_language_are_ours() -> None:
    """R59"""
    english = grid_of(made("en")["Courses"])
    assert layout(made("ru")["Курсы"], english).added == frozenset()


def test_students_are_shown_by_id_only_when_they_are_asked_for() -> None:
    shown = row_of(made()["Students who need help"])
    assert shown["Student id"] == "3583bf109f8b458e13ae1ac9d85c396a"
    assert shown["Graded submits of the student"] == 7
    hidden = made(with_students=False)
    students = hidden.pop("Students who need help")
    assert (list(students.rows), students.made_if_missing) == ([], False)
    assert "3583bf109f8b" not in str(list(hidden.values()))


@pytest.mark.parametrize("language", ["en", "ru"])
def test_each_figure_has_one_heading_and_one_definition(language: str) -> None:
    made_tabs = list(made(language).values())
    defined = dict(made_tabs[-1].rows)
    headings = {c.heading: c.key for tab in made_tabs[:-1] for c in tab.columns}
    of_metrics = {c.heading for c in made_tabs[1].columns}
    assert set(defined) == set(headings) - of_metrics
    assert len(set(defined.values())) == len(defined)
    assert len(set(headings.values())) == len(headings)


@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_tab_ends_in_when_and_from_what_it_was_made(language: str) -> None:
    statement = Statement(datetime(2026, 11, 21, 4, 0, tzinfo=UTC), 2640, 2)
    for tab in made(language).values():
        assert stated(grid_of(tab)) == statement


def test_the_statement_is_read_like_people_read_it() -> None:
    assert made()["Daily"].note == "Made at 2026-11-21 04:00 UTC from 2,640 attempts of 2 days"
    assert (
        made("ru")["По дням"].note
        == "Составлено 2026-11-21 04:00 UTC, попыток: 2\u00a0640, дней: 2"
    )
    assert stated([["Date"], ["nothing of the kind"]]) is None


@pytest.mark.parametrize("language", ["en", "ru"])
def test_an_empty_database_makes_empty_tabs(language: str) -> None:
    for tab in made(language, SheetFigures([], [], [], [])).values():
        assert stated(grid_of(tab)) == Statement(MADE_AT.replace(second=0), 0, 0)


def test_a_day_has_a_worksheet_of_its_own_whose_title_is_not_the_first_systems() -> None:
    of_day = per_day_tab(FIGURES, date(2025, 7, 24), "ru", made_at=MADE_AT)
    assert of_day.title == "Отчет за 2025-07-24"
    assert of_day.rows[1] == ("Попытки", 1640, 1000)
    assert (of_day.series, of_day.kept) == ("Отчет за ", 31)
    earlier = per_day_tab(FIGURES, date(2025, 7, 17), "en", made_at=MADE_AT)
    assert (earlier.title, earlier.rows[1]) == ("Report 2025-07-17", ("Attempts", 1000, None))


@dataclass
class Presented:
    language: str = "en"
    sheet_students: bool = False
    sheet_per_day: bool = False
    names: Names = field(default_factory=Names)


def test_worksheets_per_day_are_those_of_the_newest_31_days() -> None:
    days = [{**JULY_24, "day": date(2025, 1, 1) + timedelta(days=number)} for number in range(40)]
    figures = replace(FIGURES, daily=days)
    made = tabs_of(figures, Presented(sheet_per_day=True), made_at=MADE_AT)
    titles = [tab.title for tab in made if tab.made_if_missing or tab.title.startswith("Students")]
    assert titles[7:] == [f"Report {row['day']}" for row in days[-31:]]
    without = tabs_of(figures, Presented(), made_at=MADE_AT)
    assert not [tab.title for tab in without if tab.title.startswith("Report ")]


# What the check says.


def changed(tab: Tab, row: int, column: int, value: Any) -> Grid:  # noqa: ANN401
    grid = grid_of(tab)
    grid[row] = [*grid[row][:column], value, *grid[row][column + 1 :]]
    return grid


def test_a_sheet_that_was_just_published_agrees() -> None:
    for language in ("en", "ru"):
        for tab in made(language).values():
            assert disagreements(grid_of(tab), tab, language) == []


def test_a_changed_figure_is_named_by_row_and_heading() -> None:
    daily = made()["Daily"]
    assert disagreements(changed(daily, 2, 1, 7), daily) == [
        'Daily: 2025-07-24, "Attempts": the sheet shows 7, the database has 1640.'
    ]


def test_a_missing_and_a_strange_row_are_named() -> None:
    daily = made()["Daily"]
    assert sorted(disagreements(changed(daily, 1, 0, 45000), daily)) == [
        "Daily: 2023-03-15 is not in the database.",
        "Daily: 2025-07-17 is missing.",
    ]


def test_a_missing_tab_or_column_is_named() -> None:
    daily = made()["Daily"]
    assert disagreements([], daily) == ["Daily: there is no such tab."]
    found = disagreements(changed(daily, 0, 1, "Tries"), daily)
    assert found[0] == 'Daily: the column "Attempts" is missing.'


def test_a_sheet_made_from_other_attempts_is_named() -> None:
    daily = made()["Daily"]
    old = replace(daily, note="Made at 2026-11-20 04:00 UTC from 2,000 attempts of 2 days")
    assert disagreements(grid_of(old), daily) == [
        "Daily: made from 2000 / 2 attempts, the database has 2640 / 2."
    ]
    assert disagreements(grid_of(replace(daily, note="")), daily) == [
        "Daily: nothing says when and from what it was made."
    ]


def test_a_sheet_sorted_by_a_person_agrees() -> None:
    daily = made()["Daily"]
    grid = grid_of(daily)
    grid[1:3] = reversed(grid[1:3])
    assert disagreements(grid, daily) == []


def test_no_students_id_is_named() -> None:
    students = made()["Students who need help"]
    found = disagreements(changed(students, 1, 3, 70), students)
    assert found == [
        'Students who need help: a student\'s row, "Graded submits of the student": '
        "the sheet shows 70, the database has 7."
    ]


def test_a_tab_that_is_not_wanted_need_not_be_there() -> None:
    unwanted = made(with_students=False)["Students who need help"]
    assert disagreements([], unwanted) == []


# The whole way: the real attempts, the database, both publishers.


@pytest.fixture(scope="module")
def attempts() -> list[dict[str, Any]]:
    file = Path(__file__).parents[1] / "data" / "recodex_2017_attempts.json"
    return list(json.loads(file.read_text()))


@pytest.fixture
def figures(warehouse: Warehouse, attempts: list[dict[str, Any]]) -> SheetFigures:
    rows = []
    for record in attempts:
        [(course, task)] = SOURCEDID.findall(record["passback_params"])
        named = {"user": record["lti_user_id"], "course": course, "task": task}
        attempt = {"kind": record["attempt_type"], "correct": record["is_correct"]}
        rows.append({**named, **attempt, "at": record["created_at"]})
    with warehouse.begin() as connection:
        connection.execute(
            text(
                "insert into attempts (user_id, attempt_type, is_correct, created_at, course, task)"
                " values (:user, :kind, cast(:correct as integer) = 1, cast(:at as timestamp),"
                " :course, :task)"
            ),
            rows,
        )
        measures.refresh_all(connection, zone="UTC", as_of=date(2017, 10, 15))
        return figures_for_sheet(connection)


def test_the_figures_are_read_once_after_each_refresh(warehouse: Warehouse) -> None:
    def refreshed(as_of: date) -> SheetFigures:
        with warehouse.begin() as connection:
            measures.refresh_all(connection, zone="UTC", as_of=as_of)
        with warehouse.begin() as connection:
            read = figures_for_sheet(connection)
            assert figures_for_sheet(connection) is read
        return read

    with warehouse.begin() as connection:
        connection.execute(
            text(
                "insert into attempts (user_id, attempt_type, is_correct, created_at)"
                " values ('a', 'submit', true, '2017-10-01'), ('a', 'submit', true, '2017-10-02')"
            )
        )
    assert refreshed(date(2017, 10, 1)).attempts == 1
    assert refreshed(date(2017, 10, 2)).attempts == 2


@pytest.fixture(params=["google", "workbook"])
def publisher(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[GoogleSheets | WorkbookFile]:
    if request.param == "workbook":
        yield WorkbookFile(path=str(tmp_path / "statistics.xlsx"))
        return
    with SheetsServer() as server:
        yield GoogleSheets(
            credentials_base64=server.credentials_base64(),
            spreadsheet_id=server.spreadsheet_id,
            api_url=server.url,
            first_wait_s=0.001,
        )


def test_the_published_sheet_agrees_with_the_database(
    figures: SheetFigures, publisher: GoogleSheets | WorkbookFile
) -> None:
    presented = Presented(sheet_students=True, sheet_per_day=True)
    of_tabs = tabs_of(figures, presented, made_at=MADE_AT)
    publisher.publish(of_tabs)
    publisher.publish(of_tabs)
    grids = publisher.read_all([tab.title for tab in of_tabs])
    assert [line for tab in of_tabs for line in disagreements(grids[tab.title], tab)] == []
    statement = stated(grids["Daily"])
    assert statement is not None
    assert statement.attempts == 1000


def test_the_hardest_tasks_come_first(figures: SheetFigures) -> None:
    tasks = made(figures=figures)["Tasks"]
    headings = [column.heading for column in tasks.columns]
    bound, students = (
        headings.index("First-try success, to"),
        headings.index("Students with a verdict"),
    )
    ranked = [row[bound] for row in tasks.rows if row[students] >= 10]  # type: ignore[operator]
    assert ranked
    assert ranked == sorted(ranked)  # type: ignore[type-var]
    assert [row[bound] for row in tasks.rows[: len(ranked)]] == ranked


def test_after_a_change_of_language_our_tabs_and_headings_are_renamed(tmp_path: Path) -> None:
    """R59: they are not left twice, and what a person wrote beside them stays."""
    workbook = WorkbookFile(path=str(tmp_path / "statistics.xlsx"))
    workbook.publish(tabs_of(FIGURES, Presented(language="ru"), made_at=MADE_AT))
    opened = load_workbook(workbook.path)
    width = opened["По дням"].max_column
    opened["По дням"].cell(1, width + 1, "mine")
    opened["По дням"].cell(3, width + 1, "note")
    opened.save(workbook.path)
    tabs_now = tabs_of(FIGURES, Presented(language="en"), made_at=MADE_AT)
    shown = workbook.publish(tabs_now)
    opened = load_workbook(workbook.path)
    assert opened.sheetnames == shown
    assert "Daily" in shown
    assert "По дням" not in shown
    assert opened["Daily"].cell(3, width + 1).value == "note"
    assert opened["Daily"].max_column == width + 1
    assert len(opened["Report"]._charts) == 2
    assert disagreements(workbook.read("Daily"), tabs_now[0]) == []


def test_where_both_languages_have_tabs_neither_shows_older_figures(tmp_path: Path) -> None:
    workbook = WorkbookFile(path=str(tmp_path / "statistics.xlsx"))
    for language in ("ru", "en"):
        workbook.publish([made(language)[{"ru": "По дням", "en": "Daily"}[language]]])
    newer = replace(FIGURES, daily=[{**JULY_24, "attempts": 7}])
    workbook.publish(tabs_of(newer, Presented(language="en"), made_at=MADE_AT))
    assert workbook.read("Daily")[1][1] == workbook.read("По дням")[1][1] == 7


def test_a_task_in_alarm_is_a_coloured_row(tmp_path: Path) -> None:
    alarm = {
        **{"day": date(2025, 7, 24), "oauth_consumer_key": "", "course": COURSE, "task": TASK},
        **{"kind": "collapsed", "students": 12, "solved": 0, "solved_pct": 0.0},
        **{"usual_pct": 60.0, "usual_student_days": 80, "q": 0.0001, "since": date(2025, 7, 23)},
    }
    workbook = WorkbookFile(path=str(tmp_path / "statistics.xlsx"))
    workbook.publish(list(made(figures=replace(FIGURES, alarms=[alarm])).values()))
    sheet = load_workbook(workbook.path)["Alarms"]
    assert [cell.value for cell in sheet[2]][3:6] == ["collapsed", 12, 0]
    assert {cell.fill.fgColor.rgb for cell in sheet[2]} == {"00F8D7DA"}


def test_two_tasks_with_the_same_title_have_their_site_beside_it() -> None:
    """R53"""
    tasks = [
        TASK_FIGURES | {"oauth_consumer_key": site, "course": "moodle", "task": "5"}
        for site in ("siteA", "siteB")
    ]
    tab = made(figures=replace(FIGURES, tasks=tasks))["Tasks"]
    assert [row_of(tab, n)["Task"] for n in (0, 1)] == ["5 (siteA)", "5 (siteB)"]


def test_tabs_of_another_language_are_not_made(tmp_path: Path) -> None:
    workbook = WorkbookFile(path=str(tmp_path / "statistics.xlsx"))
    workbook.publish(tabs_of(FIGURES, Presented(language="en"), made_at=MADE_AT))
    assert workbook.read("По дням") == []
