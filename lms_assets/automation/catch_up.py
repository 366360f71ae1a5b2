"""The catch-up: missing days are requested again until they are loaded or given up."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from sqlalchemy import text

from lms_assets.automation.gaps import AT_A_TIME, Tries, days_to_request, given_up, missing_days
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.batches import (
    CATCH_UP,
    CATCH_UP_AGAIN,
    Batch,
    BatchRun,
    batch_run,
    open_batch,
    open_batches,
    runs_of,
)
from lms_assets.runs.due import last_tick, newest_due_day
from lms_assets.runs.endings import GivenUpDay, needs_a_person
from lms_assets.runs.tags import PARTITION_TAG, ROOT_TAG
from lms_assets.settings import Settings

# For this long after a tick its newest day is left to the schedule.
LEFT_TO_THE_SCHEDULE = timedelta(hours=1)
# The most runs that are read of a day; a day is given up after far fewer.
RUNS_OF_A_DAY = 50
BROKEN = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True)
class Requests:
    """Days to run now, all in one batch."""

    days: Sequence[date] = ()
    batch: str = ""


@dataclass(frozen=True)
class Gaps:
    """The missing days within LMS_CATCH_UP_DAYS, and the runs that were made for them.

    Attributes:
        days: The missing days, in order.
        runs: Day → its runs, oldest first; days without runs are left out.
        need_a_person: Days whose last run ended with a permanent fault, if no day was loaded
            since then.
    """

    days: list[date]
    runs: dict[date, list[BatchRun]]
    need_a_person: frozenset[date] = frozenset()

    @property
    def running(self) -> set[date]:
        """Days that have an unfinished run."""
        return {day for day, runs in self.runs.items() if any(not r.has_ended for r in runs)}

    @property
    def tries(self) -> dict[date, Tries]:
        """How often each day has failed."""
        return {
            day: _tries(runs, needs_a_person=day in self.need_a_person)
            for day, runs in self.runs.items()
        }

    @property
    def given_up(self) -> list[GivenUpDay]:
        """Days that are no longer requested, because their runs failed too often."""
        tries = self.tries
        return [
            GivenUpDay(day, tries[day].failed, self.runs[day][-1].run_id)
            for day in given_up(self.days, tries)
        ]


def find_gaps(
    instance: dg.DagsterInstance, warehouse: Warehouse, settings: Settings, *, now: datetime
) -> Gaps:
    """The days that are missing now.

    The newest day alone is left to the schedule until an hour after LMS_HOUR. If other days are
    missing too, as after a pause of the machine, the newest day is caught up with them, except
    in the hour after a tick.
    """
    newest = newest_due_day(settings, now, grace=LEFT_TO_THE_SCHEDULE)
    today = now.astimezone(settings.zone).date()
    first = max(settings.lms_first_day, today - timedelta(days=settings.lms_catch_up_days))
    loaded = finished_days(instance, warehouse, first, today)
    with warehouse.begin() as connection:
        loaded_at = connection.scalar(text("select max(loaded_at) from load_ledger"))
    days = missing_days(first, newest, loaded)
    if not days:
        return Gaps([], {})
    if now - last_tick(settings, now) >= LEFT_TO_THE_SCHEDULE:
        days = missing_days(first, today - timedelta(days=1), loaded)
    since = now - timedelta(days=settings.lms_catch_up_days)
    runs = _runs_of_days(instance, days, since=since)
    last = {day: runs_of_day[-1] for day, runs_of_day in runs.items() if runs_of_day[-1].has_ended}
    waiting = frozenset(
        day
        for day, run in last.items()
        if not run.succeeded
        and (loaded_at is None or loaded_at < run.changed_at)
        and needs_a_person(instance, run.run_id)
    )
    return Gaps(days, runs, waiting)


def finished_days(
    instance: dg.DagsterInstance, warehouse: Warehouse, first: date, last: date
) -> set[date]:
    """The days that are loaded, whose figures are current and whose run did not fail later on."""
    loads = warehouse.rows(
        """
        select distinct on (day) day, run_id from load_ledger
        where day between :first and :last and not overtaken
            and day not in (select day from lagging_days)
        order by day, id desc
        """,
        first=first,
        last=last,
    )
    if not loads:
        return set()
    broken = _broken_runs(instance, [load["run_id"] for load in loads])
    return {load["day"] for load in loads if load["run_id"] not in broken}


def _broken_runs(instance: dg.DagsterInstance, run_ids: list[str]) -> set[str]:
    """The runs that failed and that no later re-execution mended.

    Purged runs ended long ago and count as good.
    """
    failed = instance.get_run_records(dg.RunsFilter(run_ids=run_ids, statuses=BROKEN))
    if not failed:
        return set()
    roots = sorted({_root(record) for record in failed})
    mended: dict[str, int] = {}
    again = dg.RunsFilter(tags={ROOT_TAG: roots}, statuses=[dg.DagsterRunStatus.SUCCESS])
    for record in instance.get_run_records(again):
        mended[_root(record)] = max(record.storage_id, mended.get(_root(record), 0))
    return {
        record.dagster_run.run_id
        for record in failed
        if mended.get(_root(record), 0) < record.storage_id
    }


def _root(record: dg.RunRecord) -> str:
    return record.dagster_run.tags.get(ROOT_TAG, record.dagster_run.run_id)


def request_days(
    instance: dg.DagsterInstance, warehouse: Warehouse, gaps: Gaps, *, now: datetime
) -> Requests:
    """A few of the missing days, newest first, from the open catch-up or else from a new one."""
    with warehouse.begin() as connection:
        opened = [b for b in open_batches(connection) if b.kind in (CATCH_UP, CATCH_UP_AGAIN)]
    if opened:
        return _next_of(instance, opened[0], gaps)
    naive = now.astimezone(UTC).replace(tzinfo=None)
    days = days_to_request(gaps.days, running=gaps.running, tries=gaps.tries, now=naive)
    if not days:
        return Requests()
    again = all(gaps.tries.get(day, Tries()).failed for day in days)
    batch = f"catch-up-{now:%Y-%m-%dT%H%M%S}"
    with warehouse.begin() as connection:
        open_batch(connection, batch, kind=CATCH_UP_AGAIN if again else CATCH_UP, days=days)
    return Requests(days[:AT_A_TIME], batch)


def _next_of(instance: dg.DagsterInstance, batch: Batch, gaps: Gaps) -> Requests:
    runs = runs_of(instance, batch.batch)
    started = {run.day for run in runs}
    under_way = sum(not run.has_ended for run in runs)
    unstarted = {date.fromisoformat(day) for day in batch.days if day not in started}
    requestable = sorted(unstarted & set(gaps.days) - gaps.running, reverse=True)
    return Requests(requestable[: max(AT_A_TIME - under_way, 0)], batch.batch)


def _runs_of_days(
    instance: dg.DagsterInstance, days: Sequence[date], *, since: datetime
) -> dict[date, list[BatchRun]]:
    """Day → its newest RUNS_OF_A_DAY runs, oldest first."""
    filters = dg.RunsFilter(
        tags={PARTITION_TAG: [day.isoformat() for day in days]}, updated_after=since
    )
    records = instance.get_run_records(filters, limit=RUNS_OF_A_DAY * len(days))
    runs_by_day: dict[date, list[BatchRun]] = {}
    for record in reversed(records):
        run = batch_run(record)
        runs_by_day.setdefault(date.fromisoformat(str(run.day)), []).append(run)
    return runs_by_day


def _tries(runs: Sequence[BatchRun], *, needs_a_person: bool) -> Tries:
    failed = [run for run in runs if run.has_ended and not run.succeeded]
    if not failed:
        return Tries()
    last = max(run.changed_at for run in failed)
    return Tries(len(failed), last.astimezone(UTC).replace(tzinfo=None), needs_a_person)
