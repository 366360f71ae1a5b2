"""LMS_POSTGRES_PORT: the embedded PostgreSQL on 127.0.0.1 for Metabase and the like, read-only.

Only the role ``lms_reader`` gets in there, by its password, and sees the attempts, the ledger and
the figures: not the quarantine, not the letters, not Dagster's tables.
"""

import secrets
from pathlib import Path

from sqlalchemy import Connection, text

from lms_assets.embedded.cluster import READER
from lms_assets.embedded.loopback import HOST
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
    """The role may log in by the password in the file, and select what it is meant to see.

    Args:
        connection: In a transaction that holds the lock of the schema, after its migration.
        password_file: Made, private, if it is not there.
    """
    known = connection.scalar(
        text("select count(*) from pg_roles where rolname = :name"), {"name": READER}
    )
    if not known:
        connection.exec_driver_sql(f"create role {READER} login")
        connection.exec_driver_sql(f"alter role {READER} set default_transaction_read_only = on")
        connection.exec_driver_sql(f"grant usage on schema public to {READER}")
    if not known or not password_file.exists():
        password = _private(password_file)
        # Letters, digits, - and _ alone; a role's password cannot be a parameter.
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
    """Whether the server that runs has the port open."""
    addresses, found = connection.execute(
        text("select current_setting('listen_addresses'), current_setting('port')")
    ).one()
    return bool(addresses == HOST and found == str(port))


def address(port: int) -> str:
    """Where a reading program connects, without the password."""
    return f"postgresql://{READER}@{HOST}:{port}/lms"
