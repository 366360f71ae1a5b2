"""Many days from a terminal: a run per day, the waits for the API side by side.

Dagster's runs in threads of one process deadlock, so worker processes take the
days from their standard input, one by one: each pays Dagster's start once, and
ends by itself when this process dies, however it died.
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
from lms_assets.commands.publishing import messenger_of
from lms_assets.commands.runner import publish_batch, run_day
from lms_assets.letters.messenger import Messenger, utc_now
from lms_assets.letters.outcomes import Outcome
from lms_assets.runs.batches import (
    leading,
    newest_good_day,
    open_batch,
    open_batches,
    runs_of,
)
from lms_assets.runs.processes import (
    end_orphans,
    report_gone,
    terminated_as_interrupted,
)
from lms_assets.systems import api_turns

# Kinds that go on where a killed command left them.
LASTING = ("backfill", "reclean")
WORKER_ENDS_WITHIN_S = 30

Tell = Callable[[Outcome], None]


@dataclass(frozen=True)
class BatchOutcome:
    """What a batch came to: the outcome of each of its days, in the order of the days.

    Attributes:
        publication: None where no day succeeded.
    """

    days: list[Outcome]
    publication: Outcome | None = None

    @property
    def loads(self) -> list[Load]:
        """What the days committed."""
        return [outcome.load for outcome in self.days if outcome.load]

    @property
    def failed(self) -> list[Outcome]:
        """The days that failed."""
        return [outcome for outcome in self.days if not outcome.succeeded]

    @property
    def is_published(self) -> bool:
        """Whether the sheet and the page show what the days have brought."""
        return self.publication is None or self.publication.succeeded


def run_alone(
    installation: Installation,
    instance: dg.DagsterInstance,
    day: date,
    *,
    tell: Callable[[str], None],
    mirror: bool = False,
    force: bool = False,
) -> Outcome:
    """One day was run in this process, published by itself, and its letter handed over.

    Args:
        tell: Hears for whom the run has to wait.
    """
    messenger = messenger_of(installation, instance)
    with terminated_as_interrupted():
        tell_of_orphans(installation, instance)
        waits = api_turns(installation.settings).waits_for(installation.warehouse)
        if waits:
            tell(waits)
        run_id = run_day(instance, day, mirror=mirror, force=force)
        messenger.tell_of_run(run_id, now=utc_now())
        messenger.send(now=utc_now())
    return messenger.outcome(run_id)


def tell_of_orphans(installation: Installation, instance: dg.DagsterInstance) -> None:
    """Runs that were killed are failed, and each has its letter."""
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
    """Every day was run, the batch published once, and its one letter handed over.

    Where a command that asked for these days was killed before, its batch goes on.

    Args:
        days: Whole days; each succeeds or fails by itself.
        kind: ``demo``, ``backfill`` or ``reclean``.
        tell: Called with each day's outcome as it ends.
        workers: Processes beside this one; with 1 the days are run in this one.
        from_lake: From the stored answers instead of the API.
        again: Whatever was done before: the batch is a new one.
    """
    messenger = messenger_of(installation, instance)
    tell_of_orphans(installation, instance)
    left = None if again else _left_open(installation, days, kind=kind)
    batch = left or _new_batch(installation, days, kind=kind)
    finish_left_open(installation, instance, but=batch)
    outcomes, published = [], None
    with terminated_as_interrupted(), leading(installation.warehouse, batch):
        try:
            with closing(_runs(instance, days, batch, workers, from_lake=from_lake)) as runs:
                for run_id in runs:
                    outcomes.append(messenger.outcome(run_id))
                    tell(outcomes[-1])
        finally:
            published = _finish(installation, instance, messenger, batch)
    return BatchOutcome(sorted(outcomes, key=lambda outcome: outcome.day or date.min), published)


def _new_batch(installation: Installation, days: Sequence[date], *, kind: str) -> str:
    batch = f"{kind}-{utc_now():%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    with installation.warehouse.begin() as connection:
        open_batch(connection, batch, kind=kind, days=days)
    return batch


def _left_open(installation: Installation, days: Sequence[date], *, kind: str) -> str | None:
    """The batch that a command which was killed has left, if it asked for these days."""
    wanted = {day.isoformat() for day in days}
    with installation.warehouse.begin() as connection:
        left = [
            batch.batch
            for batch in open_batches(connection)
            if batch.kind == kind and not batch.is_led and wanted <= set(batch.days)
        ]
    return left[-1] if left and kind in LASTING else None


def finish_left_open(
    installation: Installation, instance: dg.DagsterInstance, *, but: str | None = None
) -> None:
    """Batches of commands that were killed are published and told of, as far as they came.

    Args:
        but: The one that goes on.
    """
    with installation.warehouse.begin() as connection:
        left = [
            batch.batch
            for batch in open_batches(connection)
            if batch.kind in LASTING and not batch.is_led and batch.batch != but
        ]
    for batch in left:
        with leading(installation.warehouse, batch):
            _finish(installation, instance, messenger_of(installation, instance), batch)


def _finish(
    installation: Installation, instance: dg.DagsterInstance, messenger: Messenger, batch: str
) -> Outcome | None:
    """The batch is published and its letter handed over; the outcome of its publication."""
    end_orphans(instance, installation.warehouse, now=utc_now())
    newest = newest_good_day(runs_of(instance, batch))
    published = messenger.outcome(publish_batch(instance, batch, newest)) if newest else None
    with installation.warehouse.begin() as connection:
        opened = [one for one in open_batches(connection) if one.batch == batch]
    for one in opened:
        messenger.tell_of_batch(one, now=utc_now())
    messenger.send(now=utc_now())
    return published


def _runs(
    instance: dg.DagsterInstance,
    days: Sequence[date],
    batch: str,
    workers: int,
    *,
    from_lake: bool,
) -> Generator[str, None, None]:
    """The ids of the days' runs, each as it ends."""
    if workers == 1 or len(days) <= 1:
        for day in days:
            yield run_day(instance, day, batch=batch, from_lake=from_lake)
        return
    with _crew(min(workers, len(days)), batch, from_lake=from_lake) as crew:
        for day, run_id in _shared_out(days, crew):
            yield run_id or _run_of_the_dead(instance, batch, day)


def _run_of_the_dead(instance: dg.DagsterInstance, batch: str, day: date) -> str:
    """The run over which a worker died, marked failed.

    Raises:
        RuntimeError: It died before it had one: the next worker would too.
    """
    runs = [run for run in runs_of(instance, batch) if run.day == day.isoformat()]
    if not runs:
        raise RuntimeError(f"A worker of the backfill ended before it could run {day}.")
    if not runs[-1].has_ended:
        report_gone(instance, runs[-1].run_id)
    return runs[-1].run_id


class Worker:
    """A process that runs days, one after the other; where it dies, the next day starts another."""

    def __init__(self, batch: str, *, from_lake: bool) -> None:
        self._command = [sys.executable, "-m", __name__, batch]
        self._command += ["--from-lake"] if from_lake else []
        self._process = self._started()

    def run(self, day: date) -> str | None:
        """The id of the day's run that has ended; None when the process died over it."""
        if self._process.poll() is not None:
            self._process = self._started()
        try:
            print(day.isoformat(), file=self._process.stdin, flush=True)
            said = self._process.stdout.readline() if self._process.stdout else ""
        except OSError:
            said = ""
        if not said:
            self._process.wait()
        return str(json.loads(said)["run_id"]) if said else None

    def interrupt(self) -> None:
        """The day that it runs ends now, as interrupted."""
        with suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGINT)

    def end(self) -> None:
        """The process is gone."""
        with suppress(OSError):
            if self._process.stdin:
                self._process.stdin.close()
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
            # Ctrl-C in the terminal is the leading process's to handle.
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
    """Each day with its run, as it ends; when it is closed early, the days under way end too."""
    waiting: SimpleQueue[date] = SimpleQueue()
    for day in days:
        waiting.put(day)
    ended: Ended = SimpleQueue()
    stop = threading.Event()
    left = len(crew)
    with ThreadPoolExecutor(len(crew)) as feeders:
        try:
            for worker in crew:
                feeders.submit(_feed, worker, waiting, ended, stop)
            while left:
                said = ended.get()
                if said is None:
                    left -= 1
                else:
                    yield said
        finally:
            stop.set()
            if left:
                for worker in crew:
                    worker.interrupt()


def _feed(
    worker: Worker, waiting: "SimpleQueue[date]", ended: Ended, stop: threading.Event
) -> None:
    """One worker is given day after day; what it says of each goes to ``ended``."""
    try:
        while not stop.is_set():
            day = waiting.get_nowait()
            ended.put((day, worker.run(day)))
    except Empty:
        pass
    finally:
        ended.put(None)


def work(batch: str, *, from_lake: bool) -> None:
    """A worker's life: a day a line on standard input, its run's id on standard output."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # Whatever a library prints must not be taken for an answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    from lms_assets.commands.installation import open_instance

    with (
        suppress(KeyboardInterrupt, BrokenPipeError),
        terminated_as_interrupted(),
        open_instance() as instance,
    ):
        for line in sys.stdin:
            day = date.fromisoformat(line.strip())
            run_id = run_day(instance, day, batch=batch, from_lake=from_lake)
            print(json.dumps({"day": str(day), "run_id": run_id}), file=out, flush=True)


if __name__ == "__main__":
    work(sys.argv[1], from_lake="--from-lake" in sys.argv)
