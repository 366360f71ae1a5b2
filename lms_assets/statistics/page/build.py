"""The page `report.html`: what the database holds, in one file that loads nothing.

A row of figures goes into the page as it stands in the tables of statistics, rounded: the page's
script chooses and shows, it defines nothing. No student's id is read here.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any, Literal
from zoneinfo import ZoneInfo

import jinja2
from babel.dates import format_datetime
from markupsafe import Markup
from sqlalchemy import Connection, text

from lms_assets.statistics import measures
from lms_assets.statistics.figures import FIGURES
from lms_assets.statistics.names import Names
from lms_assets.statistics.page.charts import chart_specs
from lms_assets.statistics.presentation import Presentation
from lms_assets.texts import Texts, catalogue, rounded

Row = Mapping[str, Any]

ALL_COURSES = ""
PERIODS = (7, 28, 90, 0)
RETENTION_WEEKS = 26
TILES = (
    "attempts",
    "users",
    "success",
    "new_users",
    "run_submit",
    "correct_of_all",
    "run_to_success",
    "help",
)
SECTIONS_DEFINED = ("activity", "hardest", "time", "runs", "retention", "heat")
DEFINED = dict.fromkeys(TILES, "tile") | dict.fromkeys(SECTIONS_DEFINED, "section")
FULL_LOCALES: Mapping[str, Literal["en-US", "ru-RU"]] = {"en": "en-US", "ru": "ru-RU"}

# The page's name of a column → the table's.
_DAY = {
    "attempts": "attempts",
    "runs": "runs",
    "correct": "correct",
    "wrong": "wrong",
    "ungraded": "ungraded",
    "success": "success_pct",
    "low": "success_low_pct",
    "high": "success_high_pct",
}
_ACTIVE = {"dau": "users", "wau": "wau", "mau": "mau"}
_TASK = {
    "students": "students",
    "is_ranked": "is_ranked",
    "difficulty": "difficulty",
    "first_try": "first_try_pct",
    "low": "first_try_low_pct",
    "high": "first_try_high_pct",
    "solve": "solve_pct",
    "submits": "submits",
    "success": "success_pct",
    "to_solve": "median_attempts_to_solve",
    "to_solve_p90": "p90_attempts_to_solve",
    "per_solver": "attempts_per_solver",
    "stuck": "stuck",
    "gave_up": "gave_up",
    "instant": "instant_solvers",
    "timed": "timed_solvers",
    "median_active": "median_active_min",
    "p90_active": "p90_active_min",
    "median_wall": "median_wall_min",
    "p90_wall": "p90_wall_min",
}
_RETENTION = {
    "later": "weeks_later",
    "students": "students",
    "active": "active",
    "pct": "active_pct",
    "is_complete": "is_complete",
}


@dataclass(frozen=True)
class PageFigures:
    """Rows of the tables of statistics, each with ``course`` ('' = all courses together).

    Args:
        as_of: The newest loaded day; None where there are no attempts.
        zone: The zone that says what a day is.
        periods: ``period_statistics``, key (course, period_days).
        days: ``daily_statistics`` and ``course_daily_statistics``, oldest first.
        weeks: The same sums and success by ISO week (``week``, its Monday), oldest first.
        overall: ``course_statistics``, key course.
        tasks: ``task_statistics``, the hardest first.
        retention: ``retention``, the newest cohorts, oldest first.
        heat_map: ``heat_map``, key (course, iso_weekday, hour).
    """

    as_of: date | None = None
    zone: str = "UTC"
    periods: Sequence[Row] = ()
    days: Sequence[Row] = ()
    weeks: Sequence[Row] = ()
    overall: Sequence[Row] = ()
    tasks: Sequence[Row] = ()
    retention: Sequence[Row] = ()
    heat_map: Sequence[Row] = ()


def page_of(connection: Connection, presentation: Presentation, *, made_at: datetime) -> str:
    """The whole page, of the figures that stand in the database now."""
    return render(
        figures_for_page(connection),
        language=presentation.language,
        names=presentation.names,
        made_at=made_at,
    )


def figures_for_page(connection: Connection) -> PageFigures:
    """What the page shows, from the tables of statistics alone."""
    settings = connection.execute(text("select zone, as_of from figure_settings")).one_or_none()
    if settings is None:
        return PageFigures()
    everyone = [{**row, "course": ALL_COURSES} for row in measures.daily(connection)]
    return PageFigures(
        as_of=settings.as_of,
        zone=settings.zone,
        periods=measures.periods(connection),
        days=everyone + measures.daily_by_course(connection),
        weeks=_rows(connection, _WEEKS),
        overall=_rows(connection, "select * from course_statistics"),
        tasks=measures.tasks(connection),
        retention=_rows(connection, _NEWEST_COHORTS),
        heat_map=measures.heat_map(connection),
    )


def _rows(connection: Connection, statement: str) -> list[dict[str, Any]]:
    rows = connection.execute(text(statement), {"weeks": RETENTION_WEEKS}).mappings()
    return [dict(row) for row in rows]


_WEEKS = """
with days as (
    select '' as course, day, attempts, runs, correct, wrong, ungraded from daily_statistics
    union all
    select course, day, attempts, runs, correct, wrong, ungraded from course_daily_statistics
), weeks as (
    select course, week_of(day) as week, sum(attempts)::bigint as attempts,
        sum(runs)::bigint as runs, sum(correct)::bigint as correct, sum(wrong)::bigint as wrong,
        sum(ungraded)::bigint as ungraded
    from days group by course, week_of(day)
)
select *,
    share_pct(correct, correct + wrong) as success_pct,
    wilson_pct(correct, correct + wrong, -1) as success_low_pct,
    wilson_pct(correct, correct + wrong, 1) as success_high_pct
from weeks order by course, week
"""
_NEWEST_COHORTS = """
with newest as (
    select *, dense_rank() over (partition by course order by cohort_week desc) as place
    from retention where weeks_later < :weeks
)
select * from newest where place <= :weeks order by course, cohort_week, weeks_later
"""


def render(figures: PageFigures, *, language: str, names: Names, made_at: datetime) -> str:
    """The page as HTML: one file, no network, no student.

    Args:
        figures: What it shows.
        language: ``en`` or ``ru``.
        names: Titles and links of courses and tasks.
        made_at: The instant it is made at, aware; shown in the zone of the figures.
    """
    texts = Texts(language)

    def word(key: str, **facts: object) -> str:
        return texts.text(f"page.{key}", **facts)

    return _template().render(
        text=word,
        language=language,
        tiles=TILES,
        definitions=[(word(f"{kind}.{k}"), word(f"define.{k}")) for k, kind in DEFINED.items()],
        style=Markup(_part("page.css")),
        **_filled(figures, texts, names, made_at),
    )


def _filled(figures: PageFigures, texts: Texts, names: Names, made_at: datetime) -> dict[str, Any]:
    title = texts.text("page.head.title")
    if figures.as_of is None or not figures.days:
        return {"title": title, "lines": [], "is_empty": True}
    first = min(row["day"] for row in figures.days)
    payload = _payload(figures, figures.as_of, first, names, texts.language)
    return {
        "title": f"{title} · {figures.as_of.isoformat()}",
        "lines": _lines(figures, figures.as_of, first, texts, made_at),
        "is_empty": False,
        "script": Markup(_part("page.js")),
        "vega": Markup(vega_bundle()),
        "figures": Markup(as_json_in_html(payload)),
    }


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_part("html.jinja"))


@cache
def _part(name: str) -> str:
    return files(__package__).joinpath(f"template/{name}").read_text(encoding="utf-8")


@cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as a script that may stand inside HTML; makes `vegaEmbed`.

    What would end the script or open a comment can stand in its strings alone,
    where a backslash changes nothing.
    """
    # Imported late: it starts a JavaScript engine.
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def as_json_in_html(value: object) -> str:
    """The value as JSON that may stand inside a script element, whatever its texts hold."""
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _lines(
    figures: PageFigures, as_of: date, first: date, texts: Texts, made_at: datetime
) -> list[str]:
    """What stands under the heading: of when the figures are, and from what they were made."""
    local = made_at.astimezone(ZoneInfo(figures.zone))
    moment = format_datetime(local, "d MMMM y, HH:mm", locale=texts.language)
    attempts = sum(row["attempts"] for row in figures.days if row["course"] == ALL_COURSES)
    last = texts.day(as_of)
    return [
        texts.text("page.head.as_of", day=last, zone=figures.zone),
        texts.text("page.head.history", first=texts.day(first), last=last),
        texts.text("page.head.made", moment=moment, attempts=texts.number(attempts)),
    ]


def _payload(
    figures: PageFigures, as_of: date, first: date, names: Names, language: str
) -> dict[str, Any]:
    """All that the script shows; lists by course are in the order of ``courses``."""
    courses = _courses(figures, names)
    words = _words(language)

    def by_course(rows: Sequence[Row], shape: Callable[[list[Row]], object]) -> list[object]:
        parts: dict[str, list[Row]] = {course: [] for course in courses}
        for row in rows:
            parts[row["course"]].append(row)
        return [shape(part) for part in parts.values()]

    def dated(key: str, names_of_columns: Mapping[str, str]) -> Callable[[list[Row]], object]:
        return lambda rows: (
            _columns(rows, names_of_columns) | {"age": [(as_of - row[key]).days for row in rows]}
        )

    return {
        "language": language,
        "locale": _locale(language),
        "words": words,
        "specs": chart_specs(words.__getitem__),
        "as_of": as_of.isoformat(),
        "zone": figures.zone,
        "history_days": (as_of - first).days + 1,
        "courses": [_course(course, names, words["control.all_courses"]) for course in courses],
        "tasks": _tasks(figures.tasks, courses, names),
        "overall": _overall(figures, courses),
        "periods": by_course(figures.periods, _periods),
        "days": by_course(figures.days, dated("day", _DAY | _ACTIVE)),
        "weeks": by_course(figures.weeks, dated("week", _DAY)),
        "newest": by_course(figures.days, lambda rows: _newest(rows, as_of)),
        "retention": by_course(figures.retention, dated("cohort_week", _RETENTION)),
        "heat": by_course(figures.heat_map, _heat),
    }


def _words(language: str) -> dict[str, str]:
    """The texts that the script needs: all but the definitions, which stand in the page."""
    page = {k.removeprefix("page."): v for k, v in catalogue(language).items() if k[:5] == "page."}
    return {key: sentence for key, sentence in page.items() if not key.startswith("define.")}


@cache
def _locale(language: str) -> dict[str, Any]:
    import vl_convert

    full = FULL_LOCALES[language]
    return {
        # Day before month, as the headings have it.
        "dates": {"en": "en-GB", "ru": "ru-RU"}[language],
        "numbers": vl_convert.get_format_locale(full),
        "days": vl_convert.get_time_format_locale(full),
    }


def _courses(figures: PageFigures, names: Names) -> list[str]:
    """All courses together, then each by its title."""
    found = {row["course"] for row in (*figures.overall, *figures.days, *figures.tasks)}
    found |= {row["course"] for row in (*figures.periods, *figures.heat_map, *figures.retention)}
    return [ALL_COURSES, *sorted(found - {ALL_COURSES}, key=lambda c: (names.course_title(c), c))]


def _course(course: str, names: Names, all_courses: str) -> dict[str, str]:
    if course == ALL_COURSES:
        return {"title": all_courses, "link": ""}
    return {"title": names.course_title(course), "link": names.course_link(course)}


def _tasks(rows: Sequence[Row], courses: list[str], names: Names) -> dict[str, list[Any]]:
    place = {course: index for index, course in enumerate(courses)}
    return _columns(rows, _TASK) | {
        "course": [place[row["course"]] for row in rows],
        "id": [row["task"] for row in rows],
        "title": names.task_titles(rows),
        "link": [names.task_link(row["course"], row["task"]) for row in rows],
    }


def _overall(figures: PageFigures, courses: list[str]) -> list[dict[str, Any]]:
    """Figures over the whole history by course, with the n of its submits on known tasks."""
    known = {row["course"]: row for row in figures.overall}
    submits: Counter[str] = Counter()
    for task in figures.tasks:
        for course in (ALL_COURSES, task["course"]):
            submits[course] += task["submits"] + task["ungraded"]
    return [
        {key: _of_history(key, value) for key, value in known[course].items()}
        | {"submits_on_tasks": submits[course]}
        if course in known
        else {}
        for course in courses
    ]


def _of_history(key: str, value: Any) -> Any:  # noqa: ANN401
    known = FIGURES.get(key)
    if known is not None and known.unit == "minutes":
        return value
    return _shown(value, decimals=known.decimals if known and known.decimals else 1)


def _periods(rows: list[Row]) -> dict[int, dict[str, Any]]:
    """Period in days → its figures and how they differ from the period before."""
    by_days = {row["period_days"]: row for row in rows}
    return {days: _period(by_days.get(days, _NO_ATTEMPTS)) for days in PERIODS}


_NO_ATTEMPTS: Row = dict.fromkeys(
    ("attempts", "users", "runs", "submits", "correct", "wrong", "ungraded", "new_users"), 0
)


def _period(row: Row) -> dict[str, Any]:
    changes: dict[str, float | None] = {
        f"{name}_trend_pct": change_pct(row.get(name), row.get(f"previous_{name}"))
        for name in ("attempts", "users", "new_users")
    }
    success, before = row.get("success_pct"), row.get("previous_success_pct")
    if success is not None and before is not None:
        changes["success_trend_points"] = success - before
    return {key: _shown(value) for key, value in (dict(row) | changes).items()}


def change_pct(now: float | None, before: float | None) -> float | None:
    """By how many percent a figure differs from what it was; None where it was 0 or is unknown."""
    return 100 * (now - before) / before if now is not None and before else None


def _newest(rows: list[Row], as_of: date) -> dict[str, Any] | None:
    """The newest day that has attempts: how many students were active up to it."""
    if not rows:
        return None
    row = max(rows, key=lambda row: row["day"])
    shown = {key: _shown(row[key]) for key in ("users", "wau", "mau", "stickiness_pct")}
    return shown | {"age": (as_of - row["day"]).days}


def _heat(rows: list[Row]) -> dict[str, list[int]]:
    """Attempts and students by hour of the week, from Monday 0:00 on: 168 numbers each."""
    cells = {"attempts": [0] * 168, "users": [0] * 168}
    for row in rows:
        hour_of_week = (row["iso_weekday"] - 1) * 24 + row["hour"]
        for name, values in cells.items():
            values[hour_of_week] = row[name]
    return cells


def _columns(rows: Sequence[Row], names: Mapping[str, str]) -> dict[str, list[Any]]:
    """A list per column: a third of the size of an object per row."""
    return {name: [_value(row, column) for row in rows] for name, column in names.items()}


def _value(row: Row, column: str) -> Any:  # noqa: ANN401
    """The figure rounded; minutes as they are, since the script shows long ones in hours or days.

    A figure is rounded once: 119.97 minutes are 2.0 h, not 120.0 min.
    """
    value = row.get(column)
    return value if column.endswith("_min") else _shown(value)


def _shown(value: Any, *, decimals: int = 1) -> Any:  # noqa: ANN401
    """A figure as it is shown: one decimal, half away from zero; whole numbers as they are."""
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, float | Decimal):
        return value
    shown = rounded(value, decimals)
    return int(shown) if shown == int(shown) else float(shown)
