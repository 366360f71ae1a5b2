"""The figures as tabs: which columns in which order, and what the sheet says of itself.

Pure but for :func:`figures_for_sheet`, which reads the tables. The figures are
defined in `measures.py`; here each has one heading and one definition, in
``texts/<language>/sheet.toml``, and rounding is left to the sheet's formats.
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

DAY_TABS_KEPT = 31

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
    """What the sheet is made from, as the tables hold it: percentages unrounded, 0 to 100.

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
        """From how many attempts the figures were made."""
        return sum(int(row["attempts"]) for row in self.daily)


class Presented(Protocol):
    """What the settings say of the sheet."""

    @property
    def language(self) -> str:
        """Of titles, headings and definitions."""

    @property
    def sheet_students(self) -> bool:
        """Whether there is a tab of students who need help."""

    @property
    def sheet_per_day(self) -> bool:
        """Whether there is a tab per report day."""

    @property
    def names(self) -> Names:
        """Titles and links of courses and tasks."""


def figures_for_sheet(connection: Connection) -> SheetFigures:
    """The figures as they are committed now; the table of attempts is not read."""
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
    """Each task's row with what other tables say of it."""
    more: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in (row for rows in others for row in rows):
        more.setdefault(_task_key(row), {}).update(row)
    return [{**row, **more.get(_task_key(row), {})} for row in tasks]


def _task_key(row: Figures) -> tuple[str, ...]:
    return row["oauth_consumer_key"], row["course"], row["task"]


def tabs_of(held: SheetFigures, presented: Presented, *, made_at: datetime) -> list[Tab]:
    """All tabs that the settings ask for."""
    in_language = partial(
        tabs,
        held,
        names=presented.names,
        with_students=presented.sheet_students,
        made_at=made_at,
    )
    made = in_language(language=presented.language)
    others = [one for one in LANGUAGES if one != presented.language]
    left = [tab for other in others for tab in in_language(language=other)]
    made = [
        replace(tab, earlier=tuple(left[n + at].title for at in range(0, len(left), len(made))))
        for n, tab in enumerate(made)
    ]
    if presented.sheet_per_day:
        newest = [row["day"] for row in held.daily[-DAY_TABS_KEPT:]]
        made += [per_day_tab(held, d, presented.language, made_at=made_at) for d in newest]
    # Where both languages' tabs are there, the other's would go on showing older figures.
    return made + [replace(tab, made_if_missing=False) for tab in left]


def tabs(
    held: SheetFigures,
    *,
    language: str,
    names: Names,
    with_students: bool,
    made_at: datetime,
) -> list[Tab]:
    """The tabs of the statistics, in the order in which people meet them.

    Args:
        held: What the database holds.
        language: Of titles, headings and definitions.
        names: Titles of courses and tasks.
        with_students: Else the tab of students is emptied where it exists, and not made.
        made_at: When, with its zone.
    """
    texts = Texts(language)
    note = _note(held, made_at, texts)
    shown_tabs = [
        _daily(held, texts, note),
        _report(held, texts, note),
        _alarms(held, names, texts, note),
        _courses(held, names, texts, note),
        _tasks(held, names, texts, note),
        _students(held if with_students else None, names, texts, note),
    ]
    return [*shown_tabs, _definitions(shown_tabs, texts, note)]


def per_day_tab(held: SheetFigures, day: date, language: str, *, made_at: datetime) -> Tab:
    """A worksheet for one report day, as ETL-Project made; the newest 31 of them stay.

    Its title bears the whole date: ETL-Project's worksheets ``Отчет за 24.07`` are not ours.
    """
    texts = Texts(language)
    series, *others = _in_languages("sheet.tabs.report_of", texts)
    rows = [row for row in held.daily if row["day"] <= day]
    note = _note(held, made_at, texts)
    columns = _metric_columns(texts)
    return Tab(
        title=f"{series}{day.isoformat()}",
        columns=columns,
        rows=_metrics(rows, texts),
        note=note,
        series=series,
        kept=DAY_TABS_KEPT,
        earlier=tuple(f"{other}{day.isoformat()}" for other in others),
    )


def _note(held: SheetFigures, made_at: datetime, texts: Texts) -> str:
    return texts.text(
        "sheet.note.made",
        moment=f"{made_at.astimezone(UTC):%Y-%m-%d %H:%M}",
        attempts=texts.number(held.attempts),
        days=texts.number(len(held.daily)),
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


def _daily(held: SheetFigures, texts: Texts, note: str) -> Tab:
    rows = [_cells(row, figures.DAILY) for row in held.daily]
    return Tab(texts.text("sheet.tabs.daily"), _columns(figures.DAILY, texts), rows, note)


def _report(held: SheetFigures, texts: Texts, note: str) -> Tab:
    daily = texts.text("sheet.tabs.daily")
    return Tab(
        title=texts.text("sheet.tabs.report"),
        columns=_metric_columns(texts),
        rows=_metrics(held.daily, texts),
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
    """A column that holds no figure of its own."""
    heading, *others = _in_languages(f"sheet.columns.{name}", texts)
    return Column(name, heading, kind, width_px, tuple(others))


def _metric_columns(texts: Texts) -> tuple[Column, ...]:
    return (
        _column("metric", "text", texts, 300),
        _column("value", "value", texts),
        _column("week_before", "value", texts),
    )


def _metrics(daily: Sequence[Figures], texts: Texts) -> list[tuple[Cell, ...]]:
    """The last of the days, a metric a row, beside the same weekday of the week before."""
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
    """The figure with a type that says how it is shown."""
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


def _courses(held: SheetFigures, names: Names, texts: Texts, note: str) -> Tab:
    """One row per course that has an attempt: the most tried in the last 28 days first."""
    by_course: dict[str, dict[str, Any]] = {}
    for row in held.courses:
        period = {f"{key}_{row['period_days']}": value for key, value in row.items()}
        by_course.setdefault(row["course"], {}).update(period)
    titled = [
        row | {"course": names.course_title(course)} for course, row in sorted(by_course.items())
    ]
    titled.sort(key=lambda row: -(row.get("attempts_28") or 0))
    rows = [_cells(row, figures.COURSES) for row in titled]
    return Tab(texts.text("sheet.tabs.courses"), _columns(figures.COURSES, texts), rows, note)


def _tasks(held: SheetFigures, names: Names, texts: Texts, note: str) -> Tab:
    """One row per task, in the order given."""
    told = names.task_titles(held.tasks)
    rows = [
        _cells(_named_task(row, title, names, texts), figures.TASKS)
        for row, title in zip(held.tasks, told, strict=True)
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


def _alarms(held: SheetFigures, names: Names, texts: Texts, note: str) -> Tab:
    """One row per task and day in alarm, the newest day first, coloured by its kind."""
    rows = [
        {
            **row,
            "course": names.course_title(row["course"]),
            "task": title,
            "alarm_kind": texts.text(f"sheet.alarm.{row['kind']}"),
            "alarm_students": row["students"],
        }
        for row, title in zip(held.alarms, names.task_titles(held.alarms), strict=True)
    ]
    return Tab(
        title=texts.text("sheet.tabs.alarms"),
        columns=_columns(figures.ALARMS, texts),
        rows=[_cells(row, figures.ALARMS) for row in rows],
        note=note,
        key=("day", "course", "task"),
        tints=[TINTS[row["kind"]] for row in held.alarms],
    )


def _students(held: SheetFigures | None, names: Names, texts: Texts, note: str) -> Tab:
    """One row per student and task, in the order given; ids only."""
    rows_held = held.students if held else []
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
        for row, title in zip(rows_held, names.task_titles(rows_held), strict=True)
    ]
    return Tab(
        title=texts.text("sheet.tabs.students"),
        columns=_columns(figures.STUDENTS, texts),
        rows=rows,
        note=note,
        key=("user_id", "course", "task"),
        made_if_missing=held is not None,
    )


def _definitions(tabs_shown: Sequence[Tab], texts: Texts, note: str) -> Tab:
    """One row per figure that any tab shows: its heading and what it means."""
    metrics = {"metric", "value", "week_before"}
    keys = dict.fromkeys(c.key for tab in tabs_shown for c in tab.columns if c.key not in metrics)
    rows = [(figures.name_of(key, texts), figures.definition_of(key, texts)) for key in keys]
    columns = (
        _column("figure", "text", texts, 300),
        _column("definition", "text", texts, 900),
    )
    return Tab(texts.text("sheet.tabs.definitions"), columns, rows, note)
