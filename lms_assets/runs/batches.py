"""Batches: runs that share one letter and one publication. Their runs say when one is over."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Literal

import dagster as dg
from sqlalchemy import Connection, text

from lms_assets.locks import Lock, is_held, kept
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.tags import (
    BACKFILL_TAG,
    BATCH_TAG,
    PARTITION_TAG,
    RETRIED_AS_TAG,
    WILL_RETRY_TAG,
    is_publication,
)

# Kinds of batches: missing days that had no run yet, and missing days whose runs had failed.
CATCH_UP = "catch_up"
CATCH_UP_AGAIN = "catch_up_again"

# The process that starts a batch's runs may die. After this time without a new run the batch is
# over.
ABANDONED_AFTER = timedelta(minutes=10)

Step = Literal["wait", "publish", "letter"]


@dataclass(frozen=True)
class BatchRun:
    """A run of a batch, with the facts that decide whether the batch is over."""

    run_id: str
    day: str | None
    status: dg.DagsterRunStatus
    is_publication: bool
    will_be_retried: bool
    changed_at: datetime

    @property
    def has_ended(self) -> bool:
        """Whether the run is over and Dagster will not retry it."""
        ended = (
            dg.DagsterRunStatus.SUCCESS,
            dg.DagsterRunStatus.FAILURE,
            dg.DagsterRunStatus.CANCELED,
        )
        return self.status in ended and not self.will_be_retried

    @property
    def succeeded(self) -> bool:
        """Whether Dagster counts the run as successful."""
        return self.status == dg.DagsterRunStatus.SUCCESS


@dataclass(frozen=True)
class Batch:
    """A batch that is not closed yet.

    Attributes:
        days: The days that it asks for; empty where only its runs name them.
        is_led: A command in a terminal runs its days, publishes them and writes the letter.
    """

    batch: str
    kind: str
    days: tuple[str, ...]
    opened_at: datetime
    is_led: bool = False


def next_step(batch: Batch, runs: Sequence[BatchRun], *, now: datetime) -> Step:
    """What the batch needs now: to wait for its runs, to be published, or to get its letter.

    Args:
        batch: As the database has it now.
        runs: All its runs, publications included.
        now: Aware, as the runs' ``changed_at``.
    """
    if batch.is_led or any(not _is_over(run, now) for run in runs):
        return "wait"
    last_change = max((run.changed_at for run in runs), default=batch.opened_at)
    days = {run.day for run in runs if not run.is_publication}
    if not (batch.days and days >= set(batch.days)) and now - last_change < ABANDONED_AFTER:
        return "wait"
    if any(run.is_publication for run in runs):
        return "letter"
    return "publish" if any(run.succeeded for run in runs) else "letter"


def _is_over(run: BatchRun, now: datetime) -> bool:
    """Whether nothing more comes of it; Dagster retries no run of a backfill that was cancelled."""
    return run.has_ended or (run.will_be_retried and now - run.changed_at >= ABANDONED_AFTER)


def newest_good_day(runs: Sequence[BatchRun]) -> date | None:
    """The newest day that a run of the batch loaded; the publication runs in its partition."""
    days = [run.day for run in runs if run.succeeded and not run.is_publication and run.day]
    return date.fromisoformat(max(days)) if days else None


def open_batch(connection: Connection, batch: str, *, kind: str, days: Iterable[date]) -> None:
    """The table `batches` holds the batch and its days; a second call changes nothing."""
    statement = """
        insert into batches (batch, kind, days) values (:batch, :kind, :days)
        on conflict (batch) do nothing
    """
    values = {"batch": batch, "kind": kind, "days": json.dumps([d.isoformat() for d in days])}
    connection.execute(text(statement), values)


def open_batches(connection: Connection) -> list[Batch]:
    """The batches that have not had their letter, oldest first."""
    statement = """
        select batch, kind, days, opened_at from batches where closed_at is null
        order by opened_at, batch
    """
    return [
        Batch(
            batch=row.batch,
            kind=row.kind,
            days=tuple(row.days),
            opened_at=row.opened_at,
            is_led=is_held(connection, Lock.BATCH, row.batch),
        )
        for row in connection.execute(text(statement)).all()
    ]


@contextmanager
def leading(warehouse: Warehouse, batch: str) -> Iterator[None]:
    """While the block runs, only this process publishes the batch and writes its letter.

    If the process dies, the database sees its session end, and a sensor takes over.
    """
    with kept(warehouse.engine, Lock.BATCH, batch, name=f"batch {batch}"):
        yield


def close_batch(connection: Connection, batch: str) -> None:
    """The batch is closed: it has been published, and its letter is recorded."""
    statement = "update batches set closed_at = now() where batch = :batch and closed_at is null"
    connection.execute(text(statement), {"batch": batch})


def tells_of_run(connection: Connection, batch: str, *, ended_at: datetime | None) -> bool:
    """Whether the batch's letter reports a run that a person executed again.

    It does if the batch is still open, or if the run had ended before the batch was closed.
    """
    statement = """
        select exists(
            select from batches where batch = :batch
                and (closed_at is null or closed_at >= cast(:ended_at as timestamptz)))
    """
    return bool(connection.scalar(text(statement), {"batch": batch, "ended_at": ended_at}))


def runs_of(instance: dg.DagsterInstance, batch: str) -> list[BatchRun]:
    """Every run of a batch, oldest first, whoever launched it."""
    records_by_id = {
        record.dagster_run.run_id: record
        for tag in (BATCH_TAG, BACKFILL_TAG)
        for record in instance.get_run_records(dg.RunsFilter(tags={tag: batch}))
    }
    records = sorted(records_by_id.values(), key=lambda record: record.storage_id)
    return [batch_run(record) for record in records]


def batch_run(record: dg.RunRecord) -> BatchRun:
    """The run with the facts that decide whether its batch is over."""
    run = record.dagster_run
    return BatchRun(
        run_id=run.run_id,
        day=run.tags.get(PARTITION_TAG),
        status=run.status,
        is_publication=is_publication(run.tags),
        # The tag stays when the retry has been made, which from then on speaks for the day.
        will_be_retried=run.tags.get(WILL_RETRY_TAG) == "true" and RETRIED_AS_TAG not in run.tags,
        changed_at=record.update_timestamp,
    )
