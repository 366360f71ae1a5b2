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
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from queue import Empty, SimpleQueue
from typing import IO

import dagster as dg

from lms_assets.attempts.ledger import Load
from lms_assets.automation.batches import Batch, open_batch, open_batches
from lms_assets.automation.messenger import Messenger, utc_now
from lms_assets.automation.outcomes import Outcome
from lms_assets.automation.runner import publish_batch, run_day
from lms_assets.platform import Platform
from lms_assets.systems import resources

Tell = Callable[[Outcome], None]


@dataclass(frozen=True)
class BatchOutcome:
    """What a batch came to: the outcome of each of its days, in the order of the days."""

    days: list[Outcome]

    @property
    def loads(self) -> list[Load]:
        """What the days committed."""
        return [outcome.load for outcome in self.days if outcome.load]

    @property
    def failed(self) -> list[Outcome]:
        """The days that failed."""
        return [outcome for outcome in self.days if not outcome.succeeded]


def messenger_of(platform: Platform, instance: dg.DagsterInstance) -> Messenger:
    """Who tells of the runs of this process."""
    settings = platform.settings
    return Messenger(settings, platform.warehouse, instance, resources(settings))


def run_alone(
    platform: Platform,
    instance: dg.DagsterInstance,
    day: date,
    *,
    mirror: bool = False,
    force: bool = False,
) -> Outcome:
    """One day was run in this process, published by itself, and its letter handed over."""
    messenger = messenger_of(platform, instance)
    run_id = run_day(instance, day, mirror=mirror, force=force).run_id
    messenger.tell_of_run(run_id, now=utc_now())
    messenger.send(now=utc_now())
    return messenger.outcome(run_id)


def run_batch(
    platform: Platform,
    instance: dg.DagsterInstance,
    days: Sequence[date],
    *,
    kind: str,
    tell: Tell,
    workers: int,
    from_lake: bool = False,
) -> BatchOutcome:
    """Every day was run, the batch published once, and its one letter handed over.

    Args:
        days: Whole days; each succeeds or fails by itself.
        kind: ``demo``, ``backfill`` or ``reclean``.
        tell: Called with each day's outcome as it ends.
        workers: Processes beside this one; with 1 the days are run in this one.
        from_lake: From the stored answers instead of the API.
    """
    messenger = messenger_of(platform, instance)
    batch = f"{kind}-{utc_now():%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
    with platform.warehouse.begin() as connection:
        open_batch(connection, batch, kind=kind, days=days)
    outcomes = []
    try:
        for run_id in _runs(instance, days, batch, workers=workers, from_lake=from_lake):
            outcome = messenger.outcome(run_id)
            outcomes.append(outcome)
            tell(outcome)
    finally:
        _finish(platform, instance, messenger, batch, outcomes)
    return BatchOutcome(sorted(outcomes, key=lambda outcome: outcome.day or date.min))


def _finish(
    platform: Platform,
    instance: dg.DagsterInstance,
    messenger: Messenger,
    batch: str,
    outcomes: Sequence[Outcome],
) -> None:
    good = [outcome.day for outcome in outcomes if outcome.succeeded and outcome.day]
    if good:
        publish_batch(instance, batch, max(good))
    with platform.warehouse.begin() as connection:
        opened: list[Batch] = [b for b in open_batches(connection) if b.batch == batch]
    for one in opened:
        messenger.tell_of_batch(one, now=utc_now())
    messenger.send(now=utc_now())


def _runs(
    instance: dg.DagsterInstance,
    days: Sequence[date],
    batch: str,
    *,
    workers: int,
    from_lake: bool,
) -> Iterator[str]:
    """The ids of the days' runs, each as it ends."""
    if workers == 1 or len(days) == 1:
        for day in days:
            yield run_day(instance, day, batch=batch, from_lake=from_lake).run_id
        return
    with _crew(min(workers, len(days)), batch, from_lake=from_lake) as crew:
        yield from _shared_out(days, crew)


@contextmanager
def _crew(size: int, batch: str, *, from_lake: bool) -> Iterator[list["subprocess.Popen[str]"]]:
    command = [sys.executable, "-m", __name__, batch, *(["--from-lake"] if from_lake else [])]
    crew = [
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Ctrl-C in the terminal is this process's to handle.
            start_new_session=os.name == "posix",
        )
        for _ in range(size)
    ]
    try:
        yield crew
    except BaseException:
        for worker in crew:
            worker.send_signal(signal.SIGINT)
        raise
    finally:
        for worker in crew:
            if worker.stdin:
                worker.stdin.close()
            worker.wait(timeout=60)


def _shared_out(days: Sequence[date], crew: Sequence["subprocess.Popen[str]"]) -> Iterator[str]:
    waiting: SimpleQueue[date] = SimpleQueue()
    for day in days:
        waiting.put(day)
    ended: SimpleQueue[str | BaseException | None] = SimpleQueue()
    with ThreadPoolExecutor(len(crew)) as feeders:
        for worker in crew:
            feeders.submit(_feed, worker, waiting, ended)
        left = len(crew)
        while left:
            said = ended.get()
            if said is None:
                left -= 1
            elif isinstance(said, str):
                yield said
            else:
                raise said


def _feed(
    worker: "subprocess.Popen[str]",
    waiting: "SimpleQueue[date]",
    ended: "SimpleQueue[str | BaseException | None]",
) -> None:
    """One worker is given day after day; what it says of each goes to ``ended``."""
    stdin, stdout = _pipes(worker)
    try:
        while True:
            day = waiting.get_nowait()
            print(day.isoformat(), file=stdin, flush=True)
            line = stdout.readline()
            if not line:
                raise RuntimeError("a worker of the backfill ended; see the log")
            ended.put(json.loads(line)["run_id"])
    except Empty:
        pass
    except (OSError, RuntimeError) as error:
        ended.put(error)
    finally:
        ended.put(None)


def _pipes(worker: "subprocess.Popen[str]") -> tuple[IO[str], IO[str]]:
    if worker.stdin is None or worker.stdout is None:
        raise RuntimeError("a worker has no pipes")
    return worker.stdin, worker.stdout


def work(batch: str, *, from_lake: bool) -> None:
    """A worker's life: a day a line on standard input, its run's id on standard output."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    # Whatever a library prints must not be taken for an answer.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    from lms_assets.platform import open_instance
    from lms_assets.settings import load_settings

    with open_instance(load_settings()) as instance:
        for line in sys.stdin:
            day = date.fromisoformat(line.strip())
            result = run_day(instance, day, batch=batch, from_lake=from_lake)
            print(json.dumps({"day": str(day), "run_id": result.run_id}), file=out, flush=True)


if __name__ == "__main__":
    work(sys.argv[1], from_lake="--from-lake" in sys.argv)
