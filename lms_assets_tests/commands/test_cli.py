"""The `lms` command on days that go wrong: its exit code, what stands, and the one letter."""

import csv
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import UTC, date, datetime, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import pytest

from lms_assets.commands.cli import COMMANDS, lms
from lms_assets.embedded.database import EmbeddedWarehouse

# Before `home` puts another project folder in the place of theirs.
from lms_assets.embedded.postgres import EmbeddedPostgres
from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets.settings import Settings
from lms_assets_tests.api_server import ApiServer, Behaviour, answer, hang
from lms_assets_tests.day_loads import record
from lms_assets_tests.driving import COMMAND, drive, unconfigured
from lms_assets_tests.sheets_server import ADDRESS, SheetsServer
from lms_assets_tests.smtp_server import free_port, post_office

KEY = "s3cret/key&of=the grader"
SET_BY_PREPARE = (
    "DAGSTER_HOME",
    "LMS_DAGSTER_POSTGRES_URL",
    "DAGSTER_DISABLE_TELEMETRY",
    "LMS_DEMO",
)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home that every test here shares, with its embedded parts; each test has a day."""
    # Not under pytest's own folder: that is closed to the user that PostgreSQL runs as for root.
    with (
        tempfile.TemporaryDirectory(prefix="lms-home-") as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        folder = Path(name).resolve()
        for variable in (field.upper() for field in Settings.model_fields):
            patch.delenv(variable, raising=False)
        for variable in SET_BY_PREPARE:
            patch.setenv(variable, "")
        # Nobody's .env is read.
        patch.setattr("lms_assets.settings.project_folder", lambda: folder)
        for variable, value in unconfigured().items():
            patch.setenv(variable, value)
        patch.setenv("LMS_HOME", str(folder))
        # Without an API it would be the demo's home.
        for variable in ("API_URL", "API_CLIENT", "API_CLIENT_KEY"):
            patch.setenv(variable, "http://127.0.0.1:9")
        yield folder
        EmbeddedPostgres(folder / "postgres").stop()


@pytest.fixture(scope="module")
def warehouse(home: Path) -> Warehouse:
    """Its database."""
    return EmbeddedWarehouse(folder=str(home / "postgres"))


_days = iter(date(2025, 3, 1) + timedelta(days=n) for n in range(300))


@pytest.fixture
def day() -> date:
    """A day that no other test loads."""
    return next(_days)


Serves = Callable[..., ApiServer]


@pytest.fixture
def api(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serves]:
    """Starts the API that is asked from then on, with the behaviours that it is given."""
    running: list[AbstractContextManager[Any]] = []

    def serve(*behaviours: Behaviour) -> ApiServer:
        server = ApiServer(*behaviours)
        running.append(server)
        server.__enter__()
        monkeypatch.setenv("API_URL", server.url)
        monkeypatch.setenv("API_CLIENT", "client")
        monkeypatch.setenv("API_CLIENT_KEY", KEY)
        return server

    yield serve
    for server in running:
        server.__exit__(None, None, None)


def attempts(warehouse: Warehouse, day: date) -> int:
    """How many the table holds."""
    of_day = "select count(*) as n from attempts where created_at >= :day and created_at < :next"
    return int(warehouse.rows(of_day, day=day, next=day + timedelta(days=1))[0]["n"])


def letters(home: Path, day: date) -> list[EmailMessage]:
    """Those of the outbox that are about the day, oldest first."""
    files = sorted((home / "outbox").glob("*.eml"), key=lambda path: path.stat().st_mtime_ns)
    read = [message_from_bytes(file.read_bytes(), policy=default) for file in files]
    return [letter for letter in read if str(day) in str(letter["Subject"])]


def words(letter: EmailMessage) -> str:
    """Its plain text, on one line."""
    body = letter.get_body(("plain",))
    assert body is not None
    return re.sub(r"\s+", " ", str(body.get_content()))


# ------------------------------------------------------------------ the API


def test_refused_credentials_fail_the_day_with_one_letter_that_names_the_variable(
    home: Path, api: Serves, day: date
) -> None:
    server = api(answer({"message": "bad key"}, status=401))
    said = drive("run", str(day), "--json")
    assert (said.code, said.last_object["status"]) == (1, "failed")
    assert len(server.requests) == 1
    [letter] = letters(home, day)
    assert "API_CLIENT_KEY" in words(letter)
    assert KEY not in f"{said}{letter}{words(letter)}"


@pytest.mark.slow
def test_an_api_that_hangs_fails_the_day_within_its_budget(
    home: Path, api: Serves, day: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = api(hang())
    monkeypatch.setenv("API_TIMEOUT_S", "0.5")
    said = drive("run", str(day), "--json")
    assert (said.code, said.last_object["status"]) == (1, "failed")
    assert len(server.requests) == 3
    [letter] = letters(home, day)
    assert "API_TIMEOUT_S" in words(letter)


def test_an_error_object_of_the_api_is_never_a_success(
    home: Path, warehouse: Warehouse, api: Serves, day: date
) -> None:
    api(answer({"errors": ["the window is too long", f"client_key={KEY}"]}))
    said = drive("run", str(day), "--json")
    assert (said.code, said.last_object["status"]) == (1, "failed")
    assert attempts(warehouse, day) == 0
    [letter] = letters(home, day)
    assert "the window is too long" in words(letter)
    assert KEY not in words(letter)


def test_an_empty_answer_ends_well_and_keeps_what_is_stored(
    home: Path, warehouse: Warehouse, api: Serves, day: date
) -> None:
    api(answer([record(day=day)]), answer([]))
    assert drive("run", str(day)).code == 0
    said = drive("run", str(day), "--json")
    assert (said.code, said.last_object["status"]) == (0, "empty")
    assert said.last_object["received"] == 0
    assert attempts(warehouse, day) == 1
    newest = Lake(url=str(home / "lake")).newest_raw(day)
    assert newest is not None
    assert newest.records == 1
    assert len(letters(home, day)) == 2


def test_a_day_with_too_many_bad_records_is_not_loaded_and_its_answer_is_kept(
    home: Path, warehouse: Warehouse, api: Serves, day: date
) -> None:
    bad = [record(f"bad{n}", day=day, attempt_type="look") for n in range(30)]
    good = [record(f"good{n}", day=day) for n in range(70)]
    api(answer([*good, *bad]), answer(good))
    said = drive("run", str(day), "--json")
    assert (said.code, said.last_object["status"]) == (1, "failed")
    assert attempts(warehouse, day) == 0
    [letter] = letters(home, day)
    assert "attempt_type_invalid" in words(letter)
    assert "30" in words(letter)
    kept = Lake(url=str(home / "lake")).newest_raw(day)
    assert kept is not None
    assert kept.records == 100

    assert drive("run", str(day)).code == 0
    assert attempts(warehouse, day) == 70
    assert "RECOVERED" in str(letters(home, day)[-1]["Subject"])


def test_a_day_run_three_times_is_the_same_table(
    warehouse: Warehouse, api: Serves, day: date
) -> None:
    api(answer([record(day=day), record(day=day), record("bob", "run", day=day)]))
    checksum = "select md5(string_agg(a::text, '|' order by id)) as md5 from attempts a"
    found = []
    for brought in ({"inserted": 2, "unchanged": 0}, *[{"inserted": 0, "unchanged": 2}] * 2):
        told = drive("run", str(day), "--json").last_object
        assert {name: told[name] for name in brought} == brought
        assert (told["updated"], told["duplicates"]) == (0, 1)
        found += warehouse.rows(checksum)
    assert found[0] == found[1] == found[2]


def test_a_few_bad_records_are_set_aside_and_the_rest_is_loaded(
    warehouse: Warehouse, api: Serves, day: date
) -> None:
    api(answer([record(day=day), record("bob", day=day, is_correct="1"), 7]))
    said = drive("run", str(day), "--json")
    assert said.code == 0
    assert said.last_object["inserted"] == 1
    assert said.last_object["rejected"] == {"is_correct_invalid": 1, "not_an_object": 1}


# ------------------------------------------------------------------ the sheet and the mail


def test_a_sheet_that_is_not_shared_fails_the_run_but_not_the_loaded_day(
    home: Path, warehouse: Warehouse, api: Serves, day: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    api(answer([record(day=day)]))
    with SheetsServer() as sheets:
        sheets.is_shared = False
        monkeypatch.setenv("GOOGLE_SHEETS_API_URL", sheets.url)
        monkeypatch.setenv("GOOGLE_SHEETS_CREDENTIALS_BASE64", sheets.credentials_base64())
        monkeypatch.setenv("SPREADSHEET_ID", sheets.spreadsheet_id)
        said = drive("run", str(day), "--json")
    assert (said.code, said.last_object["status"]) == (1, "failed")
    assert said.last_object["inserted"] == 1
    assert attempts(warehouse, day) == 1
    [letter] = letters(home, day)
    assert ADDRESS in words(letter)


def test_a_letter_waits_for_a_mail_server_that_is_down_and_the_next_run_delivers_it(
    warehouse: Warehouse, api: Serves, day: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    api(answer([record(day=day)]))
    mail = {
        "SMTP_SERVER": "127.0.0.1",
        "SENDER_EMAIL": "robot@example.org",
        "RECIPIENTS_EMAILS": "anna@example.org",
        "SMTP_PORT": str(free_port()),
    }
    for name, value in mail.items():
        monkeypatch.setenv(name, value)
    assert drive("run", str(day)).code == 0
    of_day = "select status, message_id from letters where day = :day order by id"
    [waiting] = warehouse.rows(of_day, day=day)
    assert waiting["status"] == "waiting"
    with warehouse.begin() as connection:  # a minute later
        connection.exec_driver_sql("update letters set next_try_at = now()")
    with post_office() as office:
        monkeypatch.setenv("SMTP_PORT", str(office.port))
        assert drive("run", str(day)).code == 0
    assert [letter["status"] for letter in warehouse.rows(of_day, day=day)] == ["sent", "sent"]
    assert len(office.deliveries) == 2
    assert office.deliveries[0].letter["Message-ID"] == waiting["message_id"]


# ------------------------------------------------------------------ wrong usage


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "2025-02-30"],
        ["run", "yesterday"],
        ["run", str(datetime.now(UTC).date())],
        ["run", "2999-01-01"],
        ["run", "2022-12-31"],
        ["run", "--force"],
        ["backfill", "2025-02-02", "2025-02-01"],
        ["backfill", "2025-02-01", "2999-01-01"],
        ["backfill", "2025-02-01"],
        ["nonsense"],
        ["run", "--nonsense"],
        ["demo", "--days", "0"],
        ["demo", "--records", "/nowhere.json"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_reported_and_no_work_is_begun(
    home: Path, api: Serves, arguments: list[str]
) -> None:
    server = api(answer([]))
    said = drive(*arguments)
    assert said.code == 2
    assert said.err.strip()
    assert "Traceback" not in said.err
    assert server.requests == []


@pytest.mark.parametrize("verb", ["run", "query", "doctor", "gaps", "letters", "up", "env"])
def test_settings_that_are_wrong_end_every_verb_with_the_variable_s_name(
    home: Path, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMS_HOUR", "twenty-five")
    said = drive(verb, *(["select 1"] if verb == "query" else []))
    assert said.code == 2
    assert "LMS_HOUR" in said.err
    assert "twenty-five" not in said.err + said.out


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("a file", "LMS_HOME={home} cannot be used"),
        ("[home]", "LMS_HOME={home} has a character that Dagster reads as a pattern"),
        ("a*", "LMS_HOME={home} has a character that Dagster reads as a pattern"),
    ],
)
def test_an_unusable_home_is_named_in_one_sentence_and_no_work_is_begun(
    home: Path, tmp_path: Path, name: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R41, R47."""
    (tmp_path / "a file").touch()
    before = sorted(tmp_path.iterdir())
    monkeypatch.setenv("LMS_HOME", str(tmp_path / name))
    said = drive("gaps")
    assert said.code == 2
    assert said.err.startswith(f"lms: {told.format(home=tmp_path / name)}")
    assert said.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


def test_a_fault_of_dagsters_own_tables_is_shown_once_and_exits_with_1(
    home: Path, warehouse: Warehouse, api: Serves, day: date
) -> None:
    api(answer([record(day=day)]))
    assert drive("run", str(day)).code == 0
    with warehouse.begin() as connection:
        connection.exec_driver_sql("alter table dagster.runs rename column run_body to body")
    try:
        said = drive("run", str(day))
    finally:
        with warehouse.begin() as connection:
            connection.exec_driver_sql("alter table dagster.runs rename column body to run_body")
    assert said.code == 1
    assert said.err.startswith("lms: PostgreSQL refused a statement")
    assert said.err.count("\n") == 1


# ------------------------------------------------------------------ looking


def test_a_query_gives_a_heading_row_then_rows(home: Path, warehouse: Warehouse) -> None:
    said = drive("query", "select 1 as one, 'a,b' as text, null as nothing, true as yes", "--csv")
    assert said.code == 0, said.err
    assert said.out.splitlines() == ["one,text,nothing,yes", '1,"a,b",,True']


def test_a_query_as_csv_gives_json_as_json_and_a_row_a_line(
    home: Path, warehouse: Warehouse
) -> None:  # R49
    sql = """select '{"a": "é", "b": [1, null]}'::jsonb as j, array['x', 'y'] as a, E'p\\rq' as t"""
    out = drive("query", sql, "--csv").out
    heading, row = csv.reader(io.StringIO(out, newline=""))
    assert heading == ["j", "a", "t"]
    assert (json.loads(row[0]), json.loads(row[1])) == ({"a": "é", "b": [1, None]}, ["x", "y"])
    assert row[2] == "p\rq"


@pytest.mark.parametrize("encoding", ["ascii", "cp1251"])
def test_a_terminal_without_some_characters_ends_no_command(
    home: Path, warehouse: Warehouse, encoding: str
) -> None:
    words = "Ж \N{MINUS SIGN} é 🙂"
    named = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}

    def said(*arguments: str) -> bytes:
        command = [COMMAND, "query", *arguments]
        done = subprocess.run(command, env=named, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert said(f"select '{words}' as t", "--csv").decode() == f"t\n{words}\n"
    shown = said(f"select '{words}' as t").decode(encoding)
    assert words.encode(encoding, "backslashreplace").decode(encoding) in shown


def test_a_reader_that_has_ended_is_no_error_of_ours(home: Path, warehouse: Warehouse) -> None:
    sql = "select repeat('x', 1000) from generate_series(1, 10000)"
    with subprocess.Popen(
        [COMMAND, "query", sql, "--csv"],
        env=dict(os.environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as query:
        assert query.stdout is not None
        assert query.stderr is not None
        query.stdout.readline()
        query.stdout.close()
        assert query.stderr.read() == b""


def test_gaps_are_spans_as_backfill_takes_them(
    home: Path, warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:  # R63
    monkeypatch.setenv("LMS_FIRST_DAY", "2024-01-01")
    said = drive("gaps")
    assert said.code == 0, said.err
    spans = [line.split()[:2] for line in said.out.splitlines()]
    assert spans[0][0] == "2024-01-01"
    assert len(spans) < 50
    assert "days are missing since 2024-01-01." in said.err


def test_a_first_day_in_the_future_is_named_by_doctor(
    home: Path, api: Serves, monkeypatch: pytest.MonkeyPatch
) -> None:  # R61
    api(answer([]))
    monkeypatch.setenv("LMS_FIRST_DAY", "2199-01-01")
    said = drive("doctor")
    assert said.code == 1
    assert "LMS_FIRST_DAY is 2199-01-01" in said.out


@pytest.mark.parametrize(
    "sql",
    [
        "delete from attempts",
        "set transaction read write; delete from attempts",
        "commit; delete from attempts; commit",
        "rollback; set session characteristics as transaction read write; delete from attempts",
    ],
)
def test_a_query_cannot_write(home: Path, warehouse: Warehouse, api: Serves, sql: str) -> None:
    api(answer([record(day=date(2025, 1, 1))]))
    if not attempts(warehouse, date(2025, 1, 1)):
        assert drive("run", "2025-01-01").code == 0
    said = drive("query", sql)
    assert attempts(warehouse, date(2025, 1, 1)) == 1
    assert said.code == 1, said.out


@pytest.mark.parametrize("sql", ["show server_version;", "explain select 1", "values (1), (2)"])
def test_whatever_gives_rows_is_a_query(home: Path, warehouse: Warehouse, sql: str) -> None:
    said = drive("query", sql)
    assert said.code == 0, said.err
    assert said.out.strip()


def test_a_query_may_have_more_rows_than_are_fetched_at_a_time_or_none(
    home: Path, warehouse: Warehouse
) -> None:
    many = drive("query", "select n from generate_series(1, 5000) n", "--csv").out.splitlines()
    assert many == ["n", *(str(n) for n in range(1, 5001))]
    assert drive("query", "select 1 as one where false", "--csv").out == "one\n"


def test_a_query_that_is_wrong_is_a_failure_with_postgresql_s_words(home: Path) -> None:
    said = drive("query", "select nothing from nowhere")
    assert said.code == 1
    assert "nowhere" in said.err
    assert "Traceback" not in said.err


def test_a_table_of_a_query_shows_brackets_as_they_are(home: Path) -> None:
    assert "[red]x[/red] [/]" in drive("query", "select '[red]x[/red] [/]' as text").out


def test_doctor_names_each_system_and_what_to_do(
    home: Path, api: Serves, day: date, monkeypatch: pytest.MonkeyPatch
) -> None:
    api(answer({"message": "bad key"}, status=403))
    said = drive("doctor")
    assert said.code == 1
    lines = {line.split("  ")[0]: line for line in said.out.splitlines()}
    assert "API_CLIENT_KEY" in lines["grader API"]
    for system in ("PostgreSQL", "lake", "sheet", "mail"):
        assert "works" in lines[system]
    assert KEY not in said.out


def test_the_environment_for_bare_tools_can_be_evaluated(home: Path, api: Serves) -> None:
    api(answer([]))
    said = drive("env")
    drive("env", "--stop")
    assert said.code == 0
    exported = dict(
        line.removeprefix("export ").split("=", 1) for line in said.out.splitlines() if line
    )
    assert exported["DAGSTER_HOME"] == str(home / "dagster")
    assert "LMS_DAGSTER_POSTGRES_URL" in exported
    assert exported["PATH"].endswith(f'{os.pathsep}$PATH"')


def test_the_object_of_a_run_is_the_last_line_and_alone_on_it(
    home: Path, api: Serves, day: date
) -> None:
    api(answer([record(day=day)]))
    last = drive("run", str(day), "--json").out.splitlines()[-1]
    assert set(json.loads(last)) == {
        "day",
        "status",
        "run_id",
        "received",
        "inserted",
        "updated",
        "unchanged",
        "duplicates",
        "conflicting",
        "outside_window",
        "rejected",
        "erased",
        "vanished",
        "deleted",
        "duration_s",
    }


def test_a_mirror_deletes_what_the_api_no_longer_has_but_not_more_than_half(
    warehouse: Warehouse, api: Serves, day: date
) -> None:
    users = [record(name, day=day) for name in ("ann", "bob", "vera", "zoe")]
    api(answer(users), answer(users[:3]), answer(users[:1]), answer(users[:1]))
    assert drive("run", str(day)).code == 0
    assert drive("run", str(day), "--mirror").code == 0
    assert attempts(warehouse, day) == 3
    assert drive("run", str(day), "--mirror").code == 1
    assert attempts(warehouse, day) == 3
    assert drive("run", str(day), "--mirror", "--force").code == 0
    assert attempts(warehouse, day) == 1


# ------------------------------------------------------------------ the list of commands


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_the_list_of_commands_says_of_each_what_its_docstring_begins_with(name: str) -> None:
    command = lms.get_command(click.Context(lms), name)
    assert command is not None
    assert (command.help or "").partition("\n")[0] == COMMANDS[name].help


def test_help_imports_neither_dagster_nor_the_database() -> None:
    script = (
        "import sys; sys.argv = ['lms', '--help']\n"
        "from lms_assets.commands.cli import main\n"
        "try: main()\n"
        "finally: print(sorted({'dagster', 'sqlalchemy', 'pandas'} & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "backfill" in told
    assert told.splitlines()[-1] == "[]"


def test_the_version_is_the_one_of_the_package() -> None:  # R63
    assert drive("--version").out.strip() == f"lms_assets {version('lms_assets')}"
