"""What a run came to, and what must be told of it: from Dagster's events and the ledger."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import takewhile
from typing import Any

import dagster as dg
from sqlalchemy import Connection, text

from lms_assets.attempts.ledger import COUNTERS, Load, load_of_run
from lms_assets.faults.failures import FACTS, FAULT, FOR_GOOD
from lms_assets.faults.masking import Mask
from lms_assets.letters.compose import (
    Cause,
    Counts,
    DayFailure,
    DayFigures,
    EmptyFacts,
    Facts,
    FailureFacts,
    HistoryFacts,
    Links,
    RecoveredFacts,
    SuccessFacts,
    to_json,
)
from lms_assets.letters.outbox import DueLetter
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.batches import Batch
from lms_assets.runs.processes import was_interrupted
from lms_assets.runs.tags import PARTITION_TAG, WILL_RETRY_TAG, batch_of
from lms_assets.settings import load_settings

STAGE_OF_STEP = {
    "raw_attempts": "api",
    "cleaned_attempts": "cleaning",
    "attempts_table": "database",
    "attempts_can_be_trusted": "database",
    "daily_statistics": "database",
    "statistics_sheet": "sheet",
}
CHART_DAYS = 14


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        day: Its partition.
        load: What it committed, if it came so far.
        cause: Why it failed, or None.
        error: The failure's traceback, masked.
        will_be_retried: Another run of the same day follows by itself.
        tries: How many runs of the day it took, this one included, since one was good.
    """

    run_id: str
    day: date | None
    batch: str | None
    load: Load | None
    cause: Cause | None
    error: str
    duration_s: float
    will_be_retried: bool = False
    tries: int = 1

    @property
    def succeeded(self) -> bool:
        """Whether all of it was done."""
        return self.cause is None

    @property
    def status(self) -> str:
        """``success``, ``empty`` or ``failed``."""
        if not self.succeeded:
            return "failed"
        return "empty" if self.load and self.load.is_empty else "success"

    @property
    def summary(self) -> str:
        """One line for a person."""
        if self.cause:
            return f"failed: {self.cause.message}"
        if self.load is None:
            return "done"
        if self.load.is_empty:
            return "empty: the API had nothing"
        load = self.load
        return (
            f"{load.received:,} received, {load.inserted:,} inserted, {load.updated:,} updated, "
            f"{load.unchanged:,} unchanged, {sum(load.rejected.values()):,} rejected"
        )

    def as_json(self) -> dict[str, Any]:
        """What `lms run --json` prints."""
        counters = self.load.counters() if self.load else {}
        none: dict[str, Any] = dict.fromkeys(COUNTERS, 0) | {"rejected": {}}
        return {
            "day": str(self.day),
            "status": self.status,
            "run_id": self.run_id,
            **none,
            **counters,
            "duration_s": self.duration_s,
            **({"error": self.cause.message} if self.cause else {}),
        }


def outcome_of(instance: dg.DagsterInstance, warehouse: Warehouse, run_id: str) -> Outcome:
    """The outcome of a run that has ended."""
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        raise LookupError(f"run {run_id} is not known")
    run = record.dagster_run
    day = run.tags.get(PARTITION_TAG)
    cause, error = (None, "") if run.is_success else _why(instance, run_id)
    with warehouse.begin() as connection:
        load = load_of_run(connection, run_id)
    return Outcome(
        run_id=run_id,
        day=date.fromisoformat(day) if day else None,
        batch=batch_of(run.tags),
        load=load,
        cause=cause,
        error=error,
        duration_s=round((record.end_time or 0) - (record.start_time or record.end_time or 0), 3),
        will_be_retried=run.tags.get(WILL_RETRY_TAG) == "true",
        tries=_tries(instance, day, record.storage_id) if day else 1,
    )


def _tries(instance: dg.DagsterInstance, day: str, newest: int) -> int:
    """This run and the failed ones of the same day right before it."""
    filters = dg.RunsFilter(tags={PARTITION_TAG: day})
    records = instance.get_run_records(filters, limit=20)
    before = [r.dagster_run for r in records if r.storage_id < newest]
    failed = takewhile(lambda run: run.status == dg.DagsterRunStatus.FAILURE, before)
    return 1 + sum(1 for _ in failed)


def _why(instance: dg.DagsterInstance, run_id: str) -> tuple[Cause, str]:
    """The first step that failed says why; a run that ended without one was interrupted."""
    mask = Mask(load_settings().secret_values).mask
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        event = entry.dagster_event
        if event is not None and was_interrupted(event):
            break
        if event is not None:
            failure = event.step_failure_data
            metadata = failure.user_failure_data.metadata if failure.user_failure_data else {}
            error = failure.error.to_string() if failure.error else ""
            cause = _cause(event.step_key or "", metadata, error)
            # A fault with a name was raised on purpose: where in the code says nothing more.
            shown = str(failure.error.message) if cause.code and failure.error else error
            return cause, mask(shown)
    message = "The run was interrupted before it ended."
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.RUN_FAILURE):
        message = entry.dagster_event.message or message if entry.dagster_event else message
    return Cause(stage="other", code="host.interrupted", message=mask(message)), ""


def failed_for_good(instance: dg.DagsterInstance, run_id: str) -> bool:
    """Whether the same run would fail again until a person has acted."""
    for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.STEP_FAILURE):
        data = entry.dagster_event.step_failure_data if entry.dagster_event else None
        if data and data.user_failure_data:
            said = data.user_failure_data.metadata.get(FOR_GOOD)
            return said is not None and bool(said.value)
    return False


def _cause(step: str, metadata: Mapping[str, dg.MetadataValue], error: str) -> Cause:
    code = metadata.get(FAULT)
    stage = STAGE_OF_STEP.get(step, "other")
    if code is None:
        lines = [line for line in error.strip().split("\n") if line and not line[0].isspace()]
        named = next(
            (line for line in reversed(lines) if re.match(r"[\w.]+(Error|Exception)?:", line)), ""
        )
        return Cause(stage=stage, message=named or (lines[0] if lines else "unknown error"))
    facts = json.loads(str(metadata[FACTS].value))
    code_text = str(code.value)
    from lms_assets.faults import Fault

    message = Fault(code_text, **facts).cause()
    return Cause(stage=code_text.partition(".")[0], code=code_text, facts=facts, message=message)


# ------------------------------------------------------------------ letters


@dataclass(frozen=True)
class Surroundings:
    """What a letter says besides its run: where things are, and when the next run comes."""

    sheet: str | None
    page: str | None
    dashboard: str | None
    dagster: str
    next_run: datetime | None


def letter_of_run(
    connection: Connection, outcome: Outcome, around: Surroundings
) -> DueLetter | None:
    """The letter that a run by itself makes; None for one that brought nothing to tell."""
    if outcome.will_be_retried or (outcome.succeeded and outcome.load is None):
        return None
    kind, facts = _day_letter(connection, outcome, [], around)
    return DueLetter(kind, to_json(facts), outcome.day, outcome.run_id, None)


def letter_of_batch(
    connection: Connection,
    batch: Batch,
    outcomes: Sequence[Outcome],
    published: Outcome | None,
    around: Surroundings,
) -> DueLetter | None:
    """The one letter of a batch whose runs have ended.

    Args:
        outcomes: Of its days, the last run of each, newest day first.
        published: Of its publication, or None when no day succeeded.
    """
    if not outcomes:
        return None
    kind, facts = _batch_letter(connection, batch, outcomes, published, around)
    newest = outcomes[0].day
    return DueLetter(kind, to_json(facts), newest, outcomes[0].run_id, batch.batch)


def _batch_letter(
    connection: Connection,
    batch: Batch,
    outcomes: Sequence[Outcome],
    published: Outcome | None,
    around: Surroundings,
) -> tuple[str, Facts]:
    main, others = outcomes[0], outcomes[1:]
    failed = [outcome for outcome in outcomes if not outcome.succeeded]
    if published and not published.succeeded:
        # The days are in; what people read of them is not.
        return _failure(published, around, is_loaded=True)
    is_one_day = not others or (batch.kind == "schedule" and failed in ([], [main]))
    if is_one_day:
        return _day_letter(connection, main, others, around)
    return "history", _history(connection, outcomes, around)


def _day_letter(
    connection: Connection, outcome: Outcome, late: Sequence[Outcome], around: Surroundings
) -> tuple[str, Facts]:
    if not outcome.succeeded:
        return _failure(outcome, around, is_loaded=outcome.load is not None)
    day = outcome.day or date.min
    late_rows = {o.day: o.load.inserted for o in late if o.day and o.load and o.load.inserted}
    common: dict[str, Any] = {
        "day": day,
        "late_rows": late_rows,
        "links": links(around, outcome.run_id),
        "duration_s": outcome.duration_s,
        "next_run": around.next_run,
        "tries": outcome.tries,
    }
    load = outcome.load
    if load is None or load.is_empty:
        return "empty", EmptyFacts(stored=load.stored if load else None, **common)
    figures = {row["day"]: row for row in _daily(connection, day)}
    common |= {
        "counts": _counts([load]),
        "figures": _plain(figures.get(day)) or {},
        "week_before": _plain(figures.get(day - timedelta(days=7))),
        "recent": _recent(figures.values()),
        "watch": _watched(load.watch),
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


def _failure(outcome: Outcome, around: Surroundings, *, is_loaded: bool) -> tuple[str, Facts]:
    return "failure", FailureFacts(
        day=outcome.day,
        cause=outcome.cause or Cause(),
        error=outcome.error,
        will_be_retried=outcome.will_be_retried,
        tries=outcome.tries,
        is_loaded=is_loaded,
        counts=_counts([outcome.load]) if outcome.load else _counts_of_a_refused_day(outcome.cause),
        links=links(around, outcome.run_id),
        duration_s=outcome.duration_s,
        next_run=around.next_run,
    )


def _history(
    connection: Connection, outcomes: Sequence[Outcome], around: Surroundings
) -> HistoryFacts:
    days = sorted(outcome.day for outcome in outcomes if outcome.day)
    loads = [outcome.load for outcome in outcomes if outcome.load]
    return HistoryFacts(
        first_day=days[0],
        last_day=days[-1],
        done=sum(outcome.status == "success" for outcome in outcomes),
        empty=sum(outcome.status == "empty" for outcome in outcomes),
        failures=[DayFailure(day=o.day, cause=o.cause) for o in outcomes if o.cause and o.day],
        totals=_counts(loads),
        recent=_recent(_daily(connection, days[-1])),
        links=links(around, None),
        duration_s=round(sum(outcome.duration_s for outcome in outcomes), 1),
        next_run=around.next_run,
    )


def _counts(loads: Sequence[Load]) -> Counts:
    rejected: dict[str, int] = {}
    for load in loads:
        for reason, n in load.rejected.items():
            rejected[reason] = rejected.get(reason, 0) + n
    numbers = {
        name: sum(getattr(load, name) for load in loads) for name in COUNTERS if name != "rejected"
    }
    return Counts(**numbers, rejected=rejected)


def _counts_of_a_refused_day(cause: Cause | None) -> Counts | None:
    """What was received and refused of a day that was not loaded because of it."""
    by_reason = cause.facts.get("by_reason") if cause else None
    return (
        Counts(received=cause.facts["received"], rejected=by_reason)
        if cause and by_reason
        else None
    )


def _watched(watch: Mapping[str, Any]) -> dict[str, int]:
    """Each watched number that is not 0; of those by name the sum."""
    sums = {k: sum(v.values()) if isinstance(v, dict) else v for k, v in watch.items()}
    return {name: number for name, number in sums.items() if number}


def links(around: Surroundings, run_id: str | None) -> Links:
    """Where a letter leads: the sheet, the page, the dashboard, the run or all of them."""
    run = f"{around.dagster}/runs/{run_id}" if run_id else f"{around.dagster}/runs"
    return Links(sheet=around.sheet, page=around.page, dashboard=around.dashboard, run=run)


def _daily(connection: Connection, day: date) -> list[Mapping[str, Any]]:
    statement = "select * from daily_statistics where day between :first and :day order by day"
    first = day - timedelta(days=CHART_DAYS - 1)
    rows = connection.execute(text(statement), {"first": first, "day": day}).mappings()
    return [dict(row) for row in rows]


def _recent(rows: Any) -> list[DayFigures]:  # noqa: ANN401
    names = ("runs", "correct", "wrong", "ungraded")
    return [DayFigures(day=row["day"], **{name: row[name] or 0 for name in names}) for row in rows]


def _plain(row: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The numbers of a row, as JSON has them."""
    if row is None:
        return None
    return {k: float(v) if v is not None else None for k, v in row.items() if _is_number(v)}


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _open_failure(connection: Connection, day: date) -> Mapping[str, Any] | None:
    """The newest letter that told of the day's failure, when none told since that it is good."""
    statement = """
        select * from letters where day = :day and kind in ('failure', 'given_up', 'recovered')
            or kind = 'history' and :day between
                cast(facts->>'first_day' as date) and cast(facts->>'last_day' as date)
            or kind = 'given_up' and facts->'others' @> cast(:failed as jsonb)
        order by id desc limit 1
    """
    failed = json.dumps([{"day": day.isoformat()}])
    row = connection.execute(text(statement), {"day": day, "failed": failed}).mappings().first()
    if row is None or row["kind"] == "recovered":
        return None
    others = [*row["facts"].get("failures", []), *row["facts"].get("others", [])]
    told = {failure["day"]: failure["cause"] for failure in others}
    if row["kind"] == "history" and day.isoformat() not in told:
        return None
    cause = told.get(day.isoformat()) or row["facts"].get("cause", {})
    return {**row, "cause": cause}
