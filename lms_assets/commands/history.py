"""Days run from a terminal: one day, or a batch of days in parallel worker processes.

Dagster's runs deadlock in threads of one process. So worker processes read days from their
standard input, one at a time. Each worker starts Dagster once, and it ends by itself when this
process dies.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import date
from queue import Empty, SimpleQueue

import dagster as dg

from lms_assets.attempts.ledger import Load
from lms_assets.commands.installation import Installation
from lms_assets.commands.publishing import COMMAND_SENDS_S, messenger_of
from lms_assets.commands.runner import publish_batch, run_day
from lms_assets.faults import Fault
from lms_assets.letters.messenger import Messenger, utc_now
from lms_assets.letters.outcomes import Outcome
from lms_assets.runs.batches import (
    leading,
    newest_good_day,
    open_batch,
    open_batches,
    runs_of,
)
from lms_assets.runs.instance import open_instance
from lms_assets.runs.processes import (
    end_orphans,
    report_gone,
    terminated_as_interrupted,
)
from lms_assets.settings import load_settings
from lms_assets.systems import api_turns, warehouse

# After a killed command, the same command goes on with a batch of these kinds.
LASTING = ("backfill", "reclean")
WORKER_ENDS_WITHIN_S = 30

Tell = Callable[[Outcome], None]


@dataclass(frozen=True)
class BatchOutcome:
    """The result of a batch.

    Attributes:
        days: The outcome of each day, in order of days.
        publication: The outcome of the publication; None if no day succeeded.
    """

    days: list[Outcome]
    publication: Outcome | None = None

    @property
    def loads(self) -> list[Load]:
        """The ledger's rows of the days."""
        return [outcome.load for outcome in self.days if outcome.load]

    @property
    def failed(self) -> list[Outcome]:
        """The days that failed."""
        return [outcome for outcome in self.days if not outcome.succeeded]


def run_alone(
    installation: Installation,
    instance: dg.DagsterInstance,
    day: date,
    *,
    tell: Callable[[str], None],
    mirror: bool = False,
    force: bool = False,
) -> Outcome:
    """The day has been run in this process and published, and its letter has been sent.

    Args:
        installation: The prepared installation.
        instance: Dagster's instance.
        day: The day.
        tell: Called with a sentence if the run must wait for its turn at the API.
        mirror: Attempts that the API no longer has are deleted.
        force: With ``mirror``: without a limit to their number.
    """
    messenger = messenger_of(installation, instance)
    with terminated_as_interrupted():
        tell_of_orphans(installation, instance)
        waits = api_turns(installation.settings).waits_for(installation.warehouse)
        if waits:
            tell(waits)
        run_id = run_day(instance, day, mirror=mirror, force=force)
        messenger.tell_of_run(run_id, now=utc_now())
        messenger.send(now=utc_now(), begin_within_s=COMMAND_SENDS_S)
    return messenger.outcome(run_id)


def tell_of_orphans(installation: Installation, instance: dg.DagsterInstance) -> None:
    """Runs of dead processes have failed in Dagster, and each has its letter."""
    now = utc_now()
    messenger = messenger_of(installation, instance)
    for run_id in end_orphans(instance, messenger.warehouse, now=now):
        messenger.tell_of_run(run_id, now=now)


def run_batch(
    installation: Installation,
    instance: dg.DagsterInstance,
    days: Sequence[date],
    *,
    kind: str,
    tell: Tell,
    workers: int,
    from_lake: bool = False,
    again: bool = False,
) -> BatchOutcome:
    """All days have been run, the batch has been published once, and its one letter sent.

    If a killed command left a batch with these days, that batch goes on.

    Args:
        installation: The prepared installation.
        instance: Dagster's instance.
        days: Ended days. A day that fails does not stop the others.
        kind: ``demo``, ``backfill`` or ``reclean``.
        tell: Called with each day's outcome when the day ends.
        workers: The number of worker processes; with 1 the days run in this process.
        from_lake: The days are read from the stored answers instead of the API.
        again: The batch is a new one, even if a killed command left one.
    """
    messenger = messenger_of(installation, instance)
    tell_of_orphans(installation, instance)
    unfinished = None if again else _unfinished_batch(installation, days, kind=kind)
    batch = unfinished or f"{kind}-{utc_now():%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    outcomes, published = [], None
    with terminated_as_interrupted(), leading(installation.warehouse, batch):
        # Opened under its lead: to another command an open batch that nobody leads is a killed one.
        with installation.warehouse.begin() as connection:
            open_batch(connection, batch, kind=kind, days=days)
        _finish_killed_batches(installation, instance, but=batch)
        try:
            with closing(_runs(instance, days, batch, workers, from_lake=from_lake)) as runs:
                for run_id in runs:
                    outcomes.append(messenger.outcome(run_id))
                    tell(outcomes[-1])
        finally:
            published = _finish(installation, instance, messenger, batch)
    return BatchOutcome(sorted(outcomes, key=lambda outcome: outcome.day or date.min), published)


def _unfinished_batch(installation: Installation, days: Sequence[date], *, kind: str) -> str | None:
    """The batch that a killed command left, if it asked for all these days."""
    asked_days = {day.isoformat() for day in days}
    with installation.warehouse.begin() as connection:
        unfinished = [
            batch.batch
            for batch in open_batches(connection)
            if batch.kind == kind and not batch.is_led and asked_days <= set(batch.days)
        ]
    return unfinished[-1] if unfinished and kind in LASTING else None


def finish_killed_commands(installation: Installation, instance: dg.DagsterInstance) -> None:
    """What killed commands left is finished: batches are published, and letters that wait sent."""
    _finish_killed_batches(installation, instance)
    messenger_of(installation, instance).send(now=utc_now(), begin_within_s=COMMAND_SENDS_S)


def _finish_killed_batches(
    installation: Installation, instance: dg.DagsterInstance, *, but: str | None = None
) -> None:
    """Batches that killed commands left are published and have their letters.

    Args:
        installation: The prepared installation.
        instance: Dagster's instance.
        but: The batch that the caller continues.
    """
    with installation.warehouse.begin() as connection:
        killed = [
            batch.batch
            for batch in open_batches(connection)
            if batch.kind in LASTING and not batch.is_led and batch.batch != but
        ]
    for batch in killed:
        with leading(installation.warehouse, batch):
            _finish(installation, instance, messenger_of(installation, instance), batch)


def _finish(
    installation: Installation, instance: dg.DagsterInstance, messenger: Messenger, batch: str
) -> Outcome | None:
    """The batch is published and its letter is sent; the outcome of its publication."""
    end_orphans(instance, installation.warehouse, now=utc_now())
    newest = newest_good_day(runs_of(instance, batch))
    published = messenger.outcome(publish_batch(instance, batch, newest)) if newest else None
    with installation.warehouse.begin() as connection:
        opened = [
            opened_batch for opened_batch in open_batches(connection) if opened_batch.batch == batch
        ]
    for opened_batch in opened:
        messenger.tell_of_batch(opened_batch, now=utc_now())
    messenger.send(now=utc_now(), begin_within_s=COMMAND_SENDS_S)
    return published


def _runs(
    instance: dg.DagsterInstance,
    days: Sequence[date],
    batch: str,
    workers: int,
    *,
    from_lake: bool,
) -> Generator[str, None, None]:
    """Yields the id of each day's run when the run ends."""
    if workers == 1 or len(days) <= 1:
        for day in days:
            yield run_day(instance, day, batch=batch, from_lake=from_lake)
        return
    with _crew(min(workers, len(days)), batch, from_lake=from_lake) as crew:
        for day, run_id in _shared_out(days, crew):
            yield run_id or _run_of_the_dead(instance, batch, day)


def _run_of_the_dead(instance: dg.DagsterInstance, batch: str, day: date) -> str:
    """The id of the run in which a worker died; the run has failed in Dagster.

    Raises:
        RuntimeError: The worker died before it created a run; the next one would too.
    """
    runs = [run for run in runs_of(instance, batch) if run.day == day.isoformat()]
    if not runs:
        raise RuntimeError(f"A worker of the backfill ended before it could run {day}.")
    if not runs[-1].has_ended:
        report_gone(instance, runs[-1].run_id)
    return runs[-1].run_id


class Worker:
    """A process that runs days one after another; after its death the next day starts another."""

    def __init__(self, batch: str, *, from_lake: bool) -> None:
        self._command = [sys.executable, "-m", __name__, batch]
        self._command += ["--from-lake"] if from_lake else []
        self._process = self._started()

    def run(self, day: date) -> str | None:
        """The id of the day's run, which has ended; None if the process died."""
        if self._process.poll() is not None:
            self._process = self._started()
        try:
            print(day.isoformat(), file=self._process.stdin, flush=True)
            answer = self._process.stdout.readline() if self._process.stdout else ""
        except OSError:
            answer = ""
        if not answer:
            self._process.wait()
        return str(json.loads(answer)["run_id"]) if answer else None

    def interrupt(self) -> None:
        """The run of the present day is interrupted."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)

    def dismiss(self) -> None:
        """The process ends after its present day; it takes a second to."""
        with suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()

    def end(self) -> None:
        """The process has ended."""
        self.dismiss()
        try:
            self._process.wait(timeout=WORKER_ENDS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _started(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # In its own session the worker does not get the terminal's Ctrl-C.
            start_new_session=os.name == "posix",
        )


@contextmanager
def _crew(size: int, batch: str, *, from_lake: bool) -> Iterator[list[Worker]]:
    crew = [Worker(batch, from_lake=from_lake) for _ in range(size)]
    try:
        yield crew
    finally:
        for worker in crew:
            worker.end()


Ended = SimpleQueue[tuple[date, str | None] | None]


def _shared_out(days: Sequence[date], crew: Sequence[Worker]) -> Iterator[tuple[date, str | None]]:
    """Yields each day with its run's id when it ends; closed early, it interrupts the workers."""
    waiting: SimpleQueue[date] = SimpleQueue()
    for day in days:
        waiting.put(day)
    ended: Ended = SimpleQueue()
    stop = threading.Event()
    feeding = len(crew)
    with ThreadPoolExecutor(len(crew)) as feeders:
        try:
            for worker in crew:
                feeders.submit(_feed, worker, waiting, ended, stop)
            while feeding:
                result = ended.get()
                if result is None:
                    feeding -= 1
                else:
                    yield result
        finally:
            stop.set()
            if feeding:
                for worker in crew:
                    worker.interrupt()


def _feed(
    worker: Worker, waiting: "SimpleQueue[date]", ended: Ended, stop: threading.Event
) -> None:
    """One worker has run days until none is waiting, and ends; results went to ``ended``."""
    try:
        while not stop.is_set():
            day = waiting.get_nowait()
            ended.put((day, worker.run(day)))
    except Empty:
        worker.dismiss()
    finally:
        ended.put(None)


def work(batch: str, *, from_lake: bool) -> None:
    """The main function of a worker: it reads days from stdin and writes run ids to stdout."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # Output of libraries goes to stderr, so that it is not taken for an answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    with (
        # That the database is gone is told by the leading process, once.
        suppress(KeyboardInterrupt, BrokenPipeError, Fault),
        terminated_as_interrupted(),
        warehouse(load_settings()).faults_by_name(),
        open_instance() as instance,
    ):
        for line in sys.stdin:
            day = date.fromisoformat(line.strip())
            run_id = run_day(instance, day, batch=batch, from_lake=from_lake)
            print(json.dumps({"day": str(day), "run_id": run_id}), file=out, flush=True)


if __name__ == "__main__":
    work(sys.argv[1], from_lake="--from-lake" in sys.argv)
