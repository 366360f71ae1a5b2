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


@pytest.mark.slow
def test_a_history_is_loaded_while_runs_a_replay_an_erasure_and_twenty_readers_go_on() -> None:
    erased = answer_of(FIRST)[0]["lti_user_id"]
    with world(DAYS) as busy, ExitStack() as readers:
        assert busy.place.lms("run", str(FIRST)).returncode == 0
        over = threading.Event()
        readers.callback(over.set)
        reading = [Reader(busy, over) for _ in range(READERS)]
        for reader in reading:
            reader.start()
        history = started(busy, "backfill", str(FIRST), str(busy.last))
        others = [
            ("run", str(busy.last + timedelta(days=1))),
            ("quarantine", "replay"),
            ("erase", erased, "--yes"),
            ("run", str(FIRST)),
            ("reclean", str(FIRST), str(FIRST + timedelta(days=2))),
        ]
        for command in others:
            said = busy.place.lms(*command)
            assert said.returncode == 0, (command, said.stdout, said.stderr)
        out, _ = history.communicate(timeout=600)
        assert history.returncode == 0, out
        over.set()
        for reader in reading:
            reader.join(30)
        settled(busy)

        assert [seen for reader in reading for seen in reader.seen] == []
        assert min(reader.reads for reader in reading) > 5
        rows = busy.place.rows("select count(distinct user_id) as n, count(*) as m from attempts")
        assert rows[0]["n"] == STUDENTS - 1
        assert busy.place.rows("select 1 from attempts where user_id = :u", u=erased) == []
        assert {name: left for name, left in busy.leftovers().items() if left} == {}
        assert busy.place.rows(HALF_DAYS) == []
        assert busy.place.rows(WRONG_FIGURES) == []
