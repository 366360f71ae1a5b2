"""The rows that the page reads from the tables of statistics; no student's id is among them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from lms_assets.statistics import measures

Row = Mapping[str, Any]

ALL_COURSES = ""
RETENTION_WEEKS = 26
TASK_DAYS = 28
TASK_WEEKS = 53


@dataclass(frozen=True)
class PageFigures:
    """Rows of the tables of statistics, each with ``course`` ('' = all courses together).

    Args:
        as_of: The newest loaded day; None where there are no attempts.
        zone: The zone of the days.
        periods: ``period_statistics``, key (course, period_days).
        days: ``daily_statistics`` and ``course_daily_statistics``, oldest first.
        weeks: The same sums and success by ISO week (``week``, its Monday), oldest first.
        overall: ``course_statistics``, key course.
        tasks: ``task_statistics``, the hardest first, with discrimination, stops and the mean day
            on which students worked on the task (``worked_on``).
        retention: ``retention``, the newest cohorts, oldest first.
        heat_map: ``heat_map``, key (course, iso_weekday, hour).
        alarms: ``task_alarms`` of the last 53 weeks: the newest day first, collapsed before
            surged, then by q.
        task_days: ``task_days`` of the last 28 days, oldest first.
        task_weeks: The same sums by ISO week (``week``, its Monday) of the last 53 weeks.
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
    alarms: Sequence[Row] = ()
    task_days: Sequence[Row] = ()
    task_weeks: Sequence[Row] = ()


def figures_for_page(connection: Connection) -> PageFigures:
    """All rows for the page, from the tables of statistics alone."""
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
        tasks=_tasks(connection),
        retention=_rows(connection, _NEWEST_COHORTS, weeks=RETENTION_WEEKS),
        heat_map=measures.heat_map(connection),
        alarms=_since(measures.alarms(connection), settings.as_of),
        task_days=_rows(connection, _TASK_DAYS, as_of=settings.as_of, days=TASK_DAYS),
        task_weeks=_rows(connection, _TASK_WEEKS, as_of=settings.as_of, days=7 * TASK_WEEKS),
    )


def task_key(row: Row) -> tuple[str, str, str]:
    """The key of a task."""
    return row["oauth_consumer_key"], row["course"], row["task"]


def _tasks(connection: Connection) -> list[Row]:
    """Each task's row with its figures from the other tables."""
    beyond: dict[tuple[str, str, str], dict[str, Any]] = {}
    stops = [{**r, "course_dropped": r["dropped_students"]} for r in measures.stops(connection)]
    for row in (*measures.discrimination(connection), *stops, *_rows(connection, _WORKED_ON)):
        beyond.setdefault(task_key(row), {}).update(row)
    return [{**row, **beyond.get(task_key(row), {})} for row in measures.tasks(connection)]


def _since(alarms: Sequence[Row], as_of: date) -> list[Row]:
    return [row for row in alarms if (as_of - row["day"]).days < 7 * TASK_WEEKS]


def _rows(connection: Connection, statement: str, **values: object) -> list[Row]:
    return [dict(row) for row in connection.execute(text(statement), values).mappings()]


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
_WORKED_ON = """
select oauth_consumer_key, course, task,
    date '2000-01-01' + round(sum(students * (day - date '2000-01-01'))::numeric
        / sum(students))::integer as worked_on
from task_days group by oauth_consumer_key, course, task
"""
_TASK_DAYS = """
select day, oauth_consumer_key, course, task, students, solved
from task_days where day between cast(:as_of as date) - (:days - 1) and :as_of
order by day
"""
_TASK_WEEKS = """
select week_of(day) as week, oauth_consumer_key, course, task,
    sum(students)::bigint as students, sum(solved)::bigint as solved
from task_days where day between cast(:as_of as date) - (:days - 1) and :as_of
group by week_of(day), oauth_consumer_key, course, task order by week
"""
