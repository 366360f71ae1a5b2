"""A database as the `main` of before the schema 0004 left it, after a month of demo days."""

import csv
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

from dagster_postgres.event_log import PostgresEventLogStorage
from dagster_postgres.run_storage import PostgresRunStorage
from dagster_postgres.schedule_storage import PostgresScheduleStorage
from sqlalchemy import Connection, make_url, text

from lms_assets.resources.warehouse import Warehouse, upgrade_to

ARCHIVE = Path(__file__).parent / "data" / "old_main" / "tables.tar.xz"


def restore_old_main(warehouse: Warehouse) -> None:
    """The database holds what the old `main` had left; whatever was there is gone."""
    with warehouse.begin() as connection:
        for schema in ("public", "dagster"):
            connection.execute(text(f"drop schema if exists {schema} cascade"))
            connection.execute(text(f"create schema {schema}"))
        upgrade_to(connection, "0003")
    make_tables_of_dagster(warehouse)
    with warehouse.begin() as connection:
        # Rows come before the rows that they refer to.
        connection.execute(text("set local session_replication_role = replica"))
        for table, content in tables():
            fill(connection, table, content)


def tables() -> Iterator[tuple[str, bytes]]:
    """Each table as `schema.name`, with its rows as CSV below a heading."""
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            content = archive.extractfile(member)
            assert content is not None
            yield member.name.removesuffix(".csv").replace("/", "."), content.read()


def rows_of(table: str) -> list[dict[str, str]]:
    """The rows of an old table, every value as text."""
    content = dict(tables())[table].decode()
    return list(csv.DictReader(io.StringIO(content)))


def make_tables_of_dagster(warehouse: Warehouse) -> None:
    """Dagster's own tables are in their schema, as its storages make them."""
    options = {"options": "-csearch_path=dagster"}
    url = make_url(warehouse.server_url).update_query_dict(options)
    for storage in (PostgresRunStorage, PostgresEventLogStorage, PostgresScheduleStorage):
        storage(url.render_as_string(hide_password=False), should_autocreate_tables=True)


def fill(connection: Connection, table: str, content: bytes) -> None:
    """The table holds these rows alone; numbers of later rows are higher."""
    connection.execute(text(f"delete from {table}"))
    heading = content.partition(b"\n")[0].decode()
    cursor = connection.connection.cursor()
    columns = ", ".join(f'"{name}"' for name in heading.split(","))
    copying = f"copy {table} ({columns}) from stdin with (format csv, header)"
    cursor.copy_expert(copying, io.BytesIO(content))
    if heading.startswith("id,"):
        newest = f"(select max(id) from {table})"
        number = "setval(pg_get_serial_sequence(:table, 'id')"
        connection.execute(text(f"select {number}, {newest})"), {"table": table})
