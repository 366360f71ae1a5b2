"""The road from the API to the table: raw_attempts → cleaned_attempts → attempts_table."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from time import monotonic

import dagster as dg

from lms_assets.attempts.cleaned import clean_stored
from lms_assets.attempts.cleaned_before import cleaned_before
from lms_assets.attempts.cleaning import CODE_VERSION
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.ledger import Load, Pull, newest_load
from lms_assets.attempts.limits import Limits
from lms_assets.attempts.loading import load_day
from lms_assets.attempts.merge import Mirror
from lms_assets.attempts.partitions import attempt_days, window_of
from lms_assets.attempts.schema import NotCleanAttempts, column_descriptions
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
# Who is asked about these assets, as the asset's page shows it.
OWNERS = ["team:lms"]

COLUMN_SCHEMA = column_descriptions()


class PullConfig(dg.Config):
    """Where a day's raw answer comes from.

    Attributes:
        from_lake: The newest stored answer instead of a new one: the API is not asked.
    """

    from_lake: bool = False


class LoadConfig(dg.Config):
    """What becomes of attempts that the API no longer has.

    Attributes:
        mirror: They are deleted, unless more than half of the day would go.
        force: They are deleted however many they are.
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
    """What the API answered for the day, byte for byte, is in the lake.

    The API knows no ids and no changes: whether anything is new is only seen by
    keeping every answer. Never overwritten; equal answers are kept once.

    Grain: one object per pull of a day, a JSON array of records.
    Zone: the day is one of LMS_TIMEZONE, asked for as a half-open UTC window.
    Raises: the API's fault by name, after its own retries.
    """
    with faults_as_failures():
        day = _day(context)
        began = monotonic()
        if config.from_lake:
            answer = _stored(lake, warehouse, day)
        else:
            name = f"run {context.run.run_id[:8]} of {day}"
            with api_turns.turn(warehouse, name=name, tell=context.log.info):
                answer = _asked(grader_api, lake, day, erasure, warehouse)
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


def _asked(
    api: AttemptSource, lake: Lake, day: date, erasure: Erasure, warehouse: Warehouse
) -> RawAnswer:
    window = window_of(day)
    # The pull that was asked last is the newest, whenever its answer comes.
    asked_at = datetime.now(UTC)
    with scratch_folder() as folder:
        body = folder / "answer.json"
        answer = api.attempts_between(window.start, window.end, to=body)
        # Somebody may have been erased while the API answered.
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


def _stored(lake: Lake, warehouse: Warehouse, day: date) -> RawAnswer:
    """The newest stored answer; it stands for the newest pull that the books know by now."""
    answer = lake.newest_raw(day)
    if answer is None:
        raise PermanentFault("lake.no_answer", day=day)
    with warehouse.begin() as connection:
        newest = newest_load(connection, day)
    known = newest.asked_at.isoformat() if newest and newest.asked_at else ""
    return replace(answer, asked_at=max(answer.pulled_at, known))


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
    """Every record of the answer has one fate: an attempt, or a reason why it is none.

    Grain: one row per attempt of the day. Key: user_id, attempt_type, created_at.
    Zone: created_at is naive UTC, inside the day's half-open window.
    Refused records lie beside them, whole, with the reason; see `lms_assets/attempts/cleaning/`.
    Raises: `cleaning.too_many_rejected` when the day cannot be trusted: nothing of it is loaded.
        `cleaning.not_an_array`, `cleaning.not_as_declared`: nothing of it is loaded either.
    """
    with faults_as_failures(), _as_faults(raw_attempts):
        began = monotonic()
        pull = _clean(raw_attempts, window_of(_day(context)), lake, warehouse, erasure)
        pull = replace(pull, stages={"clean_s": round(monotonic() - began, 3)})
        _refuse_a_bad_day(pull.fates, limits)
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
    """What the answer came to; the same answer again is not cleaned again."""
    zone = str(attempt_days.timezone)
    with erasure.while_storing(warehouse) as tombstones:
        standing = lake.standing(answer)
        pull = cleaned_before(lake, standing, window, zone=zone) or clean_stored(
            lake,
            standing,
            window=window,
            zone=zone,
            tomorrow=end_of_tomorrow(datetime.now(UTC)),
            tombstones=tombstones,
        )
    # The books know the pull by the bytes that the API sent, and by when it asked for them.
    asked_at = datetime.fromisoformat(answer.asked_at or answer.pulled_at)
    return replace(pull, checksum=answer.checksum, asked_at=asked_at)


def _refuse_a_bad_day(fates: Fates, limits: Limits) -> None:
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
    """The table `attempts` holds the day's attempts; the ledger says what became of each record.

    One transaction: new attempts inserted, changed ones updated, equal ones left
    alone, none deleted. An answer that is already loaded is not loaded again.

    Grain: one row per attempt. Key: unique_attempt (user_id, attempt_type, created_at).
    Zone: created_at is naive UTC.
    Raises: the database's fault by name; nothing of the day was then loaded.
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
