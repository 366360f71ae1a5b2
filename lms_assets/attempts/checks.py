"""The checks of a loaded day.

Blocking checks must hold before the figures are computed. The others compare a number of the day
with a threshold and only warn.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from inspect import getdoc
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
    """The run's day; the newest loaded day if the check runs without a partition."""
    if context.has_partition_key:
        return date.fromisoformat(context.partition_key)
    newest: date | None = warehouse.rows("select max(day) as day from load_ledger")[0]["day"]
    return newest


def _load(context: dg.AssetCheckExecutionContext, warehouse: Warehouse) -> Load | None:
    day = _day(context, warehouse)
    with warehouse.begin() as connection:
        load = load_of_run(connection, context.run.run_id)
        return load or (newest_load(connection, day) if day else None)


@dataclass(frozen=True)
class DayInTable:
    """The counts of a loaded day in the table, made once for all blocking checks.

    Attributes:
        stored: The number of attempts in the day's window.
        in_the_day: The number of these attempts whose local date is the day.
        has_key: Whether the table has a valid constraint ``unique_attempt``.
    """

    stored: int
    in_the_day: int
    has_key: bool


_COUNTS = """
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
    """The counts of the day, from one query per span of the day with one UTC offset."""
    counts = [
        warehouse.rows(_COUNTS, starts=span.start, ends=span.end, ahead=span.ahead, day=day)[0]
        for span in offset_spans(window_of(day, zone), zone)
    ]
    return DayInTable(
        stored=sum(span["stored"] for span in counts),
        in_the_day=sum(span["in_the_day"] for span in counts),
        has_key=warehouse.rows(_HAS_KEY)[0]["has_key"],
    )


Check = Callable[[Load, DayInTable], tuple[bool, dict[str, Any]]]


def every_record_is_accounted_for(load: Load, table: DayInTable) -> tuple[bool, dict[str, Any]]:
    """Each record of the answer has one fate, and the table holds all attempts of the answer.

    The ledger refuses a load whose fates do not add up to the records received. So the check only
    compares the table: it must hold at least as many attempts of the day as were kept. A load that
    a newer pull has overtaken passes, because nothing of it was merged.
    """
    fates, stored = load.fates, table.stored
    numbers = {"received": fates.received, "kept": fates.kept, "stored": stored}
    return stored >= fates.kept or load.overtaken, numbers


def attempts_are_unique(_: Load, table: DayInTable) -> tuple[bool, dict[str, Any]]:
    """The table has the constraint `unique_attempt`, so it holds no attempt twice.

    PostgreSQL refuses a second attempt with the same key, so the rows are not compared. The check
    fails if somebody dropped the constraint or it is not valid.
    """
    return table.has_key, {"stored": table.stored, "unique_attempt": table.has_key}


def every_attempt_lies_in_its_day(_: Load, table: DayInTable) -> tuple[bool, dict[str, Any]]:
    """Each attempt in the day's UTC window has the day as its local date in LMS_TIMEZONE."""
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
            check.__name__, asset=attempts_table, description=getdoc(check), blocking=True
        )
        for check in MUST_HOLD
    ]
)
def attempts_can_be_trusted(
    context: dg.AssetCheckExecutionContext, warehouse: Warehouse
) -> Iterator[dg.AssetCheckResult]:
    """Each blocking check holds for the loaded day; if one fails, the run stops after it."""
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
    """A number of the day that warns above a share of the day's records.

    Attributes:
        name: The name of the check.
        sentence: The description in Dagster: what is counted, and what it means.
        number: The number for a load.
    """

    name: str
    sentence: str
    number: Callable[[Load], int]


WATCHES = (
    Watch(
        "no_attempt_has_vanished",
        "Attempts in the table that the API's newest answer no longer has. They stay in the table.",
        lambda load: load.fates.vanished - load.fates.deleted,
    ),
    Watch(
        "users_agree_with_their_sourcedid",
        "Attempts whose lis_result_sourcedid and lti_user_id name different users. They are kept.",
        lambda load: load.watch.get("user_mismatch", 0),
    ),
    Watch(
        "every_submit_is_graded",
        "Submits without a verdict. They are kept, and no denominator counts them.",
        lambda load: load.watch.get("ungraded", 0),
    ),
    Watch(
        "every_attempt_has_a_task",
        "Attempts whose task cannot be read. They are kept, and the task figures leave them out.",
        lambda load: load.watch.get("without_task", 0),
    ),
    Watch(
        "records_have_known_keys_only",
        "Keys of records that the API's contract does not name. They are ignored.",
        lambda load: sum(load.watch.get("unknown_keys", {}).values()),
    ),
    Watch(
        "attempt_types_are_known",
        "Attempt types other than run and submit. Their records are rejected.",
        lambda load: sum(load.watch.get("unknown_attempt_types", {}).values()),
    ),
    Watch(
        "repeated_records_agree",
        "Repeats of an attempt's key in one answer with other fields. The first record is kept.",
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
            description=(
                "The number of attempts is near the mean of the same weekday in the four weeks "
                "before: it differs by at most threshold_pct percent."
            ),
        ),
    ]
)
def attempts_are_as_usual(
    context: dg.AssetCheckExecutionContext, warehouse: Warehouse, limits: Limits
) -> Iterator[dg.AssetCheckResult]:
    """Each check shows a number with its threshold and its trend; it warns and stops no run."""
    with faults_as_failures():
        load = _load(context, warehouse)
        newest = _newest_loads(warehouse)
        for watch in WATCHES:
            yield _watch_result(watch, load, newest, limits)
        yield _volume_result(load, warehouse, limits)


def _watch_result(
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
            "last_14_days": " ".join(str(watch.number(day_load)) for day_load in newest),
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


def _volume_result(load: Load | None, warehouse: Warehouse, limits: Limits) -> dg.AssetCheckResult:
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
