"""The facts of the weekly course letters, for the week that ends with the newest loaded Sunday.

Aggregates only. A group of fewer than ``FEWEST`` students is left out, so that no number reveals
a single student.
"""

from datetime import date, timedelta
from typing import Any

from sqlalchemy import Connection, text

from lms_assets.letters.alarm_lines import alarms_of_course
from lms_assets.letters.course_readers import CourseLetters, CourseReaders
from lms_assets.letters.facts import CourseFacts, DayFigures, TaskLine, to_json
from lms_assets.letters.outbox import DueLetter
from lms_assets.statistics.names import Names

FEWEST = 5
TASKS_SHOWN = 5
WEEK = timedelta(days=7)
CHART_DAYS = 14
OLDEST = timedelta(days=7)

# The columns of each are fields of TaskLine; ``task`` is the task's id.
HARDEST = """
select task, students, first_try_pct, solve_pct from hardest_tasks
where course = :course and students >= :fewest limit :shown
"""
STUCK = """
select task, students, stuck from task_statistics
where course = :course and stuck >= :fewest
order by stuck desc, task, oauth_consumer_key limit :shown
"""
STOPS = """
select task, stopped, stopped_pct from task_stops
where course = :course and stopped >= :fewest
order by stopped desc, task, oauth_consumer_key limit :shown
"""


def course_letters(connection: Connection, readers: CourseLetters, names: Names) -> list[DueLetter]:
    """A letter for each course and group of readers; empty where no Sunday is due."""
    sunday = newest_due_sunday(connection)
    if sunday is None:
        return []
    statement = "select distinct course from daily_figures where course <> '' order by course"
    courses = list(connection.scalars(text(statement)))
    return [_letter(connection, each, sunday, names) for each in readers.for_courses(courses)]


def newest_due_sunday(connection: Connection) -> date | None:
    """The newest loaded Sunday, or None if it is more than 7 days before the newest loaded day.

    None too while the figures of its week lag behind the attempts; a later call returns it.
    """
    statement = """
        select max(day) as sunday, (select as_of from figure_settings) as as_of
        from load_ledger where extract(isodow from day) = 7
    """
    row = connection.execute(text(statement)).one()
    if row.sunday is None or row.as_of is None or row.as_of - row.sunday > OLDEST:
        return None
    lagging = "select exists(select from lagging_days where day > :before and day <= :sunday)"
    values = {"before": row.sunday - WEEK, "sunday": row.sunday}
    sunday: date = row.sunday
    return None if row.as_of < sunday or connection.scalar(text(lagging), values) else sunday


def _letter(
    connection: Connection, readers: CourseReaders, sunday: date, names: Names
) -> DueLetter:
    course = readers.course
    facts = CourseFacts(
        course=names.course_title(course),
        first_day=sunday - WEEK + timedelta(days=1),
        day=sunday,
        week=_week(connection, course, sunday),
        week_before=_week(connection, course, sunday - WEEK),
        hardest=_tasks(connection, HARDEST, course, names),
        stuck=_tasks(connection, STUCK, course, names),
        stops=_tasks(connection, STOPS, course, names),
        alarms=alarms_of_course(connection, course, sunday - WEEK, sunday, names),
        recent=_recent(connection, course, sunday),
    )
    key = f"course:{course}:{readers.language}:{sunday}"
    return DueLetter(
        kind="course",
        facts=to_json(facts),
        day=sunday,
        run_id=key,
        batch=key,
        recipients=readers.recipients,
        language=readers.language or None,
    )


def _week(connection: Connection, course: str, last: date) -> dict[str, Any]:
    """The course's figures of the 7 days up to ``last``; empty if too few students were active."""
    statement = """
        select count(distinct user_id) as users, sum(attempts) as attempts, sum(runs) as runs,
            sum(correct + wrong + ungraded) as submits, sum(correct) as correct,
            sum(wrong) as wrong, share_pct(sum(correct), sum(correct + wrong)) as success_pct
        from student_hours where course = :course and day > :before and day <= :last
    """
    values = {"course": course, "before": last - WEEK, "last": last}
    row = connection.execute(text(statement), values).mappings().one()
    if row["users"] < FEWEST:
        return {}
    return {name: float(value) for name, value in row.items() if value is not None}


def _tasks(connection: Connection, statement: str, course: str, names: Names) -> list[TaskLine]:
    values = {"course": course, "fewest": FEWEST, "shown": TASKS_SHOWN}
    rows = map(dict, connection.execute(text(statement), values).mappings())
    return [TaskLine(**row | {"task": names.task_title(course, row["task"])}) for row in rows]


def _recent(connection: Connection, course: str, last: date) -> list[DayFigures]:
    """The days of two weeks up to ``last``, without days on which too few students were active."""
    statement = """
        select day, runs, correct, wrong, ungraded from course_daily_statistics
        where course = :course and users >= :fewest and day > :before and day <= :last
        order by day
    """
    values = {
        "course": course,
        "fewest": FEWEST,
        "before": last - timedelta(days=CHART_DAYS),
        "last": last,
    }
    return [DayFigures(**row) for row in connection.execute(text(statement), values).mappings()]
