"""Only the reading role gets in by the port, by its password, and sees what it is meant to."""

import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg2
import pytest

from lms_assets.embedded.database import EmbeddedWarehouse
from lms_assets.embedded.postgres import EmbeddedPostgres
from lms_assets.embedded.postgres_port import READER, address, let_reader_in, listens_on
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics.views import figure_views

pytestmark = pytest.mark.skipif(os.name == "nt", reason="There is no socket beside the port")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    # Not under pytest's own folder: that is closed to the user that the server runs as for root.
    with tempfile.TemporaryDirectory(prefix="lms-port-") as folder:
        yield Path(folder)


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def served(home: Path, port: int) -> Iterator[Warehouse]:
    """A migrated embedded database that also listens on the port."""
    warehouse = EmbeddedWarehouse(folder=str(home / "postgres"), port=port)
    warehouse.migrate(figure_views())
    with warehouse.begin() as connection:
        let_reader_in(connection, home / "reader.password")
    yield warehouse
    EmbeddedPostgres(home / "postgres").stop()


@pytest.fixture
def reader(served: Warehouse, home: Path, port: int) -> Iterator[psycopg2.extensions.cursor]:
    password = (home / "reader.password").read_text().strip()
    connection = psycopg2.connect(address(port), password=password)
    connection.autocommit = True
    with connection.cursor() as cursor:
        yield cursor
    connection.close()


def test_the_reader_reads_attempts_and_every_figure(
    served: Warehouse, reader: psycopg2.extensions.cursor
) -> None:
    figures = served.rows(
        "select table_name as name from information_schema.tables where table_schema = 'public' "
        "and (table_type = 'VIEW' or table_name like '%statistics')"
    )
    names = ["attempts", "load_ledger", *(row["name"] for row in figures)]
    assert {"daily_statistics", "task_statistics", "heat_map", "figure_01_volume"} <= set(names)
    for name in names:
        reader.execute(f"select * from {name}")


@pytest.mark.parametrize(
    "table", ["rejected_records", "letters", "batches", "tombstones", "erasure_receipts"]
)
def test_the_reader_cannot_read_quarantine_letters_or_dagsters_tables(
    table: str, reader: psycopg2.extensions.cursor
) -> None:
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        reader.execute(f"select * from {table}")


@pytest.mark.parametrize("statement", ["delete from attempts", "create table mine (n int)"])
def test_the_reader_writes_nothing_even_where_a_session_may(
    statement: str, reader: psycopg2.extensions.cursor
) -> None:
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        reader.execute(statement)
    reader.execute("set default_transaction_read_only = off")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        reader.execute(statement)


@pytest.mark.parametrize(
    ("user", "password"), [(READER, "wrong"), (READER, ""), ("postgres", ""), ("pgserver", "")]
)
def test_nobody_else_gets_in_by_the_port(
    user: str, password: str, served: Warehouse, port: int
) -> None:
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(host="127.0.0.1", port=port, user=user, password=password, dbname="lms")


def test_the_password_is_in_a_private_file_and_stays(served: Warehouse, home: Path) -> None:
    file = home / "reader.password"
    before = file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with served.begin() as connection:
        let_reader_in(connection, file)
    assert file.read_text() == before


def test_a_lost_password_file_is_made_again_and_its_password_works(
    served: Warehouse, home: Path, port: int
) -> None:
    file = home / "reader.password"
    before = file.read_text()
    file.unlink()
    with served.begin() as connection:
        let_reader_in(connection, file)
    assert file.read_text() != before
    psycopg2.connect(address(port), password=file.read_text().strip()).close()


def test_a_port_that_is_taken_keeps_nobody_from_the_database() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="lms-port-") as folder,
        socket.create_server(("127.0.0.1", 0)) as other,
    ):
        taken = other.getsockname()[1]
        warehouse = EmbeddedWarehouse(folder=f"{folder}/postgres", port=taken)
        with warehouse.begin() as connection:
            assert not listens_on(connection, taken)
        EmbeddedPostgres(Path(folder) / "postgres").stop()
