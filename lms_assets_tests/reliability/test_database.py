"""PostgreSQL fails on the way: no half day is left, and the day again repairs it (C1, C5)."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import psycopg2
import pytest

from lms_assets_tests.api_server import ApiServer, answer
from lms_assets_tests.day_loads import record
from lms_assets_tests.driving import (
    Checkout,
    Server,
    checkout,
    connected,
    debian_postgres,
    filled,
    server_programs,
    small_disk,
    until,
)

DAY = date(2025, 7, 24)
STUDENTS = 4_000
DISK_MB = 160


@contextmanager
def installation(disk: Path | None = None) -> Iterator[tuple[Checkout, Server]]:
    """A checkout over an API and a database server of its own."""
    programs = server_programs()
    assert programs, "Debian's PostgreSQL is not installed: apt-get install postgresql"
    students = [record(f"{n:032x}", "run", day=DAY) for n in range(STUDENTS)]
    with debian_postgres(programs, disk) as server, ApiServer(answer(students)) as api:
        server.execute("create database analysts")
        own = {"API_URL": api.url, "API_CLIENT": "client", "API_CLIENT_KEY": "key-of-the-test"}
        with checkout(**own, **server.settings("analysts")) as place:
            yield place, server


def stored(server: Server) -> int:
    """How many attempts the table holds."""
    with connected(server.url("analysts")) as cursor:
        cursor.execute("select count(*) from attempts")
        return int(cursor.fetchone()[0])


def is_waiting(server: Server) -> bool:
    """Whether somebody waits for a lock on a table."""
    with connected(server.url("analysts")) as cursor:
        cursor.execute("select 1 from pg_stat_activity where wait_event_type = 'Lock'")
        return cursor.fetchone() is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "is_committed"),
    [("attempts", False), ("load_ledger", False), ("daily_statistics", True)],
    ids=["in the merge", "before the commit", "after the commit"],
)
def test_a_database_killed_on_the_way_leaves_no_half_day_and_the_day_again_repairs_it(
    table: str, is_committed: bool
) -> None:
    """C1."""
    with installation() as (place, server):
        assert place.lms("gaps").code == 0
        holder = psycopg2.connect(server.url("analysts").replace("+psycopg2", ""))
        holder.cursor().execute(f"lock table {table} in exclusive mode")
        run = place.started("run", str(DAY))
        until(lambda: is_waiting(server))
        server.kill()
        assert run.wait(120) == 1
        server.start()
        assert stored(server) == (STUDENTS if is_committed else 0)

        again = place.lms("run", str(DAY), "--json")
        assert again.code == 0, again.err
        assert stored(server) == STUDENTS
        with connected(server.url("analysts")) as cursor:
            cursor.execute("select attempts from daily_statistics")
            assert cursor.fetchall() == [(STUDENTS,)]


@pytest.mark.slow
def test_a_database_that_goes_down_under_a_history_is_told_once_and_by_doctor_too() -> None:
    """R60: the command and its workers ended in tracebacks of Dagster's own error."""
    with installation() as (place, server):
        assert place.lms("gaps").code == 0
        holder = psycopg2.connect(server.url("analysts").replace("+psycopg2", ""))
        holder.cursor().execute("lock table attempts in exclusive mode")
        first = DAY - timedelta(days=1)
        history = place.started("backfill", str(first), str(DAY), stderr=subprocess.PIPE)
        until(lambda: is_waiting(server))
        server.kill()
        said = history.communicate(timeout=180)[1].decode()
        assert history.returncode == 1
        for told in (said, place.lms("doctor").out):
            assert told.count("PostgreSQL cannot be reached: ") == 1, told
            assert told.count("See that the server runs and that DB_HOST and DB_PORT are") == 1
            assert "Traceback" not in told
        server.start()
        again = place.lms("backfill", str(first), str(DAY))
        assert (again.code, "2 done, 0 failed" in again.out) == (0, True), again.err


@pytest.mark.slow
def test_a_full_disk_of_the_database_fails_the_day_clean_and_the_day_again_repairs_it() -> None:
    """C5."""
    with small_disk(DISK_MB) as disk, installation(disk) as (place, server):
        assert place.lms("gaps").code == 0
        with connected(server.url("analysts")) as cursor:
            cursor.execute("checkpoint")
        filling = filled(disk, left=1 << 19)
        failed = place.lms("run", str(DAY))
        assert failed.code == 1
        assert "Traceback" not in failed.err
        assert "disk is full" in failed.out + failed.err
        filling.unlink()
        assert stored(server) == 0

        again = place.lms("run", str(DAY), "--json")
        assert again.code == 0, again.err
        assert stored(server) == STUDENTS
