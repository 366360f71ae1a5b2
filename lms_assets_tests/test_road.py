"""The whole road as its users drive it: a command, and what stands everywhere afterwards."""

import base64
import json
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import openpyxl
import psycopg2
import pytest
import trustme

from lms_assets.resources.warehouse import Warehouse
from lms_assets_tests.api_server import ApiServer, answer, hang
from lms_assets_tests.day_loads import record
from lms_assets_tests.driving import (
    DB_PASSWORD,
    Checkout,
    Said,
    Server,
    checkout,
    debian_postgres,
    kill,
    secrets_in_database,
    secrets_in_folder,
    server_programs,
    until,
)
from lms_assets_tests.sheets_server import SheetsServer
from lms_assets_tests.smtp_server import LOGIN, PostOffice, post_office, talking

DAY = date(2025, 7, 24)
RECORDED = Path(__file__).parent / "data" / "recodex_2017_attempts.json"

Row = tuple[Any, ...]


def rows(warehouse: Warehouse, sql: str) -> list[Row]:
    """The rows of a query."""
    return [tuple(row.values()) for row in warehouse.rows(sql)]


# ------------------------------------------------------------------ the demo


@dataclass(frozen=True)
class Fortnight:
    """The demo on the recorded fortnight, run twice."""

    place: Checkout
    first: Said
    second: Said
    warehouse: Warehouse


@pytest.fixture(scope="module")
def fortnight() -> Iterator[Fortnight]:
    with checkout() as place:
        first, second = (place.lms("demo", "--records", str(RECORDED)) for _ in range(2))
        yield Fortnight(place, first, second, place.embedded(".lms/demo"))


def test_the_demo_loads_the_recorded_fortnight_with_its_figures_of_volume(
    fortnight: Fortnight, data: Path
) -> None:
    known = json.loads((data / "recodex_2017_statistics.json").read_text())["01_days"]
    assert fortnight.first.code == 0, fortnight.first.err
    assert rows(fortnight.warehouse, "select count(*) from attempts") == [(1000,)]
    names = ("attempts", "run", "submit", "correct", "wrong", "ungraded")
    columns = "day::text, attempts, runs, submits, correct, wrong, ungraded"
    assert rows(fortnight.warehouse, f"select {columns} from daily_statistics order by day") == [
        (day, *(figures.get(name, 0) for name in names)) for day, figures in sorted(known.items())
    ]


def test_the_demo_run_again_changes_nothing_and_says_so(fortnight: Fortnight) -> None:
    assert fortnight.second.code == 0, fortnight.second.err
    assert "Nothing changed" not in fortnight.first.out
    assert "Nothing changed" in fortnight.second.out
    pulls = """
        select count(*) days, sum(inserted) inserted, sum(updated) updated, sum(unchanged) unchanged
        from (select *, row_number() over (partition by day order by id) pull from load_ledger) l
        group by pull order by pull
    """
    assert rows(fortnight.warehouse, pulls) == [(13, 1000, 0, 0), (13, 0, 0, 1000)]


def test_the_ledger_balances_for_every_pull_of_the_demo(fortnight: Fortnight) -> None:
    unbalanced = """
        select day from load_ledger where received <> inserted + updated + unchanged + duplicates
        + outside_window + erased
        + coalesce((select sum(value::int) from jsonb_each_text(rejected)), 0)
    """
    assert rows(fortnight.warehouse, unbalanced) == []


def test_the_demo_leaves_letters_a_workbook_and_a_page_and_says_where(fortnight: Fortnight) -> None:
    demo = fortnight.place.home / "demo"
    assert len(list((demo / "outbox").glob("*.eml"))) == 2
    daily = openpyxl.load_workbook(demo / "statistics.xlsx")["Daily"]
    shown = {day.date(): n for day, n in daily.iter_rows(2, max_col=2, values_only=True) if n}
    stored = rows(fortnight.warehouse, "select day, attempts from daily_statistics")
    assert shown == dict(stored)
    assert "</html>" in (demo / "report.html").read_text(encoding="utf-8")
    for place in ("statistics.xlsx", "outbox", "report.html"):
        assert str(demo / place) in fortnight.first.out


def test_every_day_of_the_demo_shows_as_materialized(fortnight: Fortnight) -> None:
    materialized = """
        select asset_key, count(distinct partition) from dagster.event_logs
        where dagster_event_type = 'ASSET_MATERIALIZATION' group by 1 order by 1
    """
    assert rows(fortnight.warehouse, materialized) == [
        ('["attempts_table"]', 13),
        ('["cleaned_attempts"]', 13),
        ('["daily_statistics"]', 13),
        ('["raw_attempts"]', 13),
        ('["statistics_page"]', 13),
        ('["statistics_sheet"]', 13),
    ]


@pytest.mark.slow
def test_the_demo_of_made_up_students_touches_nothing_that_is_configured() -> None:
    configured = {
        "API_URL": "http://127.0.0.1:9/attempts",
        "API_CLIENT": "client",
        "API_CLIENT_KEY": "key",
        "DB_HOST": "127.0.0.1",
        "DB_PORT": "9",
        "DB_NAME": "real",
        "DB_USER": "real",
    }
    with checkout(**configured) as place:
        said = place.lms("demo", "--days", "1")
        assert said.code == 0, said.err
        yesterday = datetime.now(UTC).date() - timedelta(days=1)
        loaded = rows(place.embedded(".lms/demo"), "select day, inserted > 100 from load_ledger")
        assert loaded == [(yesterday, True)]
        assert [path.name for path in place.home.iterdir()] == ["demo"]


def test_a_demo_whose_sheet_cannot_be_written_says_so_and_fails() -> None:
    with checkout() as place:
        workbook = place.home / "demo" / "statistics.xlsx"
        workbook.parent.mkdir(parents=True)
        workbook.write_text("no workbook", encoding="utf-8")
        said = place.lms("demo", "--records", str(RECORDED))
        assert said.code == 1
        assert "Publication failed" in said.err
        assert str(workbook) in said.err


# ------------------------------------------------------------------ real systems, by settings alone

API_KEY = "k3y/of+the=grader & more"
SIX = [
    record("ann", "run", "09:00:00.5"),
    record("ann", "submit", "09:10:00", correct=0),
    record("ann", "submit", "09:20:00", correct=1),
    record("Борис", "submit", "23:59:59.999999", correct=1),
    record("Борис", "submit", "23:59:59.999999", correct=1),
    record("vera", "submit", "00:00:00", correct=None, day=DAY + timedelta(days=1)),
]
STORED = [
    ("ann", "run", "2025-07-24 09:00:00.5", None),
    ("ann", "submit", "2025-07-24 09:10:00", False),
    ("ann", "submit", "2025-07-24 09:20:00", True),
    ("Борис", "submit", "2025-07-24 23:59:59.999999", True),
]
TABLE = """
    select user_id, attempt_type, created_at::text, is_correct from attempts
    where created_at >= '{0}' and created_at < date '{0}' + 1 order by created_at
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    programs = server_programs()
    if programs is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have Debian's PostgreSQL: apt-get install postgresql")
        pytest.skip("Debian's PostgreSQL is not installed: apt-get install postgresql")
    with debian_postgres(programs) as server:
        yield server


@dataclass(frozen=True)
class Outside:
    """Every outside system on loopback, and a checkout that is told of them by settings alone."""

    place: Checkout
    api: ApiServer
    sheets: SheetsServer
    office: PostOffice
    warehouse: Warehouse
    secrets: dict[str, str]


@pytest.fixture(scope="module")
def outside(postgres: Server) -> Iterator[Outside]:
    postgres.execute("create database analysts")
    authority = trustme.CA()
    with (
        ApiServer(answer(SIX)) as api,
        SheetsServer() as sheets,
        post_office(starttls=_certificate(authority)) as office,
        checkout() as place,
    ):
        trusted = place.folder / "authority.pem"
        authority.cert_pem.write_to_path(str(trusted))
        credentials = sheets.credentials_base64()
        place.variables = {
            "API_URL": api.url,
            "API_CLIENT": "client",
            "API_CLIENT_KEY": API_KEY,
            **postgres.settings("analysts"),
            "GOOGLE_SHEETS_API_URL": sheets.url,
            "GOOGLE_SHEETS_CREDENTIALS_BASE64": credentials,
            "SPREADSHEET_ID": sheets.spreadsheet_id,
            "SMTP_SERVER": "localhost",
            "SMTP_PORT": str(office.port),
            "SENDER_EMAIL": LOGIN[0],
            "SENDER_PASSWORD": LOGIN[1],
            "RECIPIENTS_EMAILS": "anna@example.org, boris@example.org",
            "SSL_CERT_FILE": str(trusted),
        }
        secrets = {
            "API_CLIENT_KEY": API_KEY,
            "API_CLIENT_KEY in a URL": quote_plus(API_KEY),
            "DB_PASSWORD": DB_PASSWORD,
            "DB_PASSWORD in a URL": quote_plus(DB_PASSWORD),
            "SENDER_PASSWORD": LOGIN[1],
            "credentials": credentials,
            "private key": _second_line_of_the_key(credentials),
        }
        warehouse = Warehouse(url=postgres.url("analysts"))
        yield Outside(place, api, sheets, office, warehouse, secrets)


def _certificate(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


def _second_line_of_the_key(credentials: str) -> str:
    key: str = json.loads(base64.b64decode(credentials))["private_key"]
    return key.splitlines()[1]


@pytest.fixture(scope="module")
def first_run(outside: Outside) -> Said:
    """The first day that these systems meet."""
    return outside.place.lms("run", str(DAY), "--json")


@pytest.fixture(scope="module")
def second_run(outside: Outside, first_run: Said) -> Said:
    """The same day again."""
    assert first_run.code == 0, first_run.err
    return outside.place.lms("run", str(DAY), "--json")


def test_a_day_goes_from_the_api_to_the_sheet_by_settings_alone(
    outside: Outside, first_run: Said
) -> None:
    assert first_run.code == 0, first_run.err
    told = first_run.last_object
    assert told.pop("run_id")
    assert 0 < told.pop("duration_s") < 60
    assert told == {
        "day": "2025-07-24",
        "status": "success",
        "received": 6,
        "inserted": 4,
        "updated": 0,
        "unchanged": 0,
        "duplicates": 1,
        "conflicting": 0,
        "outside_window": 1,
        "rejected": {},
        "erased": 0,
        "vanished": 0,
        "deleted": 0,
    }
    assert rows(outside.warehouse, TABLE.format(DAY)) == STORED
    asked = outside.api.requests[0].params
    assert asked["client_key"] == API_KEY
    assert (asked["start"], asked["end"]) == (
        "2025-07-24 00:00:00.000000",
        "2025-07-25 00:00:00.000000",
    )
    assert outside.sheets.column("Daily", "Attempts")[0] == 4


def test_the_letter_goes_to_every_recipient_encrypted_and_names_the_day(
    outside: Outside, first_run: Said
) -> None:
    delivery = outside.office.deliveries[0]
    assert (delivery.was_encrypted, delivery.was_logged_in) == (True, True)
    assert delivery.recipients == ["anna@example.org", "boris@example.org"]
    assert "2025-07-24 OK" in str(delivery.letter["Subject"])


def test_the_same_day_again_inserts_and_updates_nothing(outside: Outside, second_run: Said) -> None:
    assert second_run.code == 0, second_run.err
    told = second_run.last_object
    assert (told["inserted"], told["updated"], told["unchanged"]) == (0, 0, 4)
    assert rows(outside.warehouse, TABLE.format(DAY)) == STORED
    assert len([n for n in outside.sheets.column("Daily", "Attempts") if n]) == 1
    assert len(outside.office.deliveries) == 2


def test_no_secret_is_left_anywhere_that_people_read(
    outside: Outside, first_run: Said, second_run: Said
) -> None:
    said = "".join(f"{run.out}{run.err}" for run in (first_run, second_run))
    assert [name for name, secret in outside.secrets.items() if secret in said] == []
    assert secrets_in_folder(outside.place.home, outside.secrets) == []
    assert secrets_in_database(outside.warehouse.url, outside.secrets) == []
    letters = " ".join(_whole(delivery.letter) for delivery in outside.office.deliveries)
    assert [name for name, secret in outside.secrets.items() if secret in letters] == []


def test_no_student_is_named_outside_the_lake_and_the_tables(
    outside: Outside, second_run: Said
) -> None:
    student = {"student": "Борис"}
    files = {name.split("/")[0] for name in secrets_in_folder(outside.place.home, student)}
    tables = {name.split(".")[0] for name in secrets_in_database(outside.warehouse.url, student)}
    # PostgreSQL's statistics have some values of each table; its views show them only to roles
    # that may read the table.
    assert (files, tables - {"pg_catalog"}) == ({"lake"}, {"public"})


def _whole(letter: EmailMessage) -> str:
    parts = [part.get_content() for part in letter.walk() if not part.is_multipart()]
    return f"{letter}{''.join(str(part) for part in parts)}"


@pytest.mark.parametrize(
    ("wrong", "code", "said"),
    [
        ({"DB_PASSWORD": "not-this-0ne"}, 2, "DB_PASSWORD"),
        ({"DB_NAME": "nowhere"}, 2, "CREATE DATABASE"),
        ({"DB_USER": "poor", "DB_PASSWORD": "poor"}, 2, "GRANT CREATE"),
        ({"DB_PORT": "9"}, 1, "DB_PORT"),
    ],
    ids=lambda given: "-".join(given) if isinstance(given, dict) else None,
)
def test_a_database_that_cannot_be_used_ends_the_command_before_anything_is_asked(
    outside: Outside, postgres: Server, wrong: dict[str, str], code: int, said: str
) -> None:
    postgres.execute("drop role if exists poor", "create role poor login password 'poor'")
    postgres.execute("drop database if exists fresh", "create database fresh")
    asked = len(outside.api.requests)
    ended = outside.place.lms("run", str(DAY), "--json", **{"DB_NAME": "fresh", **wrong})
    assert ended.code == code
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert [secret for secret in (DB_PASSWORD, "not-this-0ne") if secret in ended.err] == []
    assert len(outside.api.requests) == asked


@pytest.mark.slow
def test_two_runs_of_one_day_at_once_load_it_once(outside: Outside, second_run: Said) -> None:
    day = date(2025, 8, 20)
    outside.api.behaviours[:] = [answer([record("ann", "run", day=day), record("ann", day=day)])]
    both = [outside.place.started("run", str(day)) for _ in range(2)]
    assert [run.wait(120) for run in both] == [0, 0]
    brought = (
        f"select inserted, updated, unchanged from load_ledger where day = '{day}' order by id"
    )
    assert rows(outside.warehouse, brought) == [(2, 0, 0), (0, 0, 2)]


# ------------------------------------------------------------------ killed on the way


@contextmanager
def locked(warehouse: Warehouse, table: str, mode: str = "exclusive") -> Iterator[None]:
    """Another session holds the table; in mode exclusive it can still be read."""
    connection = psycopg2.connect(warehouse.url.replace("+psycopg2", ""))
    connection.cursor().execute(f"lock table {table} in {mode} mode")
    yield
    connection.close()


def is_waiting(warehouse: Warehouse) -> bool:
    """Whether somebody waits for a lock on a table."""
    waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
    return bool(warehouse.rows(waiting))


def killed_at_a_lock(outside: Outside, day: date, table: str, mode: str = "exclusive") -> None:
    with locked(outside.warehouse, table, mode):
        run = outside.place.started("run", str(day))
        until(lambda: is_waiting(outside.warehouse))
        kill(run)


def killed_while_the_api_is_asked(outside: Outside, day: date) -> None:
    outside.api.behaviours.insert(0, hang())
    before = len(outside.api.requests)
    run = outside.place.started("run", str(day))
    until(lambda: len(outside.api.requests) > before)
    kill(run)


def killed_while_the_sheet_is_written(outside: Outside, day: date) -> None:
    written, over = threading.Event(), threading.Event()

    def hold() -> None:
        written.set()
        over.wait(60)

    outside.sheets.before_write = hold
    run = outside.place.started("run", str(day))
    assert written.wait(60)
    kill(run)
    outside.sheets.before_write = lambda: None
    over.set()


def killed_while_the_letter_is_sent(outside: Outside, day: date) -> None:
    asked = threading.Event()

    def silent_once_asked(connection: socket.socket, over: threading.Event) -> None:
        asked.set()
        over.wait()

    with talking(silent_once_asked) as port:
        usual = outside.place.variables["SMTP_PORT"]
        outside.place.variables["SMTP_PORT"] = str(port)
        run = outside.place.started("run", str(day))
        assert asked.wait(60)
        kill(run)
        outside.place.variables["SMTP_PORT"] = usual


KILLED: dict[str, Callable[[Outside, date], None]] = {
    "while the API is asked": killed_while_the_api_is_asked,
    "once the raw answer is written": lambda outside, day: killed_at_a_lock(
        outside, day, "tombstones", "access exclusive"
    ),
    "in the merge": lambda outside, day: killed_at_a_lock(outside, day, "attempts"),
    "before the commit": lambda outside, day: killed_at_a_lock(outside, day, "load_ledger"),
    "after the commit": lambda outside, day: killed_at_a_lock(outside, day, "daily_statistics"),
    "while the sheet is written": killed_while_the_sheet_is_written,
    "while the letter is sent": killed_while_the_letter_is_sent,
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", KILLED)
def test_a_run_killed_on_the_way_leaves_no_half_day_and_the_day_again_repairs_it(
    outside: Outside, second_run: Said, moment: str
) -> None:
    day = date(2025, 8, 1) + timedelta(days=list(KILLED).index(moment))
    outside.api.behaviours[:] = [answer([record("ann", "run", day=day), record("ann", day=day)])]
    KILLED[moment](outside, day)
    until(lambda: not is_waiting(outside.warehouse))

    loaded = [("ann", "run", f"{day} 10:00:00", None), ("ann", "submit", f"{day} 10:00:00", True)]
    was_committed = moment in list(KILLED)[-3:]
    assert rows(outside.warehouse, TABLE.format(day)) == (loaded if was_committed else [])

    again = outside.place.lms("run", str(day), "--json")
    assert again.code == 0, again.err
    assert rows(outside.warehouse, TABLE.format(day)) == loaded
    assert rows(
        outside.warehouse, f"select attempts from daily_statistics where day = '{day}'"
    ) == [(2,)]
    assert 2 in outside.sheets.column("Daily", "Attempts")
    unfinished = "select 1 from dagster.runs where status not in ('SUCCESS', 'FAILURE')"
    assert rows(outside.warehouse, unfinished) == []
    letters = f"select kind, status from letters where day = '{day}' order by id"
    was_told = moment == "while the letter is sent"
    assert rows(outside.warehouse, letters) == (
        [("success", "sent"), ("success", "sent")]
        if was_told
        else [("failure", "sent"), ("recovered", "sent")]
    )
