"""An installation under disturbance: what its database and sheet hold, told apart from how.

A history's days come from an API that answers each day the same; whatever was killed on the way,
the same call again must end in what one undisturbed call gives.
"""

import hashlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import openpyxl

from lms_assets_tests.api_server import ApiServer, answer
from lms_assets_tests.day_loads import record
from lms_assets_tests.homes import LMS, Home, home

FIRST = date(2025, 3, 3)
STUDENTS = 12

# What names a run, a moment or the order of insertion, and so differs between two good histories.
_INCIDENTAL = {"id", "run_id", "rejected_at", "computed_at", "refreshed_at", "loaded_at", "stages"}
_BOOKS = {"load_ledger", "letters", "batches", "lms_assets_version", "repeatable_sql"}
# The marks of what is done later.
_BOOKS |= {"lagging_days"}


def answer_of(day: date) -> list[dict[str, Any]]:
    """The API's records of a day: students who run, fail and solve, one refused, one repeated."""
    dice = random.Random(day.toordinal())
    records = []
    for student in range(STUDENTS):
        user = hashlib.md5(f"student {student}".encode()).hexdigest()
        for hour in sorted(dice.sample(range(24), 3)):
            at = f"{hour:02d}:{dice.randrange(60):02d}:{dice.randrange(60):02d}"
            kind = dice.choice(["run", "submit"])
            records.append(record(user, kind, at, correct=dice.randrange(2), day=day))
    records.append(records[0])
    records.append(record("nobody", "check", "12:00:00", day=day))
    return records


def respond(handler: Any) -> None:  # noqa: ANN401
    """The API's answer to a request for one day."""
    asked = parse_qs(urlsplit(handler.path).query)["start"][0][:10]
    answer(answer_of(date.fromisoformat(asked)))(handler)


@contextmanager
def world(days: int, **settings: object) -> Iterator["World"]:
    """A fresh installation and its API, nothing loaded."""
    with (
        ApiServer(respond) as api,
        home(api, lms_first_day=FIRST, api_concurrency=2, **settings) as place,
    ):
        yield World(place, days)


@dataclass
class World:
    """A home, and the history that it is asked for."""

    place: Home
    days: int

    @property
    def last(self) -> date:
        """The last day of the history."""
        return FIRST + timedelta(days=self.days - 1)

    def backfilled(self) -> "subprocess.CompletedProcess[str]":
        """The whole history was asked for, without disturbance."""
        return self.place.lms("backfill", str(FIRST), str(self.last), timeout=600)

    def killed(self, *arguments: str, after_s: float) -> int | None:
        """The command was killed with all its processes; its exit code where it had ended before.

        As by a loss of power, but that PostgreSQL lives on.
        """
        process = subprocess.Popen(
            [str(LMS), *arguments],
            env=self.place.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        with suppress(subprocess.TimeoutExpired):
            return process.wait(after_s)
        for group in _groups_of(process.pid):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)
        process.wait()
        return None

    def tables(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every table of the data and the figures, its rows in order, the incidental left out."""
        listing = """
            select table_name, array_agg(column_name::text order by ordinal_position) as columns
            from information_schema.columns join information_schema.tables
                using (table_schema, table_name)
            where table_schema = 'public' and table_type = 'BASE TABLE' group by table_name
        """
        held = {}
        for table in self.place.rows(listing):
            name = table["table_name"]
            columns = [c for c in table["columns"] if c not in _INCIDENTAL]
            if name not in _BOOKS and columns:
                rows = self.place.rows(f"select {', '.join(columns)} from {name}")
                held[name] = sorted((tuple(row.values()) for row in rows), key=repr)
        return held

    def books(self) -> list[tuple[Any, ...]]:
        """What the newest pull of each day came to, however often the day was pulled."""
        statement = """
            select distinct on (day) day, received, inserted + updated + unchanged as kept,
                duplicates, outside_window, rejected::text, stored, checksum
            from load_ledger where not overtaken order by day, id desc
        """
        return [tuple(row.values()) for row in self.place.rows(statement)]

    def sheet(self) -> dict[str, list[tuple[Any, ...]]]:
        """The workbook's cells, without the note that says when it was made."""
        book = openpyxl.load_workbook(self.place.folder / "statistics.xlsx", read_only=True)
        return {
            sheet.title: [row for row in sheet.iter_rows(values_only=True) if not _is_note(row)]
            for sheet in book.worksheets
        }

    def leftovers(self) -> dict[str, object]:
        """What a killed process may leave behind and must not: all empty."""
        unfinished = """
            select run_id, status from dagster.runs
            where status not in ('SUCCESS', 'FAILURE', 'CANCELED')
        """
        slots = "select run_id from dagster.concurrency_slots where run_id is not null"
        lake = Path(self.place.folder / "lake")
        return {
            "unfinished runs": self.place.rows(unfinished),
            "slots held": self.place.rows(slots),
            "locks held": self.place.rows(
                "select objid from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid()"
            ),
            "days that lag": self.place.rows("select day from lagging_days"),
            "letters that wait": self.place.rows("select id from letters where status = 'waiting'"),
            "batches that are open": self.place.rows(
                "select batch from batches where closed_at is null"
            ),
            "unfinished objects": [str(p) for p in lake.rglob(".*") if p.is_file()],
        }


def _groups_of(pid: int) -> set[int]:
    """The process groups of a process and all below it."""
    import psutil

    groups = set()
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(pid)
        for one in [*parent.children(recursive=True), parent]:
            with suppress(ProcessLookupError, psutil.NoSuchProcess):
                if one.name() != "postgres":
                    groups.add(os.getpgid(one.pid))
    return groups


def _is_note(row: tuple[Any, ...]) -> bool:
    return isinstance(row[0], str) and " UTC" in row[0]


def settled(world: World, *, within_s: float = 30) -> None:
    """The sessions of killed processes have ended in the database."""
    until = time.monotonic() + within_s
    while world.leftovers()["locks held"] and time.monotonic() < until:
        time.sleep(0.1)
