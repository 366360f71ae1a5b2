"""The fifteen figures in PostgreSQL: how they are brought up to date and read.

Each figure is defined once, in SQL: in ``sql/`` if a table stores it, in ``sql/views/`` if a view
computes it from stored ones. This module decides what is computed again when the attempts of
some days changed, and in which order. The comments on the columns and ``docs/figures.md`` say
what each figure means.

Figures describe the state at the end of the newest loaded day, whatever the clock says. Days are
those of LMS_TIMEZONE, and staff are left out. Nothing here depends on Dagster.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, TextClause, text

from lms_assets.attempts.lag import take_marks
from lms_assets.days import days_between, spans, window_between
from lms_assets.locks import Lock, hold, wait_for
from lms_assets.statistics.alarms import refresh_alarms
from lms_assets.statistics.offsets import offsets_hold, write_offsets
from lms_assets.statistics.unpublished import mark_unpublished
from lms_assets.statistics.views import definition_of_figures, script

TURN_TIMEOUT = "15min"
STEPS_OF_DAYS = ("student_hours", "task_days", "student_tasks")
STEPS = ("student_activity", "daily", "retention", "aged_pairs", "tasks", "discrimination")
LONGEST_SPAN = timedelta(days=31)
# The tables that grow with the students and their days, with the columns by which rows are found.
GROWING = (
    "student_hours (user_id, day)",
    "student_activity (user_id, course, cohort_week)",
    "student_task_statistics (user_id, oauth_consumer_key, course, task, last_day)",
    "task_days",
)

Row = dict[str, Any]


def take_turn(connection: Connection) -> None:
    """No other refresh runs until this transaction ends.

    Call it before you read the newest loaded day: two runs may overtake each other, and ``as_of``
    must not go back. A second call in the same transaction does nothing. The wait has its own
    limit, because a refresh may take longer than the connection's ``lock_timeout``.
    """
    before = connection.scalar(text("select current_setting('lock_timeout')"))
    wait_for(connection, TURN_TIMEOUT)
    hold(connection, Lock.REFRESH)
    wait_for(connection, before)


def refresh(
    connection: Connection,
    days: Iterable[date],
    *,
    zone: str,
    as_of: date,
    staff: Collection[str] = (),
) -> None:
    """All figures are what a full recomputation would give; only changed days are computed.

    The transaction must see what others commit meanwhile (READ COMMITTED, the default).

    Args:
        connection: In a transaction; readers see the new figures when it commits.
        days: Days to compute besides those in ``lagging_days``.
        zone: The IANA zone of the days.
        as_of: The newest loaded day; later attempts are left out.
        staff: User ids that are left out.
    """
    take_turn(connection)
    before = _settings(connection)
    if before is None or not _can_go_on(connection, before, zone, as_of, staff):
        return refresh_all(connection, zone=zone, as_of=as_of, staff=staff)
    changed = {day for day in take_marks(connection).union(days) if day <= as_of}
    new_days = days_between(before["as_of"] + timedelta(days=1), as_of)
    if changed or new_days:
        _write_settings(connection, zone, as_of)
        _recompute(connection, changed.union(new_days), ZoneInfo(zone), as_of)
    return None


def _can_go_on(
    connection: Connection, before: Row, zone: str, as_of: date, staff: Collection[str]
) -> bool:
    """Whether the stored figures have the present definitions, zone, staff and offsets."""
    return (
        (before["zone"], before["definition"]) == (zone, definition_of_figures())
        and before["as_of"] <= as_of
        and set(connection.scalars(text("select user_id from staff"))) == set(staff)
        and offsets_hold(connection, ZoneInfo(zone), before["as_of"])
    )


def refresh_all(
    connection: Connection, *, zone: str, as_of: date, staff: Collection[str] = ()
) -> None:
    """All figures are computed from all attempts. Arguments as for :func:`refresh`."""
    take_turn(connection)
    take_marks(connection)
    _write_settings(connection, zone, as_of)
    _write_staff(connection, staff)
    connection.execute(_sql("forget"))
    oldest = connection.scalar(text("select min(created_at) from attempts"))
    first = as_of if oldest is None else oldest.date() - timedelta(days=1)
    _recompute(connection, set(days_between(min(first, as_of), as_of)), ZoneInfo(zone), as_of)
    _look_at_sizes(connection)


def _recompute(connection: Connection, days: set[date], zone: ZoneInfo, as_of: date) -> None:
    """All figures that the attempts of ``days`` affect are computed again, step by step."""
    mark_unpublished(connection)
    connection.execute(text("set local work_mem = '128MB'"))
    connection.execute(text("set local jit = off"))
    # A day's students are few, and their rows lie apart: by the default PostgreSQL, which takes a
    # page read by itself for four read in a row, would read the whole history of all students.
    connection.execute(text("set local random_page_cost = 1.1"))
    oldest = connection.scalar(text("select min(day) from daily_figures"))
    write_offsets(connection, zone, min([as_of, *days, *([oldest] if oldest else [])]), as_of)
    connection.execute(_sql("touched"), {"days": sorted(days)})
    for first, last in _parts_of(days):
        window = window_between(first, last, zone)
        instants = {"starts": window.start, "ends": window.end, "as_of": as_of}
        connection.execute(_sql("changed_hours"), instants)
        part = {"first": first, "last": last, "as_of": as_of}
        for step in STEPS_OF_DAYS:
            connection.execute(_sql(step), part)
        # All is one transaction, so a long history would be planned for the tables it began with.
        if last - first > LONGEST_SPAN / 2:
            _look_at_sizes(connection)
    for step in STEPS:
        connection.execute(_sql(step), {"as_of": as_of})
    refresh_alarms(connection, sorted(days), as_of=as_of)


def _look_at_sizes(connection: Connection) -> None:
    """PostgreSQL plans for the tables' present sizes.

    Until autovacuum looks, which is after the commit, it would plan for the old ones and read
    tables whole. A role that does not own a table gets a warning, and the table is left.
    """
    connection.execute(text(f"analyze {', '.join(GROWING)}"))


@cache
def _sql(step: str) -> TextClause:
    return text(script(f"{step}.sql"))


def _settings(connection: Connection) -> Row | None:
    rows = _rows(connection, "select zone, as_of, definition from figure_settings")
    return rows[0] if rows else None


def _write_settings(connection: Connection, zone: str, as_of: date) -> None:
    connection.execute(
        text(
            "insert into figure_settings (zone, as_of, definition, refreshed_at) "
            "values (:zone, :as_of, :definition, now()) "
            "on conflict (is_single) do update set zone = excluded.zone, as_of = excluded.as_of, "
            "definition = excluded.definition, refreshed_at = excluded.refreshed_at"
        ),
        {"zone": zone, "as_of": as_of, "definition": definition_of_figures()},
    )


def _write_staff(connection: Connection, staff: Collection[str]) -> None:
    connection.execute(text("delete from staff"))
    connection.execute(
        text("insert into staff (user_id) select unnest(cast(:ids as text[]))"),
        {"ids": sorted(set(staff))},
    )
    connection.execute(text("analyze staff"))


def _parts_of(days: set[date]) -> Iterator[tuple[date, date]]:
    """The first and last day of each unbroken span, in order.

    A span has at most 31 days, so that PostgreSQL can sort its attempts in memory.
    """
    for start, last in spans(days):
        for first in days_between(start, last)[:: LONGEST_SPAN.days]:
            yield first, min(first + LONGEST_SPAN - timedelta(days=1), last)


def as_of(connection: Connection) -> date | None:
    """The day at whose end the figures hold; None before the first refresh."""
    settings = _settings(connection)
    return settings["as_of"] if settings else None


def refreshed_at(connection: Connection) -> datetime | None:
    """The time of the last refresh that changed figures, UTC; None before the first refresh."""
    moment: datetime | None = connection.scalar(text("select refreshed_at from figure_settings"))
    return moment.astimezone(UTC) if moment else None


def daily(connection: Connection, first: date | None = None, last: date | None = None) -> list[Row]:
    """Figures by day, oldest first, both ends included; a day without attempts has no row."""
    return _rows(
        connection,
        "select * from daily_statistics "
        "where day between coalesce(cast(:first as date), '-infinity') "
        "and coalesce(cast(:last as date), 'infinity') order by day",
        first=first,
        last=last,
    )


def daily_by_course(
    connection: Connection, first: date | None = None, last: date | None = None
) -> list[Row]:
    """Figures by day and course, oldest first, both ends included."""
    return _rows(
        connection,
        "select * from course_daily_statistics "
        "where day between coalesce(cast(:first as date), '-infinity') "
        "and coalesce(cast(:last as date), 'infinity') order by day, course",
        first=first,
        last=last,
    )


def newest_day(connection: Connection) -> Row | None:
    """The newest day that has attempts, with its figures; None before there is one."""
    rows = _rows(connection, "select * from daily_statistics order by day desc limit 1")
    return rows[0] if rows else None


def overall(connection: Connection) -> Row | None:
    """Figures over the whole history and all courses; None before there are attempts."""
    rows = _rows(connection, "select * from overall_statistics")
    return rows[0] if rows else None


def courses(connection: Connection) -> list[Row]:
    """Figures over the whole history by course, in the order of the course ids."""
    return _rows(connection, "select * from course_statistics where course <> '' order by course")


def tasks(connection: Connection) -> list[Row]:
    """Figures by task: the hardest first, then those with under 10 students."""
    return _rows(
        connection,
        "select * from task_statistics order by is_ranked desc, first_try_high_pct nulls last, "
        "students desc, course, task, oauth_consumer_key",
    )


def students_who_need_help(connection: Connection) -> list[Row]:
    """A row per student and task: stuck ones, then those who gave up; the latest submit first."""
    return _rows(
        connection,
        "select * from students_who_need_help order by state desc, last_submit_at desc, user_id, "
        "course, task, oauth_consumer_key",
    )


def periods(connection: Connection) -> list[Row]:
    """Figures of the last 7, 28 and 90 days and of all history (0), by course ('' = all)."""
    return _rows(connection, "select * from period_statistics order by course, period_days")


def retention(connection: Connection) -> list[Row]:
    """Cohorts by course ('' = all), cohort week and weeks later."""
    return _rows(connection, "select * from retention order by course, cohort_week, weeks_later")


def alarms(connection: Connection, day: date | None = None) -> list[Row]:
    """The day's task alarms, or all: the newest day first, collapsed before surged, then by q."""
    return _rows(
        connection,
        "select * from task_alarms where day = coalesce(cast(:day as date), day) "
        "order by day desc, kind, q, course, task, oauth_consumer_key",
        day=day,
    )


def discrimination(connection: Connection) -> list[Row]:
    """Tasks with enough students to compare, the lowest discrimination first."""
    return _rows(connection, "select * from figure_14_discrimination")


def stops(connection: Connection) -> list[Row]:
    """Tasks at which students stopped, by course; the task with the most students comes first."""
    return _rows(connection, "select * from figure_15_where_students_stop")


def heat_map(connection: Connection) -> list[Row]:
    """Attempts and students of the last 28 days by course ('' = all), weekday and hour."""
    return _rows(connection, "select * from heat_map order by course, iso_weekday, hour")


def _rows(connection: Connection, statement: str, **values: object) -> list[Row]:
    return [dict(row) for row in connection.execute(text(statement), values).mappings()]
