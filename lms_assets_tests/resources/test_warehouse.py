"""The database's faults have names, its schema has a history, and nothing is half done."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import psycopg2
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, make_url, text

from lms_assets.faults import Fault, PermanentFault, TemporaryFault
from lms_assets.resources import migrations
from lms_assets.resources import warehouse as module
from lms_assets.resources.warehouse import Warehouse, upgrade_to
from lms_assets_tests.driving import connected
from lms_assets_tests.homes import wait_until
from lms_assets_tests.smtp_server import free_port

INSERT = """
    insert into attempts (user_id, attempt_type, created_at) values (:user, 'run', '2025-07-24')
"""


def caught(warehouse: Warehouse, statement: str) -> Fault:
    """What a statement ends in."""
    with pytest.raises(Fault) as found, warehouse.begin() as connection:
        connection.execute(text(statement))
    return found.value


def of_user(warehouse: Warehouse, user: str, **parts: object) -> Warehouse:
    """The same database with another login."""
    url = make_url(warehouse.url).set(username=user, **parts)
    return Warehouse(url=url.render_as_string(hide_password=False))


@pytest.fixture
def reader(warehouse: Warehouse) -> Iterator[Warehouse]:
    """A login that may read the tables and nothing else."""
    role = f"reader_{make_url(warehouse.url).database}"
    with warehouse.begin() as connection:
        connection.execute(text(f"create role {role} login password 'reader'"))
        connection.execute(text(f"grant select on all tables in schema public to {role}"))
    yield of_user(warehouse, role, password="reader")
    with warehouse.begin() as connection:
        connection.execute(text(f"drop owned by {role}"))
        connection.execute(text(f"drop role {role}"))


@contextmanager
def locked(warehouse: Warehouse, table: str) -> Iterator[int]:
    """Another program holds the table; its process id."""
    url = warehouse.url.replace("+psycopg2", "")
    connection = psycopg2.connect(url, application_name="night backup")
    connection.cursor().execute(f"lock table {table} in access exclusive mode")
    yield int(connection.info.backend_pid)
    connection.close()


# ------------------------------------------------------------------ faults by name


@pytest.mark.parametrize(
    ("state", "code", "kind"),
    [
        ("40001", "database.deadlock", TemporaryFault),
        ("40P01", "database.deadlock", TemporaryFault),
        ("53300", "database.overloaded", TemporaryFault),
        ("53200", "database.overloaded", TemporaryFault),
        ("57P01", "database.unreachable", TemporaryFault),
        ("57P03", "database.unreachable", TemporaryFault),
        ("08006", "database.unreachable", TemporaryFault),
        ("53100", "database.disk_full", PermanentFault),
        ("58030", "database.disk_full", PermanentFault),
        ("25006", "database.read_only", PermanentFault),
        ("42501", "database.permission", PermanentFault),
        ("42P01", "database.refused", PermanentFault),
    ],
)
def test_each_sqlstate_has_a_fault_that_says_whether_it_passes(
    warehouse: Warehouse, state: str, code: str, kind: type[Fault]
) -> None:
    said = f"do $$ begin raise exception 'it is so' using errcode = '{state}'; end $$"
    fault = caught(warehouse, said)
    assert (fault.code, type(fault)) == (code, kind)
    assert "it is so" in str(fault)


def test_a_table_locked_for_too_long_names_the_blocker(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOCK_TIMEOUT_S", 1)
    hurried = Warehouse(url=warehouse.url)
    with locked(warehouse, "attempts") as pid:
        fault = caught(hurried, "select count(*) from attempts")
    assert (fault.code, type(fault)) == ("database.locked", TemporaryFault)
    assert f"pid {pid}, night backup" in str(fault)


def sessions_of(warehouse: Warehouse, *, transactions: int) -> set[int]:
    """The sessions in which transactions that followed each other were."""
    pids = [warehouse.rows("select pg_backend_pid() as pid") for _ in range(transactions)]
    return {row["pid"] for (row,) in pids}


def test_transactions_share_a_session_only_where_it_was_asked_to_stay(
    warehouse: Warehouse,
) -> None:
    assert len(sessions_of(warehouse, transactions=3)) == 3
    with warehouse.staying_open():
        (shared,) = sessions_of(warehouse, transactions=3)
    still = "select pid from pg_stat_activity where pid = :pid"
    wait_until(lambda: warehouse.rows(still, pid=shared) == [])


def test_a_session_that_stayed_open_and_was_ended_is_replaced(warehouse: Warehouse) -> None:
    other = Warehouse(url=warehouse.url)
    with warehouse.staying_open():
        (ended,) = sessions_of(warehouse, transactions=1)
        other.rows("select pg_terminate_backend(:pid, 5000)", pid=ended)
        (next_one,) = sessions_of(warehouse, transactions=2)
    assert next_one != ended


def test_a_failed_transaction_leaves_nothing_in_the_session_that_stays_open(
    warehouse: Warehouse,
) -> None:
    with warehouse.staying_open():
        caught(warehouse, "insert into attempts (user_id) select 1 / 0")
        assert warehouse.rows("select count(*) as n from attempts") == [{"n": 0}]


def test_a_read_only_login_is_refused_and_changes_nothing(
    warehouse: Warehouse, reader: Warehouse
) -> None:
    assert reader.rows("select count(*) as n from attempts") == [{"n": 0}]
    fault = caught(reader, "delete from attempts")
    assert (fault.code, type(fault)) == ("database.permission", PermanentFault)


def test_a_read_only_server_is_a_fault_of_its_own(warehouse: Warehouse) -> None:
    name = make_url(warehouse.url).database
    with warehouse.begin() as connection:
        connection.execute(text(f"alter database {name} set default_transaction_read_only = on"))
    fault = caught(Warehouse(url=warehouse.url), "delete from attempts")
    assert (fault.code, type(fault)) == ("database.read_only", PermanentFault)


def test_a_server_that_is_down_is_a_fault_that_may_pass() -> None:
    down = Warehouse(url=f"postgresql+psycopg2://u:{'s3cret'}@127.0.0.1:{free_port()}/lms")
    with pytest.raises(TemporaryFault) as found:
        down.migrate()
    assert found.value.code == "database.unreachable"
    assert "s3cret" not in str(found.value)


def test_a_missing_database_comes_with_the_sql_to_make_it(warehouse: Warehouse) -> None:
    nowhere = make_url(warehouse.url).set(database="nowhere").render_as_string(hide_password=False)
    with pytest.raises(PermanentFault) as found:
        Warehouse(url=nowhere).migrate()
    assert found.value.code == "database.missing"
    assert "CREATE DATABASE" in str(found.value)


def test_a_user_that_does_not_exist_is_a_refused_login(warehouse: Warehouse) -> None:
    with pytest.raises(PermanentFault) as found:
        of_user(warehouse, "nobody_at_all").migrate()
    assert found.value.code == "database.login_refused"


def test_an_error_quotes_no_row(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        connection.execute(text(INSERT), {"user": "ann"})
    with pytest.raises(PermanentFault) as found, warehouse.begin() as connection:
        connection.execute(text(INSERT), {"user": "ann"})
    assert "unique_attempt" in str(found.value)
    assert "ann" not in str(found.value)
    assert found.value.__cause__ is None


# ------------------------------------------------------------------ transactions


def test_a_transaction_that_fails_in_the_middle_leaves_nothing(warehouse: Warehouse) -> None:
    def halfway() -> None:
        with warehouse.begin() as connection:
            connection.execute(text(INSERT), {"user": "ann"})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        halfway()
    assert warehouse.rows("select * from attempts") == []


def test_a_connection_that_is_lost_is_replaced_and_the_work_done_once(warehouse: Warehouse) -> None:
    tries = []

    def work(connection: Connection) -> str:
        tries.append(connection.scalar(text("select pg_backend_pid()")))
        connection.execute(text(INSERT), {"user": f"try {len(tries)}"})
        if len(tries) == 1:
            with connected(warehouse.url) as cursor:
                cursor.execute("select pg_terminate_backend(%s, 5000)", (tries[0],))
        connection.execute(text("select 1"))
        return "done"

    assert warehouse.in_transaction(work) == "done"
    assert len(set(tries)) == 2
    assert warehouse.rows("select user_id from attempts") == [{"user_id": "try 2"}]


def test_the_transactions_of_a_run_share_a_session_that_ends_with_it(warehouse: Warehouse) -> None:
    used = []

    @dg.op
    def uses(warehouse: Warehouse) -> None:
        for _ in range(2):
            used.append(warehouse.rows("select pg_backend_pid() as pid")[0]["pid"])

    @dg.job
    def two_transactions() -> None:
        uses()

    two_transactions.execute_in_process(resources={"warehouse": warehouse})
    assert used[0] == used[1]
    left = "select pid from pg_stat_activity where pid = :pid"
    wait_until(lambda: warehouse.rows(left, pid=used[0]) == [])


def test_two_transactions_that_wait_for_each_other_both_succeed(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        connection.execute(text("create table pair (id int primary key, n int)"))
        connection.execute(text("insert into pair values (1, 0), (2, 0)"))
    both_hold_one = threading.Barrier(2)
    tries = dict.fromkeys((1, 2), 0)

    def count_up(first: int, second: int) -> None:
        def work(connection: Connection) -> None:
            tries[first] += 1
            up = text("update pair set n = n + 1 where id = :id")
            connection.execute(up, {"id": first})
            if tries[first] == 1:
                both_hold_one.wait(20)
            connection.execute(up, {"id": second})

        warehouse.in_transaction(work)

    threads = [threading.Thread(target=count_up, args=order) for order in ((1, 2), (2, 1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert warehouse.rows("select n from pair order by id") == [{"n": 2}, {"n": 2}]
    assert sorted(tries.values()) == [1, 2]


def test_a_fault_that_a_person_must_mend_is_not_tried_again(warehouse: Warehouse) -> None:
    tries = []

    def work(connection: Connection) -> None:
        tries.append(1)
        connection.execute(text("select nothing from nowhere"))

    with pytest.raises(PermanentFault):
        warehouse.in_transaction(work)
    assert len(tries) == 1


# ------------------------------------------------------------------ the schema's history


def tables(warehouse: Warehouse) -> set[str]:
    found = warehouse.rows("select tablename from pg_tables where schemaname = 'public'")
    return {row["tablename"] for row in found}


def test_a_fresh_database_gets_every_table_and_a_second_time_changes_nothing(
    database_url: str,
) -> None:
    fresh = Warehouse(url=database_url)
    fresh.migrate()
    made = tables(fresh)
    wanted = {"attempts", "rejected_records", "load_ledger", "letters", "daily_figures"}
    assert wanted <= made
    fresh.migrate()
    assert tables(fresh) == made


def test_the_revisions_are_those_that_alembic_walks() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    walked = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]
    assert migrations.revisions() == tuple(reversed(walked))


def test_many_that_start_at_once_migrate_once(database_url: str) -> None:
    faults: list[Exception] = []

    def start() -> None:
        try:
            Warehouse(url=database_url).migrate()
        except Fault as fault:
            faults.append(fault)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert faults == []
    assert "attempts" in tables(Warehouse(url=database_url))


def test_a_schema_that_is_newer_than_the_code_is_refused_by_both_names(
    warehouse: Warehouse,
) -> None:
    [known] = warehouse.rows("select version_num from lms_assets_version")
    with warehouse.begin() as connection:
        connection.execute(text("update lms_assets_version set version_num = '9999'"))
    with pytest.raises(PermanentFault) as found:
        warehouse.migrate()
    assert found.value.code == "database.newer_schema"
    assert "9999" in str(found.value)
    assert known["version_num"] in str(found.value)


def test_an_older_schema_is_brought_up_with_what_it_holds(database_url: str) -> None:
    old = Warehouse(url=database_url)
    with old.begin() as connection:
        upgrade_to(connection, "0001")
    assert "daily_figures" not in tables(old)
    with old.begin() as connection:
        connection.execute(text(INSERT), {"user": "ann"})
    old.migrate()
    assert "daily_figures" in tables(old)
    assert old.rows("select user_id from attempts") == [{"user_id": "ann"}]


def test_a_user_without_the_right_to_create_is_given_the_sql(database_url: str) -> None:
    role = f"poor_{make_url(database_url).database}"
    with connected(database_url) as cursor:
        cursor.execute(f"create role {role} login password 'poor'")
        cursor.execute("revoke create on schema public from public")
    try:
        poor = of_user(Warehouse(url=database_url), role, password="poor")
        with pytest.raises(PermanentFault) as found:
            poor.migrate()
        assert found.value.code == "database.no_right"
        grant = found.value.remedy().partition("run: ")[2]
        with connected(database_url) as cursor:
            for statement in grant.split(";"):
                if statement.strip():
                    cursor.execute(statement)
        poor.migrate()
        assert "attempts" in tables(poor)
    finally:
        with connected(database_url) as cursor:
            cursor.execute(f"drop owned by {role}")
            cursor.execute(f"drop role {role}")


def test_attempts_of_another_system_are_not_written_to_unasked(database_url: str) -> None:
    with connected(database_url) as cursor:
        cursor.execute("create table attempts (id serial primary key, user_id text)")
        cursor.execute("insert into attempts (user_id) values ('ann')")
    with pytest.raises(PermanentFault) as found:
        Warehouse(url=database_url).migrate()
    assert found.value.code == "database.adopt_first"
    assert tables(Warehouse(url=database_url)) == {"attempts"}
