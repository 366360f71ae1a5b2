"""What must hold before anyone downstream reads, and what is watched over time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
from sqlalchemy import text

from lms_assets.attempts.assets import attempts_table
from lms_assets.attempts.ledger import Load, load_of_run, newest_load
from lms_assets.attempts.limits import Limits
from lms_assets.attempts.partitions import attempt_days
from lms_assets.days import offset_spans, window_of
from lms_assets.faults.failures import faults_as_failures
from lms_assets.resources.warehouse import Warehouse


def _day(context: dg.AssetCheckExecutionContext, warehouse: Warehouse) -> date | None:
    """The run's day; the newest loaded one when the check is run alone."""
    if context.has_partition_key:
        return date.fromisoformat(context.partition_key)
    newest: date | None = warehouse.rows("select max(day) as day from load_ledger")[0]["day"]
    return newest


def _load(context: dg.AssetCheckExecutionContext, warehouse: Warehouse) -> Load | None:
    day = _day(context, warehouse)
    with warehouse.begin() as connection:
        own = load_of_run(connection, context.run.run_id)
        return own or (newest_load(connection, day) if day else None)


@dataclass(frozen=True)
class DayInTable:
    """What the table holds of a loaded day, counted once for all checks.

    Attributes:
        stored: Attempts in the day's window.
        in_the_day: Those of them whose local date is the day.
        has_key: Whether the database keeps the constraint that no attempt stands there twice.
    """

    stored: int
    in_the_day: int
    has_key: bool


_COUNTED = """
select count(*) as stored,
    count(*) filter (where (created_at + :ahead)::date = :day) as in_the_day
from attempts where created_at >= :starts and created_at < :ends
"""
_HAS_KEY = """
select exists (
    select from pg_constraint c join pg_index i on i.indexrelid = c.conindid
    where c.conrelid = 'attempts'::regclass and c.conname = 'unique_attempt'
      and pg_get_constraintdef(c.oid) = 'UNIQUE (user_id, attempt_type, created_at)'
      and c.convalidated and i.indisvalid
) as has_key
"""


def day_in_table(day: date, warehouse: Warehouse, *, zone: ZoneInfo) -> DayInTable:
    """What the table holds of the day, by one look at its window."""
    counted = [
        warehouse.rows(_COUNTED, starts=span.start, ends=span.end, ahead=span.ahead, day=day)[0]
        for span in offset_spans(window_of(day, zone), zone)
    ]
    return DayInTable(
        stored=sum(span["stored"] for span in counted),
        in_the_day=sum(span["in_the_day"] for span in counted),
        has_key=warehouse.rows(_HAS_KEY)[0]["has_key"],
    )


Check = Callable[[Load, DayInTable], tuple[bool, dict[str, Any]]]


def every_record_is_accounted_for(load: Load, table: DayInTable) -> tuple[bool, dict[str, Any]]:
    """Each record that the API gave has one fate, and the table holds those that were kept."""
    fates, stored = load.fates, table.stored
    numbers = {"received": fates.received, "kept": fates.kept, "stored": stored}
    return stored >= fates.kept or load.overtaken, numbers


def attempts_are_unique(_: Load, table: DayInTable) -> tuple[bool, dict[str, Any]]:
    """No attempt stands in the table twice: PostgreSQL refuses it by `unique_attempt`.

    So the check does not compare the rows. It sees that the constraint is there and valid.
    """
    return table.has_key, {"stored": table.stored, "unique_attempt": table.has_key}


def every_attempt_lies_in_its_day(_: Load, table: DayInTable) -> tuple[bool, dict[str, Any]]:
    """All that the table holds in the day's window is of that day in the set zone."""
    numbers = {"in_the_day": table.in_the_day, "stored": table.stored}
    return table.in_the_day == table.stored, numbers


MUST_HOLD: tuple[Check, ...] = (
    every_record_is_accounted_for,
    attempts_are_unique,
    every_attempt_lies_in_its_day,
)


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            check.__name__, asset=attempts_table, description=check.__doc__, blocking=True
        )
        for check in MUST_HOLD
    ]
)
def attempts_can_be_trusted(
    context: dg.AssetCheckExecutionContext, warehouse: Warehouse
) -> Iterator[dg.AssetCheckResult]:
    """What must be true of the loaded day; the run ends here when it is not."""
    with faults_as_failures():
        load = _load(context, warehouse)
        table = _table_of(load, warehouse) if load else None
        for check in MUST_HOLD:
            passed, numbers = check(load, table) if load and table else (True, {"loaded": 0})
            yield dg.AssetCheckResult(check_name=check.__name__, passed=passed, metadata=numbers)


def _table_of(load: Load, warehouse: Warehouse) -> DayInTable:
    zone = ZoneInfo(str(attempt_days.timezone))
    return day_in_table(date.fromisoformat(load.day), warehouse, zone=zone)


@dataclass(frozen=True)
class Watch:
    """A number of the day that is shown with its trend, and warned of above a share."""

    name: str
    sentence: str
    number: Callable[[Load], int]


WATCHES = (
    Watch(
        "no_attempt_has_vanished",
        "Attempts that the table holds and the API's newest answer does not: kept, counted.",
        lambda load: load.fates.vanished - load.fates.deleted,
    ),
    Watch(
        "users_agree_with_their_sourcedid",
        "Attempts whose lis_result_sourcedid names another user than lti_user_id.",
        lambda load: load.watch.get("user_mismatch", 0),
    ),
    Watch(
        "every_submit_is_graded",
        "Submits without a verdict: kept, in no denominator.",
        lambda load: load.watch.get("ungraded", 0),
    ),
    Watch(
        "every_attempt_has_a_task",
        "Attempts whose task cannot be read: left out of the task figures.",
        lambda load: load.watch.get("without_task", 0),
    ),
    Watch(
        "records_have_known_keys_only",
        "Keys that the API's contract does not know: ignored, and a sign of a change.",
        lambda load: sum(load.watch.get("unknown_keys", {}).values()),
    ),
    Watch(
        "attempt_types_are_known",
        "Attempt types other than run and submit: refused, and a sign of a change.",
        lambda load: sum(load.watch.get("unknown_attempt_types", {}).values()),
    ),
    Watch(
        "repeated_records_agree",
        "Repeated records that differ from the first of their key in another field.",
        lambda load: load.fates.conflicting,
    ),
)


VOLUME = "volume_is_usual"


@dg.multi_asset_check(
    specs=[
        *(dg.AssetCheckSpec(w.name, asset=attempts_table, description=w.sentence) for w in WATCHES),
        dg.AssetCheckSpec(
            VOLUME,
            asset=attempts_table,
            description="As many attempts as on the same weekday of the four weeks before, about.",
        ),
    ]
)
def attempts_are_as_usual(
    context: dg.AssetCheckExecutionContext, warehouse: Warehouse, limits: Limits
) -> Iterator[dg.AssetCheckResult]:
    """What is watched over time: a number, a threshold and a trend each; it warns, never fails."""
    with faults_as_failures():
        load = _load(context, warehouse)
        newest = _newest_loads(warehouse)
        for watch in WATCHES:
            yield _watched(watch, load, newest, limits)
        yield _volume(load, warehouse, limits)


def _watched(
    watch: Watch, load: Load | None, newest: Sequence[Load], limits: Limits
) -> dg.AssetCheckResult:
    number = watch.number(load) if load else 0
    share = 100 * number / load.fates.received if load and load.fates.received else 0.0
    return dg.AssetCheckResult(
        check_name=watch.name,
        passed=share <= limits.warn_pct,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "records": number,
            "share_pct": round(share, 3),
            "threshold_pct": limits.warn_pct,
            "last_14_days": " ".join(str(watch.number(one)) for one in newest),
        },
    )


def _newest_loads(warehouse: Warehouse) -> list[Load]:
    """The newest load of each of the last 14 loaded days, oldest first."""
    with warehouse.begin() as connection:
        days = connection.scalars(
            text("select distinct day from load_ledger order by day desc limit 14")
        ).all()
        loads = [newest_load(connection, day) for day in reversed(days)]
    return [load for load in loads if load]


def _volume(load: Load | None, warehouse: Warehouse, limits: Limits) -> dg.AssetCheckResult:
    weeks_before = []
    if load:
        day = date.fromisoformat(load.day)
        with warehouse.begin() as connection:
            loads = [newest_load(connection, day - timedelta(weeks=n)) for n in (1, 2, 3, 4)]
        weeks_before = [before.stored for before in loads if before]
    stored = load.stored if load else 0
    usual = sum(weeks_before) / len(weeks_before) if weeks_before else None
    change = 100 * (stored - usual) / usual if usual else 0.0
    return dg.AssetCheckResult(
        check_name=VOLUME,
        passed=abs(change) <= limits.volume_change_pct,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "attempts": stored,
            "usual": "not known yet" if usual is None else round(usual, 1),
            "change_pct": round(change, 1),
            "threshold_pct": limits.volume_change_pct,
        },
    )


attempts_checks = [attempts_can_be_trusted, attempts_are_as_usual]
