"""The figures as tabs of the sheet: their columns, rows, notes and charts.

Pure except :func:`figures_for_sheet`, which reads the database. Headings and definitions come
from the registry in `figures.py`, other texts from ``texts/<language>/sheet.toml``. Figures are
not rounded; the formats of the cells round them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, Protocol

from sqlalchemy import Connection, text

from lms_assets.resources.spreadsheet.tabs import Cell, Chart, Column, Kind, Percent, Tab
from lms_assets.statistics import figures, measures
from lms_assets.statistics.names import Names
from lms_assets.texts import LANGUAGES, Texts

Figures = Mapping[str, Any]

NEWEST_DAY_TABS = 31

KINDS: Mapping[figures.Unit, Kind] = {
    "count": "integer",
    "number": "number",
    "ratio": "ratio",
    "probability": "probability",
    "percent": "percent",
    "minutes": "number",
    "hour": "integer",
    "date": "date",
    "datetime": "datetime",
    "text": "text",
}


@dataclass(frozen=True)
class SheetFigures:
    """The rows of the database from which the sheet is made; percentages are 0 to 100, unrounded.

    Args:
        daily: Rows of `daily_statistics`, the newest day last.
        courses: Rows of `period_statistics` for single courses: 28 days and all history.
        tasks: Rows of `task_statistics`, the hardest first.
        students: Rows of `students_who_need_help` who are stuck, the latest first.
        alarms: Rows of `task_alarms`, the newest day first.
    """

    daily: Sequence[Figures]
    courses: Sequence[Figures]
    tasks: Sequence[Figures]
    students: Sequence[Figures]
    alarms: Sequence[Figures] = ()

    @property
    def attempts(self) -> int:
        """The number of attempts behind the figures."""
        return sum(int(row["attempts"]) for row in self.daily)


class Presented(Protocol):
    """The settings of the sheet."""

    @property
    def language(self) -> str:
        """The language of titles, headings and definitions."""

    @property
    def sheet_students(self) -> bool:
        """Whether there is a tab of students who need help."""

    @property
    def sheet_per_day(self) -> bool:
        """Whether there is a tab per report day."""

    @property
    def names(self) -> Names:
        """Titles and links of courses and tasks."""


# At most one entry: the database and the time of its refresh → the figures that were read then.
_last_read: dict[object, SheetFigures] = {}


def figures_for_sheet(connection: Connection) -> SheetFigures:
    """The committed figures, read from the tables of statistics; attempts are not read.

    A process reads them once after each refresh: for the sheet, and again for its check.
    """
    refresh = (connection.engine.url, measures.refreshed_at(connection))
    if refresh not in _last_read:
        read = _read(connection)
        _last_read.clear()
        _last_read[refresh] = read
    return _last_read[refresh]


def _read(connection: Connection) -> SheetFigures:
    periods = text("select * from period_statistics where course <> '' and period_days in (0, 28)")
    return SheetFigures(
        daily=measures.daily(connection),
        courses=[dict(row) for row in connection.execute(periods).mappings()],
        tasks=_with_their_own(
            measures.tasks(connection),
            measures.discrimination(connection),
            measures.stops(connection),
        ),
        alarms=measures.alarms(connection),
        students=[
            row for row in measures.students_who_need_help(connection) if row["state"] == "stuck"
        ],
    )


def _with_their_own(tasks: Sequence[Figures], *others: Sequence[Figures]) -> list[Figures]:
    """Each task's row with its columns from the other tables."""
    more: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in (row for rows in others for row in rows):
        more.setdefault(_task_key(row), {}).update(row)
    return [{**row, **more.get(_task_key(row), {})} for row in tasks]


def _task_key(row: Figures) -> tuple[str, ...]:
    return row["oauth_consumer_key"], row["course"], row["task"]


def tabs_of(sheet_figures: SheetFigures, presented: Presented, *, made_at: datetime) -> list[Tab]:
    """All tabs that the settings ask for."""
    in_language = partial(
        tabs,
        sheet_figures,
        names=presented.names,
        with_students=presented.sheet_students,
        made_at=made_at,
    )
    own_tabs = in_language(language=presented.language)
    others = [language for language in LANGUAGES if language != presented.language]
    other_tabs = [tab for other in others for tab in in_language(language=other)]
    starts = range(0, len(other_tabs), len(own_tabs))
    own_tabs = [
        replace(tab, earlier=tuple(other_tabs[start + n].title for start in starts))
        for n, tab in enumerate(own_tabs)
    ]
    if presented.sheet_per_day:
        newest = [row["day"] for row in sheet_figures.daily[-NEWEST_DAY_TABS:]]
        own_tabs += [
            per_day_tab(sheet_figures, d, presented.language, made_at=made_at) for d in newest
        ]
    # If a sheet has tabs in both languages, those of the other language are updated too.
    return own_tabs + [replace(tab, made_if_missing=False) for tab in other_tabs]


def tabs(
    sheet_figures: SheetFigures,
    *,
    language: str,
    names: Names,
    with_students: bool,
    made_at: datetime,
) -> list[Tab]:
    """The tabs of the statistics in one language, in their order in the sheet.

    Args:
        sheet_figures: Rows of the database.
        language: The language of titles, headings and definitions.
        names: Titles of courses and tasks.
        with_students: Whether there is a tab of students. If not, an existing one is emptied.
        made_at: The time of making, aware.
    """
    texts = Texts(language)
    note = _note(sheet_figures, made_at, texts)
    shown_tabs = [
        _daily(sheet_figures, texts, note),
        _report(sheet_figures, texts, note),
        _alarms(sheet_figures, names, texts, note),
        _courses(sheet_figures, names, texts, note),
        _tasks(sheet_figures, names, texts, note),
        _students(sheet_figures if with_students else None, names, texts, note),
    ]
    return [*shown_tabs, _definitions(shown_tabs, texts, note)]


def per_day_tab(sheet_figures: SheetFigures, day: date, language: str, *, made_at: datetime) -> Tab:
    """A worksheet for one report day, as ETL-Project made them; the newest 31 stay.

    Its title has the whole date: ETL-Project's worksheets ``Отчет за 24.07`` stay untouched.
    """
    texts = Texts(language)
    series, *others = _in_languages("sheet.tabs.report_of", texts)
    rows = [row for row in sheet_figures.daily if row["day"] <= day]
    note = _note(sheet_figures, made_at, texts)
    columns = _metric_columns(texts)
    return Tab(
        title=f"{series}{day.isoformat()}",
        columns=columns,
        rows=_metrics(rows, texts),
        note=note,
        series=series,
        kept=NEWEST_DAY_TABS,
        earlier=tuple(f"{other}{day.isoformat()}" for other in others),
    )


def _note(sheet_figures: SheetFigures, made_at: datetime, texts: Texts) -> str:
    return texts.text(
        "sheet.note.made",
        moment=f"{made_at.astimezone(UTC):%Y-%m-%d %H:%M}",
        attempts=texts.number(sheet_figures.attempts),
        days=texts.number(len(sheet_figures.daily)),
    )


def _columns(names: Sequence[str], texts: Texts) -> tuple[Column, ...]:
    return tuple(
        Column(
            name,
            figures.name_of(name, texts),
            KINDS[figures.FIGURES[name].unit],
            earlier=figures.other_names(name, texts),
        )
        for name in names
    )


def _cells(row: Figures, names: Sequence[str]) -> tuple[Cell, ...]:
    return tuple(row.get(name) for name in names)


def _daily(sheet_figures: SheetFigures, texts: Texts, note: str) -> Tab:
    rows = [_cells(row, figures.DAILY) for row in sheet_figures.daily]
    return Tab(texts.text("sheet.tabs.daily"), _columns(figures.DAILY, texts), rows, note)


def _report(sheet_figures: SheetFigures, texts: Texts, note: str) -> Tab:
    daily = texts.text("sheet.tabs.daily")
    return Tab(
        title=texts.text("sheet.tabs.report"),
        columns=_metric_columns(texts),
        rows=_metrics(sheet_figures.daily, texts),
        note=note,
        charts=(
            _chart("attempts", daily, ("attempts", "users"), texts),
            _chart("success", daily, ("success_pct", "success_low_pct", "success_high_pct"), texts),
        ),
    )


def _chart(name: str, source: str, series: tuple[str, ...], texts: Texts) -> Chart:
    title, *others = _in_languages(f"sheet.charts.{name}", texts)
    return Chart(title, "line", source, "day", series, earlier=tuple(others))


def _in_languages(key: str, texts: Texts) -> list[str]:
    """The text in the language of ``texts``, then in the others."""
    languages = dict.fromkeys((texts.language, *LANGUAGES))
    return [Texts(language).text(key) for language in languages]


def _column(name: str, kind: Kind, texts: Texts, width_px: int | None = None) -> Column:
    """A column that is no figure of the registry."""
    heading, *others = _in_languages(f"sheet.columns.{name}", texts)
    return Column(name, heading, kind, width_px, tuple(others))


def _metric_columns(texts: Texts) -> tuple[Column, ...]:
    return (
        _column("metric", "text", texts, 300),
        _column("value", "value", texts),
        _column("week_before", "value", texts),
    )


def _metrics(daily: Sequence[Figures], texts: Texts) -> list[tuple[Cell, ...]]:
    """One row per metric: its values on the newest day and on the same weekday a week before."""
    if not daily:
        return []
    newest = daily[-1]
    before: Figures = next(
        (row for row in daily if row["day"] == newest["day"] - timedelta(days=7)), {}
    )
    return [
        (figures.name_of(name, texts), _typed(newest, name), _typed(before, name))
        for name in figures.REPORT
    ]


def _typed(row: Figures, key: str) -> Cell:
    """The figure as a value whose type decides the cell's format."""
    value: Cell = row.get(key)
    if value is None:
        return None
    match figures.FIGURES[key].unit:
        case "percent":
            return Percent(value)  # type: ignore[arg-type]
        case "number":
            return float(value)  # type: ignore[arg-type]
        case _:
            return value


def _courses(sheet_figures: SheetFigures, names: Names, texts: Texts, note: str) -> Tab:
    """One row per course; the course with the most attempts in the last 28 days comes first."""
    by_course: dict[str, dict[str, Any]] = {}
    for row in sheet_figures.courses:
        period = {f"{key}_{row['period_days']}": value for key, value in row.items()}
        by_course.setdefault(row["course"], {}).update(period)
    titled = [
        row | {"course": names.course_title(course)} for course, row in sorted(by_course.items())
    ]
    titled.sort(key=lambda row: -(row.get("attempts_28") or 0))
    rows = [_cells(row, figures.COURSES) for row in titled]
    return Tab(texts.text("sheet.tabs.courses"), _columns(figures.COURSES, texts), rows, note)


def _tasks(sheet_figures: SheetFigures, names: Names, texts: Texts, note: str) -> Tab:
    """One row per task, in the given order."""
    titles = names.task_titles(sheet_figures.tasks)
    rows = [
        _cells(_named_task(row, title, names, texts), figures.TASKS)
        for row, title in zip(sheet_figures.tasks, titles, strict=True)
    ]
    title, columns = texts.text("sheet.tabs.tasks"), _columns(figures.TASKS, texts)
    return Tab(title, columns, rows, note, key=("course", "task"))


def _named_task(row: Figures, title: str, names: Names, texts: Texts) -> Figures:
    difficulty, state = row.get("difficulty"), row.get("discrimination_state")
    return {
        **row,
        "course": names.course_title(row["course"]),
        "task": title,
        "link": names.task_link(row["course"], row["task"]) or None,
        "difficulty": texts.text(f"sheet.difficulty.{difficulty}") if difficulty else None,
        "discrimination_state": texts.text(f"sheet.discrimination.{state}") if state else None,
        "graded": row["submits"],
        "task_success_pct": row["success_pct"],
    }


TINTS = {"collapsed": "F8D7DA", "surged": "FFF3CD"}


def _alarms(sheet_figures: SheetFigures, names: Names, texts: Texts, note: str) -> Tab:
    """One row per task and day with an alarm, the newest day first, coloured by its kind."""
    rows = [
        {
            **row,
            "course": names.course_title(row["course"]),
            "task": title,
            "alarm_kind": texts.text(f"sheet.alarm.{row['kind']}"),
            "alarm_students": row["students"],
        }
        for row, title in zip(
            sheet_figures.alarms, names.task_titles(sheet_figures.alarms), strict=True
        )
    ]
    return Tab(
        title=texts.text("sheet.tabs.alarms"),
        columns=_columns(figures.ALARMS, texts),
        rows=[_cells(row, figures.ALARMS) for row in rows],
        note=note,
        key=("day", "course", "task"),
        tints=[TINTS[row["kind"]] for row in sheet_figures.alarms],
    )


def _students(sheet_figures: SheetFigures | None, names: Names, texts: Texts, note: str) -> Tab:
    """One row per student and task, in the given order; students appear by id only."""
    students = sheet_figures.students if sheet_figures else []
    rows = [
        _cells(
            {
                **row,
                "course": names.course_title(row["course"]),
                "task": title,
                "student_graded": row["graded"],
                "student_runs": row["runs"],
            },
            figures.STUDENTS,
        )
        for row, title in zip(students, names.task_titles(students), strict=True)
    ]
    return Tab(
        title=texts.text("sheet.tabs.students"),
        columns=_columns(figures.STUDENTS, texts),
        rows=rows,
        note=note,
        key=("user_id", "course", "task"),
        made_if_missing=sheet_figures is not None,
    )


def _definitions(tabs_shown: Sequence[Tab], texts: Texts, note: str) -> Tab:
    """One row per figure in any tab: its heading and its definition."""
    metrics = {"metric", "value", "week_before"}
    keys = dict.fromkeys(c.key for tab in tabs_shown for c in tab.columns if c.key not in metrics)
    rows = [(figures.name_of(key, texts), figures.definition_of(key, texts)) for key in keys]
    columns = (
        _column("figure", "text", texts, 300),
        _column("definition", "text", texts, 900),
    )
    return Tab(texts.text("sheet.tabs.definitions"), columns, rows, note)
