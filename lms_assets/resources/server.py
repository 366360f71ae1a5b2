"""Checks that a PostgreSQL server is fit for the platform, before anything begins.

Each refusal names the setting to change, or the SQL that an administrator must run.
"""

from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.pool import NullPool

from lms_assets.faults import PermanentFault

OLDEST_VERSION = 14
POOLER_TRIES = 3

_FACTS = """
    select current_setting('server_version_num')::int / 10000 as version,
        current_setting('server_version') as version_name,
        current_setting('server_encoding') as encoding,
        current_database() as database, current_user as user, pg_backend_pid() as pid
"""
_PID = text("select pg_backend_pid()")


def refuse_unfit(engine: Engine) -> None:
    """The server is new enough, uses UTF-8, and no pooler shares its sessions.

    Raises:
        PermanentFault: The server is unfit; the fault says what to change.
    """
    # Without a transaction: a pooler in statement mode aborts a session that begins one.
    alone = create_engine(engine.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    with alone.connect() as connection:
        facts = connection.execute(text(_FACTS)).one()
        if facts.version < OLDEST_VERSION:
            version, oldest = facts.version_name, OLDEST_VERSION
            raise PermanentFault("database.too_old", version=version, oldest=oldest)
        if facts.encoding != "UTF8":
            names = {"database": facts.database, "user": facts.user}
            raise PermanentFault("database.encoding", encoding=facts.encoding, **names)
        # PgBouncer reports a process number of its own when a connection is made.
        if facts.pid != _pid_at_connect(connection) and _is_shared(alone, connection):
            raise PermanentFault("database.pooler_shares_sessions")


def _pid_at_connect(connection: Connection) -> int:
    """The process number that the server or pooler reported when the connection was made."""
    driver = connection.connection.driver_connection
    return int(driver.info.backend_pid) if driver is not None else 0


def _is_shared(engine: Engine, first: Connection) -> bool:
    """Whether a pooler lets another session use our server process while ours is idle."""
    for _ in range(POOLER_TRIES):
        before = first.scalar(_PID)
        with engine.connect() as second:
            if second.scalar(_PID) == before or first.scalar(_PID) != before:
                return True
    return False


def refuse_unwritable(connection: Connection) -> None:
    """The role may write, and may make the temporary tables that the figures are computed with.

    Raises:
        PermanentFault: With what to change.
    """
    found = connection.execute(
        text(
            "select current_user as user, current_database() as database, "
            "current_setting('transaction_read_only')::bool as is_read_only, "
            "has_database_privilege(current_database(), 'temporary') as has_temporary"
        )
    ).one()
    if found.is_read_only:
        reason = f"transactions of {found.user} in {found.database} cannot write"
        raise PermanentFault("database.read_only", reason=reason)
    if not found.has_temporary:
        names = {"database": found.database, "user": found.user}
        raise PermanentFault("database.no_temporary", **names)


def make_schema(connection: Connection, name: str) -> None:
    """The schema exists and this role may use it; an existing one is not changed.

    Raises:
        PermanentFault: This role may not make it or not use it. The fault holds the SQL for an
            administrator.
    """
    schema = connection.execute(
        text(
            "select current_user as user, current_database() as database, "
            "has_database_privilege(current_database(), 'create') as may_make, "
            "to_regnamespace(:name) is not null as is_there"
        ),
        {"name": name},
    ).one()
    facts = {"schema": name, "user": schema.user, "database": schema.database}
    if not schema.is_there:
        if not schema.may_make:
            raise PermanentFault("database.no_schema", **facts)
        connection.exec_driver_sql(f"create schema if not exists {name}")
        return
    rights = text(
        "select has_schema_privilege(:name, 'usage') and (has_schema_privilege(:name, 'create') "
        "or exists (select from pg_class where relnamespace = to_regnamespace(:name)))"
    )
    if not connection.scalar(rights, {"name": name}):
        raise PermanentFault("database.schema_closed", **facts)


def owner_of_attempts(connection: Connection) -> str | None:
    """The owner of our tables; None if this session's role owns them."""
    owner = connection.scalar(
        text(
            "select pg_get_userbyid(relowner) from pg_class "
            "where oid = to_regclass('public.attempts') and not pg_has_role(relowner, 'usage')"
        )
    )
    return str(owner) if owner is not None else None
