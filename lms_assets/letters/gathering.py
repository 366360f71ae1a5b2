"""The facts of each letter, gathered from the outcomes of runs and from the database."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, text

from lms_assets.attempts.fates import Fates
from lms_assets.attempts.ledger import Load
from lms_assets.faults.causes import Cause
from lms_assets.letters.alarm_lines import alarms_begun, alarms_of_day
from lms_assets.letters.destinations import Destinations
from lms_assets.letters.facts import (
    Alarm,
    DayFailure,
    DayFigures,
    EmptyFacts,
    Facts,
    FailureFacts,
    GivenUpFacts,
    HistoryFacts,
    Pulled,
    RecoveredFacts,
    SuccessFacts,
    to_json,
)
from lms_assets.letters.outbox import DueLetter
from lms_assets.letters.outcomes import Outcome
from lms_assets.runs.batches import Batch
from lms_assets.runs.endings import GivenUpDay
from lms_assets.statistics.names import Names

CHART_DAYS = 14


@dataclass(frozen=True)
class Circumstances:
    """The facts of a letter that do not depend on its run.

    Attributes:
        destinations: The addresses for its links.
        names: Titles of courses and tasks.
        next_run: The schedule's next tick, aware; None if no daemon runs.
    """

    destinations: Destinations
    names: Names = field(default_factory=Names)
    next_run: datetime | None = None


def letter_of_run(
    connection: Connection, outcome: Outcome, around: Circumstances
) -> DueLetter | None:
    """The letter of a single run; None for a run that needs no letter."""
    if outcome.will_be_retried or (outcome.succeeded and outcome.load is None):
        return None
    kind, facts = _day_letter(connection, outcome, [], around)
    if outcome.is_publication and kind not in ("failure", "recovered"):
        # The run that loaded the day has its own letter.
        return None
    return DueLetter(kind, to_json(facts), outcome.day, outcome.run_id, None)


def letter_of_batch(
    connection: Connection,
    batch: Batch,
    outcomes: Sequence[Outcome],
    published: Outcome | None,
    around: Circumstances,
) -> DueLetter | None:
    """The one letter of a batch whose runs have ended.

    Args:
        outcomes: The outcome of each day's last run, newest day first.
        published: The outcome of the publication; None if no day succeeded.
    """
    if not outcomes:
        return None
    kind, facts = _batch_letter(connection, batch, outcomes, published, around)
    is_unpublished = published is not None and not published.succeeded
    day = published.day if published and is_unpublished else outcomes[0].day
    return DueLetter(kind, to_json(facts), day, outcomes[0].run_id, batch.batch)


def _batch_letter(
    connection: Connection,
    batch: Batch,
    outcomes: Sequence[Outcome],
    published: Outcome | None,
    around: Circumstances,
) -> tuple[str, Facts]:
    main, others = outcomes[0], outcomes[1:]
    failed = [outcome for outcome in outcomes if not outcome.succeeded]
    if published and not published.succeeded:
        # The days are loaded, but sheet and page do not show them.
        return _failure(published, around, is_loaded=True)
    is_one_day = not others or (batch.kind == "schedule" and failed in ([], [main]))
    if is_one_day:
        return _day_letter(connection, main, others, around)
    others = others if batch.kind == "schedule" else []
    return "history", _history(connection, outcomes, others, around)


def _day_letter(
    connection: Connection, outcome: Outcome, late: Sequence[Outcome], around: Circumstances
) -> tuple[str, Facts]:
    if not outcome.succeeded:
        return _failure(outcome, around, is_loaded=outcome.load is not None)
    day = outcome.day or date.min
    loaded = {o.day: o.load.fates.inserted for o in late if o.day and o.load}
    late_rows = {late_day: rows for late_day, rows in loaded.items() if rows}
    common: dict[str, Any] = {
        "day": day,
        "late_rows": late_rows,
        "links": around.destinations.links(run=outcome.run_id),
        "duration_s": outcome.duration_s,
        "next_run": around.next_run,
        "tries": outcome.tries,
    }
    load = outcome.load
    if load is None or load.is_empty:
        return "empty", EmptyFacts(stored=load.stored if load else None, **common)
    figures = {row["day"]: row for row in _daily(connection, day)}
    common |= {
        "counts": load.fates,
        "figures": _plain(figures.get(day)) or {},
        "week_before": _plain(figures.get(day - timedelta(days=7))),
        "recent": _recent(figures.values()),
        "watch": _watched(load.watch),
        "alarms": _alarms(connection, day, late, around),
    }
    earlier = _open_failure(connection, day)
    if earlier is None:
        return "success", SuccessFacts(**common)
    return "recovered", RecoveredFacts(
        cause=Cause(**earlier["cause"]),
        failed_at=earlier["due_at"],
        failure_message_id=earlier["message_id"],
        **common,
    )


def _failure(outcome: Outcome, around: Circumstances, *, is_loaded: bool) -> tuple[str, Facts]:
    return "failure", FailureFacts(
        day=outcome.day,
        cause=outcome.cause or Cause(),
        error=outcome.error,
        will_be_retried=outcome.will_be_retried,
        tries=outcome.tries,
        is_loaded=is_loaded,
        counts=_pulled(outcome.load, outcome.cause),
        links=around.destinations.links(run=outcome.run_id),
        duration_s=outcome.duration_s,
        next_run=around.next_run,
    )


def _history(
    connection: Connection,
    outcomes: Sequence[Outcome],
    others: Sequence[Outcome],
    around: Circumstances,
) -> HistoryFacts:
    days = sorted(outcome.day for outcome in outcomes if outcome.day)
    loads = [outcome.load for outcome in outcomes if outcome.load]
    return HistoryFacts(
        first_day=days[0],
        last_day=days[-1],
        done=sum(outcome.status == "success" for outcome in outcomes),
        empty=sum(outcome.status == "empty" for outcome in outcomes),
        failures=[DayFailure(day=o.day, cause=o.cause) for o in outcomes if o.cause and o.day],
        totals=sum((load.fates for load in loads), Fates()),
        alarms=_alarms(connection, days[-1], others, around),
        recent=_recent(_daily(connection, days[-1])),
        links=around.destinations.links(run=None),
        duration_s=round(sum(outcome.duration_s for outcome in outcomes), 1),
        next_run=around.next_run,
    )


def _alarms(
    connection: Connection, day: date, others: Sequence[Outcome], around: Circumstances
) -> list[Alarm]:
    """The day's alarms, then those that began on the other days and stand in no letter yet."""
    days = [outcome.day for outcome in others if outcome.day and outcome.day != day]
    return [
        *alarms_of_day(connection, day, around.names),
        *alarms_begun(connection, days, around.names),
    ]


def _pulled(load: Load | None, cause: Cause | None) -> Pulled | None:
    """The record counts of a failed day, from the ledger or from the fault that refused it."""
    if load:
        return Pulled(received=load.fates.received, rejected=dict(load.fates.rejected))
    by_reason = cause.facts.get("by_reason") if cause else None
    if cause is None or not by_reason:
        return None
    return Pulled(received=cause.facts["received"], rejected=by_reason)


def _watched(watch: Mapping[str, Any]) -> dict[str, int]:
    """The watched numbers that are not 0; a number that is split by name is summed."""
    sums = {k: sum(v.values()) if isinstance(v, dict) else v for k, v in watch.items()}
    return {name: number for name, number in sums.items() if number}


def _daily(connection: Connection, day: date) -> list[Mapping[str, Any]]:
    statement = "select * from daily_statistics where day between :first and :day order by day"
    first = day - timedelta(days=CHART_DAYS - 1)
    rows = connection.execute(text(statement), {"first": first, "day": day}).mappings()
    return [dict(row) for row in rows]


def _recent(rows: Any) -> list[DayFigures]:  # noqa: ANN401
    names = ("runs", "correct", "wrong", "ungraded")
    return [DayFigures(day=row["day"], **{name: row[name] or 0 for name in names}) for row in rows]


def _plain(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The numeric columns of a row as floats, for JSON."""
    if row is None:
        return None
    return {k: float(v) if v is not None else None for k, v in row.items() if _is_number(v)}


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _open_failure(connection: Connection, day: date) -> Mapping[str, Any] | None:
    """The newest letter that reports the day's failure; None if a later one reports a success."""
    statement = """
        select * from letters where day >= :day and (
            day = :day and kind in ('failure', 'given_up', 'recovered')
            or kind = 'history' and :day between
                cast(facts->>'first_day' as date) and cast(facts->>'last_day' as date)
            or kind = 'given_up' and facts->'others' @> cast(:failed as jsonb))
        order by id desc limit 1
    """
    failed = json.dumps([{"day": day.isoformat()}])
    row = connection.execute(text(statement), {"day": day, "failed": failed}).mappings().first()
    if row is None or row["kind"] == "recovered":
        return None
    others = [*row["facts"].get("failures", []), *row["facts"].get("others", [])]
    causes = {failure["day"]: failure["cause"] for failure in others}
    if row["kind"] == "history" and day.isoformat() not in causes:
        return None
    cause = causes.get(day.isoformat()) or row["facts"].get("cause", {})
    return {**row, "cause": cause}


def letter_of_given_up_days(
    days: Sequence[GivenUpDay], outcomes: Sequence[Outcome], around: Circumstances
) -> DueLetter:
    """The one letter that says that these days are given up.

    Args:
        days: Newest first.
        outcomes: The outcome of each day's last run, in the same order.
        around: Links, names and the next tick.
    """
    newest, last = days[0], outcomes[0]
    facts = GivenUpFacts(
        day=newest.day,
        tries=newest.tries,
        cause=last.cause or Cause(),
        others=[
            DayFailure(day=given_up.day, cause=outcome.cause or Cause())
            for given_up, outcome in zip(days[1:], outcomes[1:], strict=True)
        ],
        error=last.error,
        links=around.destinations.links(run=newest.last_run_id),
    )
    key = f"given-up-{newest.day}"
    return DueLetter("given_up", to_json(facts), newest.day, newest.last_run_id, key)


def days_given_up(connection: Connection, oldest: date) -> set[date]:
    """The days that a recorded letter reports as given up.

    Args:
        oldest: Letters whose newest day is earlier are not read.
    """
    statement = text("select facts from letters where kind = 'given_up' and day >= :oldest")
    facts = connection.scalars(statement, {"oldest": oldest})
    days = [
        day for letter_facts in facts for day in (letter_facts, *letter_facts.get("others", []))
    ]
    return {date.fromisoformat(day["day"]) for day in days}
