"""The assets from the API to the table: raw_attempts → cleaned_attempts → attempts_table."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from time import monotonic

import dagster as dg

from lms_assets.attempts.cleaned import clean_stored
from lms_assets.attempts.cleaned_before import earlier_pull
from lms_assets.attempts.cleaning import CODE_VERSION
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.ledger import Load, Pull, newest_load
from lms_assets.attempts.limits import Limits
from lms_assets.attempts.loading import load_day
from lms_assets.attempts.merge import Mirror
from lms_assets.attempts.partitions import attempt_days, window_of
from lms_assets.attempts.table_schema import NotCleanAttempts, column_descriptions
from lms_assets.attempts.tombstones import Erasure, drop_erased
from lms_assets.days import Window, end_of_tomorrow
from lms_assets.faults import PermanentFault
from lms_assets.faults.failures import faults_as_failures
from lms_assets.files import scratch_folder
from lms_assets.resources.attempt_source import AttemptSource
from lms_assets.resources.lake import Lake, RawAnswer
from lms_assets.resources.records import NotAnArray
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.turns import ApiTurns

GROUP = "attempts"
# The people to ask about an asset, as its page in Dagster shows them.
OWNERS = ["team:lms"]

COLUMN_SCHEMA = column_descriptions()


class PullConfig(dg.Config):
    """Where a day's answer comes from.

    Attributes:
        from_lake: Use the newest stored answer with records; the API is not asked.
    """

    from_lake: bool = False


class LoadConfig(dg.Config):
    """Whether attempts that the API no longer has are deleted.

    Attributes:
        mirror: Delete them; the run fails if they are more than half of the day's attempts.
        force: With ``mirror``: delete them even if they are more than half.
    """

    mirror: bool = False
    force: bool = False


def _day(context: dg.AssetExecutionContext) -> date:
    return date.fromisoformat(context.partition_key)


@dg.asset(
    partitions_def=attempt_days,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"api", "json"},
    io_manager_key="lake_references",
)
def raw_attempts(
    context: dg.AssetExecutionContext,
    config: PullConfig,
    grader_api: dg.ResourceParam[AttemptSource],
    lake: Lake,
    warehouse: Warehouse,
    erasure: Erasure,
    api_turns: ApiTurns,
) -> RawAnswer:
    """The API's answer for the day is in the lake, byte for byte.

    The API gives attempts no ids and marks no changes, so every answer is kept: only a comparison
    of answers shows what changed. An answer is never overwritten. Equal answers share one object.
    Records of erased students are dropped before the answer is stored.

    Grain: one answer per pull of a day, a JSON array of records.
    Zone: a day of LMS_TIMEZONE, requested as a half-open window in UTC.
    Raises: the fault of the API, such as `api.too_slow`, after the client's retries.
    """
    with faults_as_failures():
        day = _day(context)
        began = monotonic()
        if config.from_lake:
            answer = _newest_stored(lake, warehouse, day)
        else:
            name = f"run {context.run.run_id[:8]} of {day}"
            with api_turns.turn(warehouse, name=name, tell=context.log.info):
                answer = _pulled(grader_api, lake, day, erasure, warehouse)
        context.log.info("pulled: records=%s object=%s", answer.records, answer.key)
        context.add_output_metadata(
            {
                "dagster/partition_row_count": answer.records,
                "checksum": answer.checksum,
                "object": answer.key,
                "pulled_at": answer.pulled_at,
                "duration_s": round(monotonic() - began, 3),
            }
        )
        return answer


def _pulled(
    api: AttemptSource, lake: Lake, day: date, erasure: Erasure, warehouse: Warehouse
) -> RawAnswer:
    window = window_of(day)
    # Pulls are ordered by the time of the request, because a slow answer may come last.
    asked_at = datetime.now(UTC)
    with scratch_folder() as folder:
        body = folder / "answer.json"
        answer = api.attempts_between(window.start, window.end, to=body)
        # A student may have been erased while the API answered.
        with erasure.while_storing(warehouse) as tombstones:
            erased = drop_erased(body, tombstones)
            stored = lake.store_raw(
                body,
                day=day,
                records=answer.records - erased,
                pulled_at=asked_at,
                checksum=None if erased else answer.sha256,
            )
        return replace(stored, erased=erased, asked_at=_iso(asked_at))


def _newest_stored(lake: Lake, warehouse: Warehouse, day: date) -> RawAnswer:
    """The newest stored answer with records, as if it had been pulled last.

    Its ``asked_at`` is at least that of the day's newest load. With an earlier one, the load
    would be recorded as overtaken.
    """
    answer = lake.newest_raw(day)
    if answer is None:
        raise PermanentFault("lake.no_answer", day=day)
    with warehouse.begin() as connection:
        newest = newest_load(connection, day)
    last_asked_at = newest.asked_at.isoformat() if newest and newest.asked_at else ""
    return replace(answer, asked_at=max(answer.pulled_at, last_asked_at))


def _iso(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat()


@dg.asset(
    partitions_def=attempt_days,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"pandas", "parquet"},
    code_version=CODE_VERSION,
    io_manager_key="lake_references",
    metadata={"dagster/column_schema": COLUMN_SCHEMA},
)
def cleaned_attempts(
    context: dg.AssetExecutionContext,
    raw_attempts: RawAnswer,
    lake: Lake,
    warehouse: Warehouse,
    erasure: Erasure,
    limits: Limits,
) -> Pull:
    """Each record of the answer is an attempt or has another fate, and each fate is counted.

    A record that breaks a rule is rejected. It is stored whole, with the reason, in a second
    Parquet file beside the attempts. The rules are in `lms_assets/attempts/cleaning/rules.py`.

    Grain: one row per attempt of the day, in the order received.
    Key: user_id, attempt_type, created_at.
    Zone: created_at is naive UTC, inside the day's half-open window.
    Raises, and then nothing of the day is loaded:
        `cleaning.too_many_rejected`: more records are rejected than LMS_MAX_REJECTED_PCT allows.
        `cleaning.not_an_array`: the stored answer is not one JSON array.
        `cleaning.not_as_declared`: a column of the result has another type or other values.
    """
    with faults_as_failures(), _as_faults(raw_attempts):
        began = monotonic()
        pull = _clean(raw_attempts, window_of(_day(context)), lake, warehouse, erasure)
        pull = replace(pull, stages={"clean_s": round(monotonic() - began, 3)})
        _refuse_too_many_rejected(pull.fates, limits)
        context.log.info("cleaned: attempts=%s rejected=%s", pull.clean, pull.fates.rejected)
        context.add_output_metadata(
            {
                "dagster/partition_row_count": pull.clean,
                "fates": dg.MarkdownMetadataValue(_fates_table(pull.fates)),
                "watch": pull.watch,
            }
        )
        return pull


@contextmanager
def _as_faults(answer: RawAnswer) -> Iterator[None]:
    try:
        yield
    except NotAnArray as error:
        raise PermanentFault(
            "cleaning.not_an_array", day=answer.day, object=answer.key, position=error.position
        ) from None
    except NotCleanAttempts as error:
        columns = ", ".join(error.columns)
        raise PermanentFault("cleaning.not_as_declared", columns=columns) from None


def _clean(
    answer: RawAnswer, window: Window, lake: Lake, warehouse: Warehouse, erasure: Erasure
) -> Pull:
    """The cleaned answer; the earlier result if the same bytes were cleaned before."""
    zone = str(attempt_days.timezone)
    lake.remove_abandoned_drafts(date.fromisoformat(answer.day))
    with erasure.while_storing(warehouse) as tombstones:
        standing = lake.standing(answer)
        pull = earlier_pull(lake, standing, window, zone=zone) or clean_stored(
            lake,
            standing,
            window=window,
            zone=zone,
            tomorrow=end_of_tomorrow(datetime.now(UTC)),
            tombstones=tombstones,
        )
    # The ledger has the checksum of the bytes that the API sent, not of those that an erasure left.
    asked_at = datetime.fromisoformat(answer.asked_at or answer.pulled_at)
    return replace(pull, checksum=answer.checksum, asked_at=asked_at)


def _refuse_too_many_rejected(fates: Fates, limits: Limits) -> None:
    rejected = fates.rejected_in_all
    if limits.too_many_rejected(rejected, fates.received):
        reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(fates.rejected.items()))
        raise PermanentFault(
            "cleaning.too_many_rejected",
            rejected=rejected,
            received=fates.received,
            pct=round(100 * rejected / fates.received, 1),
            reasons=reasons,
            by_reason=dict(fates.rejected),
        )


def _fates_table(fates: Fates) -> str:
    rows = {
        "attempts": fates.kept,
        "duplicates": fates.duplicates,
        "outside the day": fates.outside_window,
        "erased": fates.erased,
    } | {f"rejected: {reason}": n for reason, n in sorted(fates.rejected.items())}
    lines = [f"| {fate} | {n:,} |" for fate, n in rows.items()]
    return "\n".join(["| fate | records |", "|---|---:|", *lines])


@dg.asset(
    partitions_def=attempt_days,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "table"},
    io_manager_key="lake_references",
    metadata={
        "dagster/column_schema": COLUMN_SCHEMA,
        "dagster/table_name": "public.attempts",
    },
)
def attempts_table(
    context: dg.AssetExecutionContext,
    config: LoadConfig,
    cleaned_attempts: Pull,
    lake: Lake,
    warehouse: Warehouse,
    erasure: Erasure,
) -> Load:
    """The table `attempts` holds the day's attempts; the table `load_ledger` counts each fate.

    One transaction inserts new attempts and updates changed ones. Attempts that the API no longer
    has stay, unless the run's config sets `mirror`. An answer that is already loaded changes no
    attempt; the ledger gets a row for it.

    Grain: one row per attempt.
    Key: user_id, attempt_type, created_at (constraint unique_attempt).
    Zone: created_at is naive UTC.
    Raises: the fault of the database, such as `database.unreachable`; nothing is loaded then.
        `database.mirror_refused`: the mirror would delete more than half of the day's attempts.
    """
    with faults_as_failures():
        mirror = Mirror(config.mirror, config.force)
        load = warehouse.in_transaction(
            lambda connection: load_day(
                connection, cleaned_attempts, lake, mirror, erasure, run_id=context.run.run_id
            )
        )
        context.log.info("loaded: %s", _as_pairs(load.fates.counters() | load.stages))
        context.add_output_metadata(
            {"dagster/partition_row_count": load.stored, **load.fates.counters(), **load.stages}
        )
        return load


def _as_pairs(facts: Mapping[str, object]) -> str:
    return " ".join(f"{name}={fact}" for name, fact in facts.items())


attempts_assets = [raw_attempts, cleaned_attempts, attempts_table]
