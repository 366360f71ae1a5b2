"""The data for the page's script: the figures of the database as lists, rounded; pure.

A figure has its name from the registry, even where its column has another name. No figure is
computed here.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from lms_assets.statistics.figures import (
    FIGURES,
    PAGE_LISTS,
    PAGE_TABLES,
    PLACES,
    TILES,
    Figure,
    bound,
    column_of,
    name_of,
)
from lms_assets.statistics.names import Names
from lms_assets.statistics.page.charts import chart_specs
from lms_assets.statistics.page.queries import ALL_COURSES, PageFigures, Row, task_key
from lms_assets.texts import Texts, catalogue, rounded

PERIODS = (7, 28, 90, 0)
STATES = ("difficulty", "alarm", "discrimination")
NO_ATTEMPTS: Row = dict.fromkeys(
    ("attempts", "users", "runs", "submits", "correct", "wrong", "ungraded", "new_users"), 0
)
_VOLUME = (
    *("attempts", "runs", "correct", "wrong", "ungraded"),
    *("success_pct", "success_low_pct", "success_high_pct"),
)
_DAY = (*_VOLUME, *(name for name in PAGE_TABLES["users"] if name != "day"))
_RETENTION = ("weeks_later", "cohort_students", "active", "active_pct")
_ALARM = PLACES["sheet.tabs.alarms"][3:]


def payload_of(
    figures: PageFigures, as_of: date, first: date, names: Names, texts: Texts
) -> dict[str, Any]:
    """All data for the script; lists by course are in the order of ``courses``.

    Args:
        figures: Rows of the database.
        as_of: The newest loaded day.
        first: The oldest day with attempts.
        names: Titles and links of courses and tasks.
        texts: The language.
    """
    return (
        _words(texts)
        | _of_courses(figures, as_of, first, names, texts)
        | _of_tasks(figures, as_of, names)
    )


def shown_figures() -> dict[str, Figure]:
    """Name → figure, for all figures of the page, in the order of the page."""
    tiles = [name for tile, others in TILES.items() for name in (tile, *others)]
    listed = [name for shown in (*PAGE_LISTS.values(), *PAGE_TABLES.values()) for name in shown]
    return {name: FIGURES[name] for name in (*tiles, *listed)}


def change_pct(now: float | None, before: float | None) -> float | None:
    """The change of a figure in percent; None where it was 0 or one value is unknown."""
    return 100 * (now - before) / before if now is not None and before else None


def _words(texts: Texts) -> dict[str, Any]:
    words = _sentences(texts)
    return {
        "language": texts.language,
        "words": words,
        "figures": {name: _described(figure, texts) for name, figure in shown_figures().items()},
        "tiles": TILES,
        "lists": {section: _without_bounds(shown) for section, shown in PAGE_LISTS.items()},
        "tables": PAGE_TABLES,
        "specs": chart_specs(words.__getitem__, lambda figure: name_of(figure, texts)),
    }


def _sentences(texts: Texts) -> dict[str, str]:
    """The page's sentences, and under ``state.…`` the sheet's words for difficulty and alarms."""
    all_texts = catalogue(texts.language)
    own = {k.removeprefix("page."): v for k, v in all_texts.items() if k.startswith("page.")}
    states = {
        f"state.{key.rpartition('.')[2]}": sentence
        for key, sentence in all_texts.items()
        if key.startswith(tuple(f"sheet.{kind}." for kind in STATES))
    }
    return own | states


def _without_bounds(shown: Iterable[str]) -> list[str]:
    return [name for name in shown if not FIGURES[name].pattern]


def _described(figure: Figure, texts: Texts) -> dict[str, Any]:
    entry = {
        "name": name_of(figure.name, texts),
        "unit": figure.unit,
        "decimals": figure.decimals,
        "n": figure.n,
    }
    if figure.pattern == "low":
        entry["high"] = bound(figure.base, "high")
    elif figure.has_interval:
        entry["low"], entry["high"] = bound(figure.name, "low"), bound(figure.name, "high")
    return entry


def _of_courses(
    figures: PageFigures, as_of: date, first: date, names: Names, texts: Texts
) -> dict[str, Any]:
    courses = _courses(figures, names)

    def by_course(rows: Sequence[Row], shape: Callable[[list[Row]], object]) -> list[object]:
        parts: dict[str, list[Row]] = {course: [] for course in courses}
        for row in rows:
            parts[row["course"]].append(row)
        return [shape(part) for part in parts.values()]

    def dated(
        key: str, relation: str, shown: Sequence[str]
    ) -> Callable[[list[Row]], dict[str, list[Any]]]:
        return lambda rows: (
            _columns(rows, relation, shown) | {"age": [(as_of - row[key]).days for row in rows]}
        )

    return {
        "as_of": as_of.isoformat(),
        "zone": figures.zone,
        "history_days": (as_of - first).days + 1,
        "courses": [_course(c, names, texts.text("page.control.all_courses")) for c in courses],
        "overall": _overall(figures, courses),
        "periods": by_course(figures.periods, _periods),
        "days": by_course(figures.days, dated("day", "daily_statistics", _DAY)),
        "weeks": by_course(figures.weeks, dated("week", "daily_statistics", _VOLUME)),
        "newest": by_course(figures.days, lambda rows: _newest(rows, as_of)),
        "retention": by_course(
            figures.retention,
            lambda rows: (
                dated("cohort_week", "retention", _RETENTION)(rows)
                | {"is_complete": [row["is_complete"] for row in rows]}
            ),
        ),
        "heat": by_course(figures.heat_map, _heat),
    }


def _courses(figures: PageFigures, names: Names) -> list[str]:
    """All courses together, then each by its title."""
    ids = {row["course"] for row in (*figures.overall, *figures.days, *figures.tasks)}
    ids |= {row["course"] for row in (*figures.periods, *figures.heat_map, *figures.retention)}
    return [ALL_COURSES, *sorted(ids - {ALL_COURSES}, key=lambda c: (names.course_title(c), c))]


def _course(course: str, names: Names, all_courses: str) -> dict[str, str]:
    if course == ALL_COURSES:
        return {"id": "", "title": all_courses, "link": ""}
    return {
        "id": course,
        "title": names.course_title(course),
        "link": names.course_link(course),
    }


def _overall(figures: PageFigures, courses: list[str]) -> list[dict[str, Any]]:
    """Figures over the whole history by course.

    ``submits`` counts only submits on known tasks, and ``timed_solvers`` is ``timed_pairs``: the
    n of those figures of a course that a task has too.
    """
    by_course = {row["course"]: row for row in figures.overall}
    submits: Counter[str] = Counter()
    for task in figures.tasks:
        for course in (ALL_COURSES, task["course"]):
            submits[course] += task["submits"] + task["ungraded"]
    return [
        {key: _shown(key, value) for key, value in by_course[course].items()}
        | {"submits": submits[course], "timed_solvers": by_course[course].get("timed_pairs")}
        if course in by_course
        else {}
        for course in courses
    ]


def _periods(rows: list[Row]) -> dict[int, dict[str, Any]]:
    """Period in days → its figures and their changes against the period before."""
    by_days = {row["period_days"]: row for row in rows}
    return {days: _period(by_days.get(days, NO_ATTEMPTS)) for days in PERIODS}


def _period(row: Row) -> dict[str, Any]:
    shown = {key: _shown(key, value) for key, value in row.items()}
    shown["graded"] = row["correct"] + row["wrong"]
    changes = {
        name: _shown("", _change(FIGURES[name], row[name], row[f"previous_{name}"]))
        for name in TILES
        if f"previous_{name}" in row
    }
    return shown | {"changes": changes}


def _change(figure: Figure, now: float | None, before: float | None) -> float | None:
    """The change of a figure: in points for a percentage, in percent for an amount."""
    if figure.unit != "percent":
        return change_pct(now, before)
    return None if now is None or before is None else now - before


def _newest(rows: list[Row], as_of: date) -> dict[str, Any] | None:
    """The active students of the newest day with attempts."""
    if not rows:
        return None
    row = max(rows, key=lambda row: row["day"])
    shown = {key: _shown(key, row[key]) for key in ("users", "wau", "mau", "stickiness_pct")}
    return shown | {"age": (as_of - row["day"]).days}


def _heat(rows: list[Row]) -> dict[str, list[int]]:
    """Attempts and students by hour of the week, from Monday 0:00 on: 168 numbers each."""
    cells = {"attempts": [0] * 168, "users": [0] * 168}
    for row in rows:
        hour_of_week = (row["iso_weekday"] - 1) * 24 + row["hour"]
        for name, values in cells.items():
            values[hour_of_week] = row[name]
    return cells


def _of_tasks(figures: PageFigures, as_of: date, names: Names) -> dict[str, Any]:
    """The tasks, and their alarms, days and weeks, which name a task by its place in the list."""
    courses = {course: index for index, course in enumerate(_courses(figures, names))}
    place = {task_key(row): index for index, row in enumerate(figures.tasks)}
    return {
        "tasks": _tasks(figures.tasks, courses, names, as_of),
        "alarms": _columns(figures.alarms, "task_alarms", _ALARM)
        | {
            "place": [place[task_key(row)] for row in figures.alarms],
            "age": [(as_of - row["day"]).days for row in figures.alarms],
        },
        "task_days": _by_task(figures.task_days, "day", place, as_of),
        "task_weeks": _by_task(figures.task_weeks, "week", place, as_of),
    }


def _tasks(
    rows: Sequence[Row], courses: Mapping[str, int], names: Names, as_of: date
) -> dict[str, list[Any]]:
    return _columns(rows, "task_statistics", _figures_of_tasks()) | {
        "is_ranked": [row["is_ranked"] for row in rows],
        "course": [courses[row["course"]] for row in rows],
        "id": [row["task"] for row in rows],
        "site": [row["oauth_consumer_key"] for row in rows],
        "title": names.task_titles(rows),
        "link": [names.task_link(row["course"], row["task"]) for row in rows],
        "worked_age": [
            (as_of - day).days if (day := row.get("worked_on")) else None for row in rows
        ],
    }


def _figures_of_tasks() -> Iterable[str]:
    """The figures of tasks, with both bounds of each figure that has an interval."""
    sections = ("hardest", "items", "help", "time", "stops")
    tables = [name for section in sections for name in PAGE_TABLES[section]]
    shown = [name for name in (*PAGE_LISTS["task"], *tables) if name not in ("task", "course")]
    wide = [name for name in shown if FIGURES[name].has_interval and not FIGURES[name].pattern]
    bounds = [bound(name, side) for name in wide for side in ("low", "high")]
    return dict.fromkeys([*shown, *bounds])


def _by_task(
    rows: Sequence[Row], key: str, place: Mapping[tuple[str, str, str], int], as_of: date
) -> dict[int, list[int]]:
    """Place of a task → one flat list: age in days, students, solved, age in days, …"""
    numbers_of: dict[int, list[int]] = {}
    for row in rows:
        numbers = ((as_of - row[key]).days, row["students"], row["solved"])
        numbers_of.setdefault(place[task_key(row)], []).extend(numbers)
    # In one order whatever order the rows came in: the same figures make the same page.
    return dict(sorted(numbers_of.items()))


def _columns(rows: Sequence[Row], relation: str, shown: Iterable[str]) -> dict[str, list[Any]]:
    """A list per figure; this takes a third of the size of an object per row."""
    columns = {figure: column_of(relation, figure) for figure in shown}
    return {
        figure: [_shown(figure, row.get(column)) for row in rows]
        for figure, column in columns.items()
    }


def _shown(figure: str, value: Any) -> Any:  # noqa: ANN401
    """The figure as the page shows it: rounded half away from zero; other values unchanged."""
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, float | Decimal):
        return value
    entry = FIGURES.get(figure)
    shown = rounded(value, entry.decimals if entry and entry.decimals else 1)
    return int(shown) if shown == int(shown) else float(shown)
