"""A session has the parameters that are stated, whoever else has a say in them."""

import multiprocessing
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text
from sqlalchemy.pool import NullPool

from lms_assets.faults import Fault, PermanentFault, TemporaryFault
from lms_assets.resources.sessions import session_url, staying_open, staying_open_in_runs
from lms_assets.resources.warehouse import Warehouse
from lms_assets.settings import load_settings, running_as_root
from lms_assets.systems import warehouse as configured
from lms_assets_tests.driving import connected, until
from lms_assets_tests.smtp_server import free_port

INSERT = "insert into attempts (user_id, attempt_type, created_at) values (:user, 'run', now())"
SHOWN = "select current_setting('search_path') as path, current_setting('client_encoding') as code,"
SHOWN += " current_setting('statement_timeout') as limited, current_setting('TimeZone') as zone"
STATED = [{"path": "public", "code": "UTF8", "limited": "0", "zone": "UTC"}]


def name_of(url: str) -> str:
    return str(make_url(url).database)


# ------------------------------------------------------------------ what others have a say in


def test_the_environment_of_libpq_changes_no_letter(
    warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R32: PGCLIENTENCODING stored other letters, and the next run found nothing changed."""
    monkeypatch.setenv("PGCLIENTENCODING", "WIN1251")
    monkeypatch.setenv("PGOPTIONS", "-c search_path=nowhere -c statement_timeout=1")
    monkeypatch.setenv("PGTZ", "Asia/Tokyo")
    monkeypatch.setenv("PGHOSTADDR", "192.0.2.1")
    fresh = Warehouse(url=warehouse.url)
    with fresh.begin() as connection:
        connection.execute(text(INSERT), {"user": "Ж"})
        with connection.connection.cursor() as cursor:
            cursor.execute("create temporary table copied (user_id text)")
            cursor.copy_expert("copy copied from stdin", Lines("Ж\n"))
        assert connection.scalar(text("select user_id from copied")) == "Ж"
    assert fresh.rows(SHOWN) == STATED
    assert fresh.rows("select user_id from attempts") == [{"user_id": "Ж"}]
    with connected(warehouse.url) as cursor:
        cursor.execute("select encode(convert_to(user_id, 'UTF8'), 'hex') from attempts")
        assert cursor.fetchone() == ("d096",)


class Lines:
    """A file of text for COPY, as the driver reads it."""

    def __init__(self, text: str) -> None:
        self._left = text

    def read(self, size: int) -> str:
        part, self._left = self._left[:size], self._left[size:]
        return part


def test_the_roles_and_the_databases_defaults_change_nothing(warehouse: Warehouse) -> None:
    """R32, R36: a schema named like the role, and its limits and encodings."""
    database = name_of(warehouse.url)
    with connected(warehouse.url) as cursor:
        cursor.execute("create schema postgres; create table postgres.attempts (n int)")
        cursor.execute(f"alter database {database} set search_path = postgres, nowhere")
        cursor.execute(f"alter database {database} set client_encoding = 'WIN1251'")
        cursor.execute(f"alter database {database} set statement_timeout = '200ms'")
        cursor.execute(f"alter database {database} set idle_in_transaction_session_timeout = '1s'")
    fresh = Warehouse(url=warehouse.url)
    fresh.migrate()
    assert fresh.rows(SHOWN) == STATED
    with fresh.begin() as connection:
        connection.execute(text("select pg_sleep(0.4)"))
        connection.execute(text(INSERT), {"user": "Ж"})
    assert fresh.rows("select user_id from public.attempts") == [{"user_id": "Ж"}]


def test_dagsters_own_connections_lead_to_its_schema(database_url: str) -> None:
    from sqlalchemy import create_engine

    url = session_url(database_url, schema="dagster")
    with create_engine(url.render_as_string(hide_password=False)).connect() as connection:
        assert connection.scalar(text("show search_path")) == "dagster"


@pytest.mark.parametrize("encoding", ["WIN1251", "SQL_ASCII"])
def test_a_database_that_cannot_hold_every_text_is_refused(
    postgres_url: str, encoding: str
) -> None:
    """R32."""
    name = f"narrow_{uuid.uuid4().hex[:8]}"
    with connected(postgres_url) as cursor:
        cursor.execute("select current_setting('server_version_num')::int >= 150000")
        provider = "locale_provider libc" if cursor.fetchone()[0] else ""
        cursor.execute(
            f"create database {name} encoding '{encoding}' template template0 {provider} locale 'C'"
        )
        url = make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
        with pytest.raises(PermanentFault) as found:
            Warehouse(url=url).migrate()
        cursor.execute(f"drop database {name} with (force)")
    assert found.value.code == "database.encoding"
    assert "ENCODING 'UTF8' TEMPLATE template0" in found.value.remedy()


# ------------------------------------------------------------------ a server of others


@contextmanager
def stranger(state: str, words: str, encoding: str) -> Iterator[str]:
    """A server that refuses every login in its own words; its URL."""
    refusal = b"S" + "ВАЖНО".encode(encoding) + b"\0V" + b"FATAL\0C" + state.encode() + b"\0M"
    refusal += words.encode(encoding) + b"\0\0"
    listening = socket.create_server(("127.0.0.1", 0))

    def answer(client: socket.socket) -> None:
        with client:
            while head := client.recv(4):
                body = client.recv(struct.unpack("!I", head)[0] - 4)
                if body[:2] == struct.pack("!H", 1234):
                    client.sendall(b"N")
                    continue
                client.sendall(b"E" + struct.pack("!I", len(refusal) + 4) + refusal)
                return

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            answer(client)

    threading.Thread(target=serve, daemon=True).start()
    with listening:
        yield f"postgresql+psycopg2://u:p@127.0.0.1:{listening.getsockname()[1]}/lms"


@pytest.mark.parametrize("encoding", ["utf-8", "cp1251", "koi8-r"])
@pytest.mark.parametrize(
    ("state", "code", "kind"),
    [
        ("28P01", "database.login_refused", PermanentFault),
        ("28000", "database.login_refused", PermanentFault),
        ("3D000", "database.missing", PermanentFault),
        ("42501", "database.permission", PermanentFault),
        ("53300", "database.overloaded", TemporaryFault),
        ("57P03", "database.unreachable", TemporaryFault),
    ],
)
def test_a_refused_login_is_known_by_its_state_in_any_language(
    state: str, code: str, kind: type[Fault], encoding: str
) -> None:
    """R45."""
    with (
        stranger(state, "пользователь лмс не прошёл проверку", encoding) as url,
        pytest.raises(Fault) as found,
    ):
        Warehouse(url=url).check()
    assert (found.value.code, type(found.value)) == (code, kind)
    assert str(found.value)


def test_a_role_that_may_not_log_in_or_not_connect_is_refused(warehouse: Warehouse) -> None:
    """R45."""
    database = name_of(warehouse.url)
    role = f"{database}_role"
    with connected(warehouse.url) as cursor:
        cursor.execute(f"create role {role} nologin")
        found = refusal(warehouse.url, role)
        cursor.execute(
            f"alter role {role} login; revoke connect on database {database} from public"
        )
        closed = refusal(warehouse.url, role)
        cursor.execute(f"drop role {role}")
    assert (found.code, closed.code) == ("database.login_refused", "database.permission")
    assert isinstance(found, PermanentFault)
    assert isinstance(closed, PermanentFault)


def refusal(url: str, role: str) -> Fault:
    with pytest.raises(Fault) as found:
        Warehouse(url=make_url(url).set(username=role).render_as_string(False)).check()
    return found.value


def test_a_schema_that_may_not_be_made_comes_with_its_sql_and_one_made_before_is_used(
    database_url: str,
) -> None:
    """R46."""
    role = f"{name_of(database_url)}_poor"
    with connected(database_url) as cursor:
        cursor.execute(f"create role {role} login; grant create on schema public to {role}")
        url = make_url(database_url).set(username=role).render_as_string(hide_password=False)
        poor = Warehouse(url=url)
        with pytest.raises(PermanentFault) as found:
            poor.make_schema("dagster")
        assert found.value.code == "database.no_schema"
        cursor.execute(found.value.remedy().partition("run: ")[2])
        poor.make_schema("dagster")
        cursor.execute(f"drop owned by {role}; create schema dagster")
        with pytest.raises(PermanentFault) as found:
            poor.make_schema("dagster")
        assert found.value.code == "database.schema_closed"
        cursor.execute(found.value.remedy().partition("run: ")[2])
        poor.make_schema("dagster")
        cursor.execute(f"drop owned by {role}; drop role {role}")


@pytest.mark.parametrize(
    ("change", "undo", "code"),
    [
        (
            "revoke temporary on database {0} from public",
            "grant temporary on database {0} to public",
            "database.no_temporary",
        ),
        (
            "alter role {1} set default_transaction_read_only = on",
            "alter role {1} reset default_transaction_read_only",
            "database.read_only",
        ),
    ],
)
def test_a_database_where_nothing_can_be_written_is_refused_before_anything_is_begun(
    database_url: str, change: str, undo: str, code: str
) -> None:
    database = name_of(database_url)
    role = f"{database}_poor"
    with connected(database_url) as cursor:
        cursor.execute(f"create role {role} login; grant create on schema public to {role}")
        cursor.execute(change.format(database, role))
        poor = Warehouse(url=make_url(database_url).set(username=role).render_as_string(False))
        for ask in (poor.refuse_unwritable, poor.check):
            with pytest.raises(PermanentFault) as found:
                ask()
            assert found.value.code == code
        if "run: " in found.value.remedy():
            undo = found.value.remedy().partition("run: ")[2]
        cursor.execute(undo.format(database, role))
        poor.refuse_unwritable()
        cursor.execute(f"drop owned by {role}; drop role {role}")


def test_a_host_may_be_the_folder_of_a_socket(database_url: str) -> None:
    """R40."""
    url = make_url(database_url)
    settings = load_settings(
        api_url="http://127.0.0.1:9/attempts",
        api_client="c",
        api_client_key="k",
        db_host=str(url.query["host"]),
        db_port=int(str(url.query["port"])),
        db_name=url.database,
        db_user=url.username,
    )
    assert configured(settings).rows("select current_database() as name") == [
        {"name": url.database}
    ]


# ------------------------------------------------------------------ a pooler before it


@contextmanager
def pooled(url: str, mode: str) -> Iterator[str]:
    """PgBouncer before the server; the URL of the same database through it."""
    program = shutil.which("pgbouncer", path=f"/usr/sbin:{os.defpath}")
    assert program, "PgBouncer is not installed: apt-get install pgbouncer"
    behind, port = make_url(url), free_port()
    with tempfile.TemporaryDirectory(prefix="lms-pooler-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "users").write_text(f'"{behind.username}" ""\n')
        (folder / "settings").write_text(
            f"[databases]\n{behind.database} = host={behind.query['host']} "
            f"port={behind.query['port']}\n"
            f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {folder}/users\npool_mode = {mode}\n"
        )
        # It refuses to run as root.
        other: dict[str, Any] = {"user": "pgserver", "group": "pgserver", "extra_groups": []}
        pooler = subprocess.Popen(
            [program, "-q", folder / "settings"], **(other if running_as_root() else {})
        )
        try:
            until(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
            place = behind.set(host="127.0.0.1", port=port, query={})
            yield place.render_as_string(hide_password=False)
        finally:
            pooler.terminate()
            pooler.wait()


def test_a_pooler_that_keeps_sessions_whole_works(database_url: str) -> None:
    """R37."""
    with pooled(database_url, "session") as url:
        behind = Warehouse(url=url)
        behind.migrate()
        behind.make_schema("dagster")
        assert behind.rows(SHOWN) == STATED
        with behind.read_only("select 1 as one") as (columns, rows):
            assert (columns, list(rows)) == (["one"], [(1,)])


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_a_pooler_that_gives_sessions_away_is_refused_by_name(database_url: str, mode: str) -> None:
    """R37: session locks and parameters would be lost in silence."""
    with pooled(database_url, mode) as url, pytest.raises(PermanentFault) as found:
        Warehouse(url=url).migrate()
    assert found.value.code == "database.pooler_shares_sessions"
    assert "pool_mode = session" in found.value.remedy()


# ------------------------------------------------------------------ Dagster's many short sessions


def test_a_session_that_stays_open_is_used_again_and_replaced_when_it_was_ended(
    warehouse: Warehouse,
) -> None:
    url = staying_open(
        session_url(warehouse.url, schema="public").render_as_string(hide_password=False)
    )
    # As Dagster's storage makes its engines.
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    used = set()
    for _ in range(3):
        with engine.connect() as connection:
            used.add(connection.scalar(text("select pg_backend_pid()")))
    (first,) = used
    warehouse.rows("select pg_terminate_backend(:pid, 5000)", pid=first)
    with engine.connect() as connection:
        assert connection.scalar(text("select pg_backend_pid()")) != first
        assert connection.execute(text(SHOWN)).mappings().one() == STATED[0]
    engine.dispose()


def test_a_session_that_only_heard_a_notice_is_used_on(warehouse: Warehouse) -> None:
    """A socket with something to read is no proof that the server ended the session."""
    url = staying_open(
        session_url(warehouse.url, schema="public").render_as_string(hide_password=False)
    )
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        first = connection.scalar(text("select pg_backend_pid()"))
        connection.execute(text("listen told"))
    warehouse.rows("select pg_notify('told', '')")
    with engine.connect() as connection:
        assert connection.scalar(text("select pg_backend_pid()")) == first
    engine.dispose()


def test_a_run_of_the_code_server_keeps_its_session_and_the_server_itself_does_not(
    warehouse: Warehouse,
) -> None:
    """A run of Dagster's page opened 278 sessions, most of what it cost."""
    url = staying_open_in_runs(
        session_url(warehouse.url, schema="public").render_as_string(hide_password=False)
    )
    assert len(backends_of_uses(url)) == 3
    # As Dagster's code server starts a run.
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as run:
        assert len(run.submit(backends_of_uses, url).result()) == 1


def backends_of_uses(url: str) -> set[int]:
    """The sessions of three uses, by their processes at the server."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    used = set()
    for _ in range(3):
        with engine.connect() as connection:
            used.add(connection.scalars(text("select pg_backend_pid()")).one())
    engine.dispose()
    return used


def test_a_session_opens_anew_each_time_where_it_was_not_asked_to_stay(
    warehouse: Warehouse,
) -> None:
    url = session_url(warehouse.url, schema="public")
    engine = create_engine(url, poolclass=NullPool)
    used = set()
    for _ in range(3):
        with engine.connect() as connection:
            used.add(connection.scalar(text("select pg_backend_pid()")))
    assert len(used) == 3
