"""LMS_POSTGRES_PORT: the embedded PostgreSQL on 127.0.0.1 for Metabase and similar programs.

Only the role ``lms_reader`` can log in there, with its password. It can read the attempts, the
ledger and the figures, but not the quarantine, the letters or Dagster's tables.
"""

import secrets
from pathlib import Path

from sqlalchemy import Connection, text

from lms_assets.embedded.loopback import HOST
from lms_assets.embedded.postgres_cluster import READER
from lms_assets.files import write_whole

_READABLE_TABLES = (
    "attempts",
    "load_ledger",
    "figure_settings",
    "staff",
    "student_hours",
    "student_activity",
    "daily_figures",
    "retention_counts",
    "student_task_statistics",
    "task_statistics",
)


def let_reader_in(connection: Connection, password_file: Path) -> None:
    """The role exists, can log in with the password in the file, and has its rights.

    Args:
        connection: In a transaction that holds the schema's lock, after the migration.
        password_file: A private file with the password; it is made if it does not exist.
    """
    exists = connection.scalar(
        text("select count(*) from pg_roles where rolname = :name"), {"name": READER}
    )
    if not exists:
        connection.exec_driver_sql(f"create role {READER} login")
        connection.exec_driver_sql(f"alter role {READER} set default_transaction_read_only = on")
        connection.exec_driver_sql(f"grant usage on schema public to {READER}")
    if not exists or not password_file.exists():
        password = _private(password_file)
        # A role's password cannot be a parameter. It holds only letters, digits, - and _.
        connection.exec_driver_sql(f"alter role {READER} password '{password}'")
    hidden = text(
        "select quote_ident(relname) from pg_class "
        "where relnamespace = 'public'::regnamespace "
        "and (relkind = 'v' or relkind in ('r', 'p') and relname = any(:tables)) "
        "and not has_table_privilege(:reader, oid, 'select') order by 1"
    )
    values = {"tables": list(_READABLE_TABLES), "reader": READER}
    for name in connection.scalars(hidden, values).all():
        connection.exec_driver_sql(f"grant select on public.{name} to {READER}")


def _private(file: Path) -> str:
    """A new password, in a file that only its owner may read."""
    password = secrets.token_urlsafe(24)
    write_whole(file, password + "\n")
    return password


def listens_on(connection: Connection, port: int) -> bool:
    """Whether the running server listens on the port of 127.0.0.1."""
    addresses, open_port = connection.execute(
        text("select current_setting('listen_addresses'), current_setting('port')")
    ).one()
    return bool(addresses == HOST and open_port == str(port))


def address(port: int) -> str:
    """The URL for a reading program, without the password."""
    return f"postgresql://{READER}@{HOST}:{port}/lms"
