"""A history is loaded while all else goes on: no deadlock, no failed read, no half day seen."""

import subprocess
import threading
from contextlib import ExitStack
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from lms_assets_tests.homes import LMS
from lms_assets_tests.reliability.world import FIRST, STUDENTS, World, answer_of, settled, world

DAYS, READERS = 30, 20

# In one snapshot: days of which the table holds another number than the newest pull says, and
# days whose figures say another number than the table though nothing marks them as lagging.
HALF_DAYS = """
with held as (
    select created_at::date as day, count(*) as attempts from attempts group by 1
), newest as (
    select distinct on (day) day, stored from load_ledger where not overtaken
    order by day, id desc
)
select coalesce(h.day, n.day) as day, h.attempts, n.stored
from held h full join newest n using (day)
where coalesce(h.attempts, 0) <> coalesce(n.stored, 0)
"""
WRONG_FIGURES = """
with held as (
    select created_at::date as day, count(*) as attempts from attempts group by 1
)
select coalesce(h.day, s.day) as day, h.attempts, s.attempts as shown
from held h full join daily_statistics s using (day)
where coalesce(h.attempts, 0) <> coalesce(s.attempts, 0)
  and coalesce(h.day, s.day) not in (select day from lagging_days)
"""


class Reader(threading.Thread):
    """Reads again and again, each time in one snapshot, and keeps what it should not have seen."""

    def __init__(self, place: World, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self._world, self._over = place, over
        self.reads = 0
        self.seen: list[object] = []

    def run(self) -> None:
        try:
            engine = self._world.place.warehouse.engine
            while not self._over.is_set():
                with engine.connect() as connection:
                    connection.execute(text("set transaction isolation level repeatable read"))
                    for statement in (HALF_DAYS, WRONG_FIGURES):
                        self.seen += connection.execute(text(statement)).all()
                self.reads += 1
                self._over.wait(0.2)
        except SQLAlchemyError as error:
            self.seen.append(error)


def started(busy: World, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [str(LMS), *arguments],
        env=busy.place.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


# What each erasure has of its own: its key, and how much was there at its moment.
OWN = {"erasure_receipts", "tombstones"}


@pytest.mark.slow
def test_a_history_is_loaded_while_runs_a_replay_an_erasure_and_twenty_readers_go_on() -> None:
    erased = answer_of(FIRST)[0]["lti_user_id"]
    with world(DAYS + 1) as calm, world(DAYS + 1) as busy, ExitStack() as readers:
        assert calm.backfilled().returncode == 0
        assert calm.place.lms("erase", erased, "--yes").returncode == 0
        assert busy.place.lms("run", str(FIRST)).returncode == 0
        over = threading.Event()
        readers.callback(over.set)
        reading = [Reader(busy, over) for _ in range(READERS)]
        for reader in reading:
            reader.start()
        # Each but the history publishes as it ends, and the history when its last day is loaded.
        at_once = [
            ("backfill", str(FIRST), str(busy.last - timedelta(days=1))),
            ("run", str(busy.last)),
            ("quarantine", "replay"),
            ("erase", erased, "--yes"),
            ("run", str(FIRST)),
            ("reclean", str(FIRST), str(FIRST)),
        ]
        running = {command: started(busy, *command) for command in at_once}
        for command, process in running.items():
            said, _ = process.communicate(timeout=900)
            assert process.returncode == 0, (command, said)
        over.set()
        for reader in reading:
            reader.join(60)
        settled(busy)

        assert [seen for reader in reading for seen in reader.seen] == []
        assert min(reader.reads for reader in reading) > 5
        [database] = busy.place.rows(
            "select deadlocks from pg_stat_database where datname = current_database()"
        )
        assert database == {"deadlocks": 0}
        assert {name: left for name, left in busy.leftovers().items() if left} == {}
        assert busy.place.rows(HALF_DAYS) == []
        assert busy.place.rows(WRONG_FIGURES) == []
        assert busy.tables() | dict.fromkeys(OWN) == calm.tables() | dict.fromkeys(OWN)
        assert busy.sheet() == calm.sheet()
        users = busy.place.rows("select count(distinct user_id) as n from attempts")
        assert users == [{"n": STUDENTS - 1}]
