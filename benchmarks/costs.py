"""What a million attempts of one day cost: processor seconds, disk, rows of events."""

import tempfile
from pathlib import Path

import psutil

from benchmarks.answers import answering
from benchmarks.data import DAY, write_day
from benchmarks.homes import Home, home
from benchmarks.results import Row

_TABLES_MIB = """
select sum(pg_total_relation_size(c.oid))::float / 2 ^ 20 as mib from pg_class c
where relnamespace = 'public'::regnamespace and relkind = 'r'
  and (relname = 'attempts') = %(attempts)s
"""
_EVENTS = """
select count(*) as rows, sum(pg_column_size(e.*))::float / 2 ^ 20 as mib
from dagster.event_logs e where run_id = (
    select run_id from dagster.runs where pipeline_name = 'daily_attempts' order by id desc limit 1)
"""


def costs(*, records: int) -> list[Row]:
    """The first load of a day of so many records, with everything that a run does."""
    with tempfile.TemporaryDirectory(prefix="lms-bench-data-") as folder:
        answer = Path(folder) / "day.json"
        write_day(answer, records=records)
        sent_mib = answer.stat().st_size / 2**20
        with answering(answer) as api, home(api, DAY) as place:
            place.lms("gaps")
            before = _server_cpu_s(place)
            run = place.lms("run", DAY.isoformat())
            server_s = _server_cpu_s(place) - before
            events = place.row(_EVENTS)
            amounts = {
                "processor, the run's own, s": run.cpu_s,
                "processor, PostgreSQL, s": server_s,
                "asking and storing the answer (loopback), s": place.step_s("raw_attempts"),
                "the answer as sent, MiB": sent_mib,
                "the answer in the lake, MiB": _folder_mib(place, "raw"),
                "cleaned attempts in the lake, MiB": _folder_mib(place, "cleaned"),
                "table `attempts` with its indexes, MiB": place.row(_TABLES_MIB, attempts=True),
                "all other tables of ours, MiB": place.row(_TABLES_MIB, attempts=False),
                "rows of events": events["rows"],
                "events, MiB": events["mib"],
            }
    return [Row(what, _number(amount), None, None) for what, amount in amounts.items()]


def _number(amount: object) -> float:
    return float(str(amount["mib"] if isinstance(amount, dict) else amount))


def _folder_mib(place: Home, kind: str) -> float:
    files = (place.folder / "lake" / kind).rglob("*")
    return sum(file.stat().st_size for file in files if file.is_file()) / 2**20


def _server_cpu_s(place: Home) -> float:
    """Of the postmaster, of its children, and of those that have ended."""
    pid_file = next((place.folder / "postgres").rglob("postmaster.pid"))
    server = psutil.Process(int(pid_file.read_text().split("\n")[0]))
    times = [server.cpu_times(), *(child.cpu_times() for child in server.children())]
    ended = times[0].children_user + times[0].children_system
    return ended + sum(time.user + time.system for time in times)
