"""The registry: each figure once, with its unit, its n and the places that show it.

A figure's name is the name of its column in the database. Its name for people and its definition
stand in ``texts/<language>/figures.toml``. From these two are made: the headings and
*Definitions* of the sheet, the words of the page, the lines of the letter, the comments on the
database's columns, and ``docs/figures.md``.

A new figure needs its SQL, a line in ``_DEFINED``, its name in the lists of the places that show
it, and its words in each language.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from lms_assets.texts import LANGUAGES, Texts, lists

Unit = Literal[
    "count",
    "number",
    "ratio",
    "probability",
    "percent",
    "minutes",
    "hour",
    "date",
    "datetime",
    "text",
]
"""The unit of a figure. Percentages are 0 to 100."""

DECIMALS: Mapping[Unit, int] = {
    "number": 1,
    "ratio": 2,
    "probability": 4,
    "percent": 1,
    "minutes": 1,
}
"""Digits after the point where a figure is shown as text; 0 for the units that are not here."""

Pattern = Literal["low", "high", "days_28", "before_28", "days_0", "previous"]


@dataclass(frozen=True)
class Figure:
    """One figure.

    Args:
        name: The name of its column in the database, and the key of its words.
        unit: Its unit.
        n: The column with the number of cases behind it; '' for a plain count.
        has_interval: Whether columns ``…_low…`` and ``…_high…`` hold its 95 % interval.
        base: The figure from whose words this one's words are made.
        pattern: How they are made: a bound of an interval, or ``base`` over a period.
    """

    name: str
    unit: Unit = "count"
    n: str = ""
    has_interval: bool = False
    base: str = ""
    pattern: Pattern | None = None

    @property
    def decimals(self) -> int:
        """Digits after the point where the figure is shown as text."""
        return DECIMALS.get(self.unit, 0)


_DEFINED = (
    # 1 to 3, of a day or a period.
    Figure("day", "date"),
    Figure("attempts"),
    Figure("users"),
    Figure("runs"),
    Figure("submits"),
    Figure("correct"),
    Figure("wrong"),
    Figure("ungraded"),
    Figure("mean_attempts_per_user", "number", n="users"),
    Figure("median_attempts_per_user", "number", n="users"),
    Figure("attempts_trend_pct", "percent"),
    Figure("busiest_hour", "hour"),
    Figure("without_task"),
    Figure("without_task_pct", "percent", n="attempts"),
    Figure("new_users"),
    Figure("returning_users"),
    Figure("wau"),
    Figure("mau"),
    Figure("stickiness_pct", "percent", n="mau"),
    Figure("success_pct", "percent", n="graded", has_interval=True),
    Figure("correct_of_all_pct", "percent", n="attempts"),
    Figure("run_to_success_pct", "percent", n="runs"),
    # 4 to 10, of a task.
    Figure("course", "text"),
    Figure("task", "text"),
    Figure("link", "text"),
    Figure("students"),
    Figure("difficulty", "text", n="students"),
    Figure("first_try_solvers"),
    Figure("first_try_pct", "percent", n="students", has_interval=True),
    Figure("solvers"),
    Figure("solve_pct", "percent", n="students"),
    Figure("graded"),
    Figure("task_success_pct", "percent", n="graded"),
    Figure("median_attempts_to_solve", "number", n="solvers"),
    Figure("p90_attempts_to_solve", n="solvers"),
    Figure("attempts_per_solver", "number", n="solvers"),
    Figure("instant_solvers"),
    Figure("timed_solvers"),
    Figure("median_wall_min", "minutes", n="timed_solvers"),
    Figure("p90_wall_min", "minutes", n="timed_solvers"),
    Figure("median_active_min", "minutes", n="timed_solvers"),
    Figure("p90_active_min", "minutes", n="timed_solvers"),
    Figure("stuck", n="students"),
    Figure("gave_up", n="students"),
    Figure("runs_per_submit", "ratio", n="submits"),
    Figure("blind_pct", "percent", n="submits"),
    Figure("success_after_run_pct", "percent"),
    Figure("success_blind_pct", "percent"),
    # 14 and 15, of a task.
    Figure("discrimination", "ratio", n="compared_students", has_interval=True),
    Figure("compared_students"),
    Figure("discrimination_state", "text", n="compared_students"),
    Figure("stopped", n="course_dropped"),
    Figure("stopped_solvers", n="stopped"),
    Figure("stopped_pct", "percent", n="course_dropped"),
    Figure("course_dropped"),
    # 13, of a day and a task.
    Figure("alarm_kind", "text"),
    Figure("alarm_students"),
    Figure("solved", n="alarm_students"),
    Figure("solved_pct", "percent", n="alarm_students"),
    Figure("usual_pct", "percent", n="usual_student_days"),
    Figure("usual_student_days"),
    Figure("q", "probability"),
    Figure("since", "date"),
    # 9, of a student and a task.
    Figure("user_id", "text"),
    Figure("student_graded"),
    Figure("student_runs"),
    Figure("blind_submits"),
    Figure("first_attempt_at", "datetime"),
    Figure("last_submit_at", "datetime"),
    # 7, 9 and 11 of all students, and 12.
    Figure("pairs"),
    Figure("solved_pairs"),
    Figure("instant_pairs", n="solved_pairs"),
    Figure("timed_pairs", n="solved_pairs"),
    Figure("active_students", n="users"),
    Figure("at_risk_students", n="users"),
    Figure("dropped_students", n="users"),
    Figure("cohort_week", "date"),
    Figure("weeks_later"),
    Figure("cohort_students"),
    Figure("active", n="cohort_students"),
    Figure("active_pct", "percent", n="cohort_students"),
    Figure("iso_weekday"),
    Figure("hour", "hour"),
)

# Table or view → column → figure, where a column holds another figure than its name says.
_OF_A_TASK = {"submits": "graded", "success_pct": "task_success_pct"}
_OF_A_STUDENT_TASK = {"graded": "student_graded", "runs": "student_runs"}
OWN_MEANING: Mapping[str, Mapping[str, str]] = {
    "task_statistics": _OF_A_TASK,
    "task_figures": _OF_A_TASK,
    "hardest_tasks": _OF_A_TASK,
    "figure_06_attempts_to_solve": _OF_A_TASK,
    "figure_08_hardest_tasks": _OF_A_TASK,
    "student_task_statistics": _OF_A_STUDENT_TASK,
    "students_who_need_help": _OF_A_STUDENT_TASK,
    "retention": {"students": "cohort_students"},
    "figure_11_retention": {"students": "cohort_students"},
    "task_stops": {"dropped_students": "course_dropped"},
    "figure_15_where_students_stop": {"dropped_students": "course_dropped"},
    "figure_13_task_alarms": {"kind": "alarm_kind", "students": "alarm_students"},
    "task_alarms": {"kind": "alarm_kind", "students": "alarm_students"},
}

# The places that show figures, each with its figures in their order.
# The columns of the LMS Analytics Pipeline's sheet, then those of ETL-Project, then ours.
DAILY = (
    *("day", "attempts", "users", "correct", "success_pct", "runs", "submits"),
    *("mean_attempts_per_user", "median_attempts_per_user", "run_to_success_pct"),
    *("wrong", "ungraded", "success_low_pct", "success_high_pct", "correct_of_all_pct"),
    *("new_users", "returning_users", "wau", "mau", "stickiness_pct"),
    *("attempts_trend_pct", "without_task", "busiest_hour"),
)
# ETL-Project's metrics in their order, then ours, then its counts by verdict.
REPORT = (
    *("day", "attempts", "users", "mean_attempts_per_user", "median_attempts_per_user"),
    *("run_to_success_pct", "success_pct", "success_low_pct", "success_high_pct"),
    *("correct_of_all_pct", "new_users", "returning_users", "wau", "mau", "stickiness_pct"),
    *("attempts_trend_pct", "without_task", "busiest_hour"),
    *("correct", "wrong", "ungraded", "runs"),
)
COURSES = (
    *("course", "attempts_28", "previous_attempts_28", "users_28", "previous_users_28"),
    *("new_users_28", "runs_28", "submits_28"),
    *("success_pct_28", "success_low_pct_28", "success_high_pct_28", "previous_success_pct_28"),
    *("run_to_success_pct_28", "mean_attempts_per_user_28", "median_attempts_per_user_28"),
    *("attempts_0", "users_0", "success_pct_0"),
)
TASKS = (
    *("course", "task", "students", "difficulty"),
    *("first_try_pct", "first_try_low_pct", "first_try_high_pct"),
    *("solvers", "solve_pct", "graded", "task_success_pct"),
    *("median_attempts_to_solve", "p90_attempts_to_solve", "attempts_per_solver"),
    *("instant_solvers", "median_wall_min", "p90_wall_min", "median_active_min"),
    *("p90_active_min", "stuck", "gave_up", "runs_per_submit", "blind_pct"),
    *("success_after_run_pct", "success_blind_pct"),
    *("discrimination", "discrimination_state", "compared_students"),
    *("stopped", "stopped_solvers", "stopped_pct", "link"),
)
ALARMS = (
    *("day", "course", "task", "alarm_kind", "alarm_students", "solved", "solved_pct"),
    *("usual_pct", "usual_student_days", "q", "since"),
)
STUDENTS = (
    *("user_id", "course", "task", "student_graded", "student_runs", "blind_submits"),
    *("first_attempt_at", "last_submit_at"),
)
LETTER = (
    *("attempts", "users", "new_users", "returning_users", "runs", "submits", "correct"),
    *("wrong", "ungraded", "success_pct", "run_to_success_pct", "correct_of_all_pct"),
    *("mean_attempts_per_user", "median_attempts_per_user", "wau", "mau", "stickiness_pct"),
    *("attempts_trend_pct", "busiest_hour"),
)
# The page: its tiles, each with the figures below it; then the figures of each section's list and
# table. A lower bound stands for its whole interval.
TILES: Mapping[str, tuple[str, ...]] = {
    "attempts": ("mean_attempts_per_user", "median_attempts_per_user"),
    "users": (),
    "success_pct": (),
    "new_users": (),
    "submits": ("runs", "correct", "wrong", "ungraded"),
    "correct_of_all_pct": (),
    "run_to_success_pct": (),
    "stuck": ("gave_up", "pairs"),
}
PAGE_LISTS: Mapping[str, tuple[str, ...]] = {
    "time": (
        *("median_active_min", "p90_active_min", "median_wall_min", "p90_wall_min"),
        "instant_pairs",
    ),
    "runs": ("runs_per_submit", "blind_pct", "success_after_run_pct", "success_blind_pct"),
    "retention": ("active_students", "at_risk_students", "dropped_students"),
    "task": tuple(name for name in TASKS if name not in ("course", "task", "link")),
}
_TASK_OF_COURSE = ("task", "course")
PAGE_TABLES: Mapping[str, tuple[str, ...]] = {
    "alarms": (*_TASK_OF_COURSE, *ALARMS[3:]),
    "task": ("day", "alarm_students", "solved", "solved_pct", "alarm_kind"),
    "activity": ("day", "attempts", "runs", "correct", "wrong", "ungraded"),
    "users": ("day", "users", "wau", "mau"),
    "success": ("day", "success_pct", "success_low_pct", "graded"),
    "hardest": (
        *(*_TASK_OF_COURSE, "difficulty", "first_try_pct", "first_try_low_pct", "students"),
        *("solve_pct", "median_attempts_to_solve", "p90_attempts_to_solve"),
        *("attempts_per_solver", "graded", "task_success_pct"),
    ),
    "items": (
        *(*_TASK_OF_COURSE, "discrimination_state", "discrimination", "discrimination_low"),
        *("compared_students", "first_try_pct", "students"),
    ),
    "help": (*_TASK_OF_COURSE, "stuck", "gave_up", "students"),
    "time": (
        *(*_TASK_OF_COURSE, "median_active_min", "p90_active_min", "median_wall_min"),
        *("p90_wall_min", "timed_solvers", "instant_solvers"),
    ),
    "stops": (*_TASK_OF_COURSE, "stopped", "stopped_solvers", "stopped_pct", "course_dropped"),
    "retention": ("cohort_week", "weeks_later", "cohort_students", "active", "active_pct"),
    "heat": ("iso_weekday", "hour", "attempts", "users"),
}
PLACES: Mapping[str, tuple[str, ...]] = {
    "sheet.tabs.daily": DAILY,
    "sheet.tabs.report": REPORT,
    "sheet.tabs.courses": COURSES,
    "sheet.tabs.tasks": TASKS,
    "sheet.tabs.alarms": ALARMS,
    "sheet.tabs.students": STUDENTS,
    "letters.name": LETTER,
    **{f"page.section.{section}": shown for section, shown in PAGE_TABLES.items()},
}
"""The key of a place's title → the figures that it shows."""


def _with_interval(figure: Figure) -> Iterator[Figure]:
    yield figure
    for side in ("low", "high") if figure.has_interval else ():
        name = bound(figure.name, side)
        yield Figure(name, figure.unit, figure.n, base=figure.name, pattern=side)


def bound(name: str, side: Literal["low", "high"]) -> str:
    """The column of a bound: for ``success_pct_28`` and low it is ``success_low_pct_28``."""
    return name.replace("_pct", f"_{side}_pct", 1) if "_pct" in name else f"{name}_{side}"


def _over_periods(figure: Figure) -> Iterator[Figure]:
    """The figure over periods, as columns of `period_statistics`: ``users_28``, ``users_0``."""
    patterns: Mapping[str, Pattern] = {
        f"{figure.name}_28": "days_28",
        f"{figure.name}_0": "days_0",
        f"previous_{figure.name}_28": "before_28",
        f"previous_{figure.name}": "previous",
    }
    for name, pattern in patterns.items():
        has_interval = figure.has_interval and not name.startswith("previous")
        own = Figure(name, figure.unit, figure.n, has_interval, figure.name, pattern)
        yield from _with_interval(own)


_OF_PERIODS = (
    *("attempts", "users", "new_users", "runs", "submits", "success_pct", "run_to_success_pct"),
    *("mean_attempts_per_user", "median_attempts_per_user"),
)


def _every_figure() -> Iterator[Figure]:
    for defined in _DEFINED:
        yield from _with_interval(defined)
        if defined.name in _OF_PERIODS:
            yield from _over_periods(defined)


FIGURES: Mapping[str, Figure] = {figure.name: figure for figure in _every_figure()}
"""Column → figure, for all figures, those made from others included."""


def name_of(figure: str, texts: Texts) -> str:
    """The figure's name for people, in the language of ``texts``; the same in all places."""
    entry = FIGURES[figure]
    if entry.pattern is None:
        return texts.text(f"figures.{figure}.name")
    base = name_of(entry.base, texts)
    return texts.text(f"figures.pattern.{entry.pattern}.name", figure=base)


def definition_of(figure: str, texts: Texts) -> str:
    """The figure's definition, in one or a few sentences."""
    entry = FIGURES[figure]
    if entry.pattern is None:
        return texts.text(f"figures.{figure}.definition")
    base = name_of(entry.base, texts)
    return texts.text(f"figures.pattern.{entry.pattern}.definition", figure=base)


def as_text(figure: str, value: float | Decimal | None, texts: Texts) -> str:
    """The figure in a sentence or a letter: rounded, in the language's notation."""
    entry = FIGURES[figure]
    match entry.unit:
        case "percent":
            return texts.percent(value)
        case "hour" if value is not None:
            return f"{int(value):02d}:00"
        case _:
            return texts.number(value, entry.decimals)


def other_names(figure: str, texts: Texts) -> tuple[str, ...]:
    """Other headings of the figure in our sheet: earlier ones and those of other languages."""
    own = name_of(figure, texts)
    names = [
        name
        for language in (texts.language, *LANGUAGES)
        for name in (
            name_of(figure, Texts(language)),
            *lists(language).get(f"figures.{figure}.earlier", ()),
        )
    ]
    return tuple(name for name in dict.fromkeys(names) if name != own)


def figure_of(relation: str, column: str) -> Figure | None:
    """The figure in a column of a table or view; None where the column holds no figure."""
    return FIGURES.get(OWN_MEANING.get(relation, {}).get(column, column))


def column_of(relation: str, figure: str) -> str:
    """The column of a table or view that holds the figure: the inverse of `figure_of`."""
    own = {name: column for column, name in OWN_MEANING.get(relation, {}).items()}
    return own.get(figure, figure)


def column_comments(relation: str) -> dict[str, str]:
    """Column → its meaning in English, for a table or view.

    It holds more columns than the relation has; the caller takes those that it needs.
    """
    texts = Texts("en")
    comments = {name: _comment(figure, texts) for name, figure in FIGURES.items()}
    comments |= _database()["columns"]
    for column, name in OWN_MEANING.get(relation, {}).items():
        comments[column] = _comment(FIGURES[name], texts)
    own: dict[str, str] = _database()["own"].get(relation, {})
    return comments | own


def relation_comments() -> dict[str, str]:
    """Table or view of the figures → its grain and key, in English."""
    return dict(_database()["relations"])


def function_comments() -> dict[str, str]:
    """Function of the figures → its result, in English."""
    return dict(_database()["functions"])


def _comment(figure: Figure, texts: Texts) -> str:
    unit = texts.text(f"figures.unit.{figure.unit}")
    return f"{name_of(figure.name, texts)} ({unit}). {definition_of(figure.name, texts)}"


@cache
def _database() -> dict[str, Any]:
    """The comments in ``columns.toml``: on tables, and on columns that hold no figure."""
    return tomllib.loads(files(__package__).joinpath("columns.toml").read_text(encoding="utf-8"))
