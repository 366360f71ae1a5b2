"""Task alarms in letters: read from the table ``task_alarms``, worded by pure functions."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from sqlalchemy import Connection, text

from lms_assets.letters.blocks import Paragraphs
from lms_assets.letters.facts import Alarm
from lms_assets.letters.words import short_day
from lms_assets.statistics.names import Names
from lms_assets.texts import Texts

_COLUMNS = "day, course, task, kind, students, solved, solved_pct, usual_pct, since"
_ORDER = "order by kind, q, course, task"


def alarms_of_day(connection: Connection, day: date, names: Names) -> list[Alarm]:
    """The alarms of the day: collapsed tasks before surged ones, the surest first."""
    statement = f"select {_COLUMNS} from task_alarms where day = :day {_ORDER}"  # noqa: S608
    return _read(connection, statement, {"day": day}, names)


def alarms_begun(connection: Connection, days: Sequence[date], names: Names) -> list[Alarm]:
    """The alarms that began on one of the days and stand in no letter yet."""
    statement = f"""
        select {_COLUMNS} from task_alarms a where day = any(:days) and since = day
            and not exists (
                select from letters l, jsonb_array_elements(l.facts->'alarms') earlier
                where l.day >= a.since and l.facts->'alarms' is not null
                    and earlier->>'course' = a.course and earlier->>'task' = a.task
                    and earlier->>'kind' = a.kind and cast(earlier->>'since' as date) = a.since)
        {_ORDER}
    """  # noqa: S608
    return _read(connection, statement, {"days": list(days)}, names)


def alarms_of_course(
    connection: Connection, course: str, after: date, last: date, names: Names
) -> list[Alarm]:
    """The course's alarms after ``after`` and up to ``last``; of each the newest day's row."""
    statement = f"""
        select * from (
            select distinct on (oauth_consumer_key, task, kind) {_COLUMNS}, q from task_alarms
            where course = :course and day > :after and day <= :last
            order by oauth_consumer_key, task, kind, day desc
        ) a {_ORDER}
    """  # noqa: S608
    return _read(connection, statement, {"course": course, "after": after, "last": last}, names)


def _read(
    connection: Connection, statement: str, values: dict[str, Any], names: Names
) -> list[Alarm]:
    rows = connection.execute(text(statement), values).mappings()
    return [
        Alarm(
            day=row["day"],
            course=row["course"],
            task=row["task"],
            kind=row["kind"],
            students=row["students"],
            solved=row["solved"],
            solved_pct=float(row["solved_pct"]),
            usual_pct=float(row["usual_pct"]),
            since=row["since"],
            title=names.task_title(row["course"], row["task"]),
            course_title=names.course_title(row["course"]),
        )
        for row in rows
    ]


def alarm_sentence(alarm: Alarm, texts: Texts) -> str:
    """``Loops (Python): collapsed. Solved by 1 of 12 students (8.3 %), usually 71.2 %. …``."""
    key = "since" if alarm.since and alarm.since < alarm.day else "new"
    return texts.text(
        f"letters.alarm.{alarm.kind}",
        task=alarm.title or alarm.task,
        course=alarm.course_title or alarm.course,
        day=short_day(alarm.day, texts),
        solved=texts.number(alarm.solved),
        students=texts.number(alarm.students),
        share=texts.percent(alarm.solved_pct),
        usual=texts.percent(alarm.usual_pct),
        since=texts.text(f"letters.alarm.{key}", day=short_day(alarm.since or alarm.day, texts)),
    )


def alarms_block(alarms: Sequence[Alarm], texts: Texts) -> Paragraphs | None:
    """The first block of a letter with alarms; None without alarms."""
    if not alarms:
        return None
    sentences = [alarm_sentence(alarm, texts) for alarm in alarms]
    return Paragraphs(texts.text("letters.section.alarms"), sentences)
