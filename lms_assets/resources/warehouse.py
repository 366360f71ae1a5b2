"""The analysts' PostgreSQL: its connections, its schema's history, its faults by name."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, Self, TypeVar

import dagster as dg
import psycopg2
from pydantic import Field, PrivateAttr
from sqlalchemy import Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool
from tenacity import (
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

from lms_assets.faults import Fault, PermanentFault, TemporaryFault
from lms_assets.locks import Lock, hold, kept
from lms_assets.resources.migrations import revisions
from lms_assets.resources.schema import Repeatable, bring_up_to_date
from lms_assets.resources.server import make_schema, owner_of_attempts, refuse_unfit
from lms_assets.resources.sessions import (
    TLS_FAILED,
    TLS_MISSING,
    connected,
    connection_arguments,
    session_url,
    state_of_refusal,
    state_of_silence,
)

T = TypeVar("T")

LOCK_TIMEOUT_S = 30
INSUFFICIENT_PRIVILEGE = "42501"
CONNECTION_LOST = "08006"
ROWS_AT_A_TIME = 2000
# Sent as it is, a query could end the read-only transaction and go on in another one;
# as a cursor of a block it can do neither.
OPEN_QUERY = """
do $$
declare query refcursor := 'lms_query';
begin
    open query no scroll for execute current_setting('lms.query');
end $$
"""

# SQLSTATE (its class, or the whole of it) → the fault's code, and whether it passes by itself.
_STATES: tuple[tuple[str, str, type[Fault]], ...] = (
    ("40", "database.deadlock", TemporaryFault),
    ("55P03", "database.locked", TemporaryFault),
    ("57", "database.unreachable", TemporaryFault),
    ("08P01", "database.pooler_refused", PermanentFault),
    (TLS_MISSING, "database.tls_missing", PermanentFault),
    (TLS_FAILED, "database.tls_failed", PermanentFault),
    ("08", "database.unreachable", TemporaryFault),
    ("53100", "database.disk_full", PermanentFault),
    ("53", "database.overloaded", TemporaryFault),
    ("58", "database.disk_full", PermanentFault),
    ("25006", "database.read_only", PermanentFault),
    ("42501", "database.permission", PermanentFault),
    ("28", "database.login_refused", PermanentFault),
    ("3D000", "database.missing", PermanentFault),
)


class Warehouse(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The database that holds the attempts, the ledger, the figures and the letters.

    Args:
        url: SQLAlchemy URL of PostgreSQL 14 or newer (psycopg2).
    """

    url: str = Field(repr=False, json_schema_extra={"dagster__is_secret": True})
    _engine: Engine | None = PrivateAttr(default=None)

    @property
    def engine(self) -> Engine:
        """Connections are opened when asked for and closed after use: runs are short."""
        if self._engine is None:
            self._engine = create_engine(
                session_url(self.server_url, schema="public", lock_timeout_s=LOCK_TIMEOUT_S),
                poolclass=NullPool,
                # An error's text must not quote the rows that it was about.
                hide_parameters=True,
            )
        return self._engine

    @cached_property
    def server_url(self) -> str:
        """The URL of a server that runs."""
        return self.url

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction, committed when the block ends well.

        Raises:
            Fault: The database's own error, by name and without its parameters.
        """
        with self.faults_by_name(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """A session that commits each statement by itself: no transaction is open meanwhile.

        Raises:
            Fault: As :meth:`begin`.
        """
        with self.faults_by_name(), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Self]:
        """While a run uses the warehouse, a session of the run's process holds the run's lock.

        The lock ends with the process, however it dies: so a run is known to live or not,
        on whatever machine and by whatever name. Every asset and check uses the warehouse.
        """
        run = context.run
        with ExitStack() as stack:
            if run is not None:
                name = f"run {run.run_id} {run.tags.get('dagster/partition', '')}"
                with self.faults_by_name():
                    stack.enter_context(kept(self.engine, Lock.RUN, run.run_id, name=name))
            yield self

    def in_transaction(self, work: Callable[[Connection], T]) -> T:
        """What ``work`` returned, in a transaction that is tried again after a deadlock or a loss.

        Args:
            work: Idempotent: it may run again from the start.
        """
        retrying = Retrying(
            retry=retry_if_exception_type(TemporaryFault),
            stop=stop_after_attempt(3),
            wait=wait_random_exponential(multiplier=0.5, max=5),
            reraise=True,
        )
        result: T = retrying(self._once, work)
        return result

    def _once(self, work: Callable[[Connection], T]) -> T:
        with self.begin() as connection:
            return work(connection)

    def rows(self, statement: str, **values: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """The rows of a query, each as column → value."""
        with self.begin() as connection:
            return [dict(row) for row in connection.execute(text(statement), values).mappings()]

    @contextmanager
    def read_only(self, statement: str) -> Iterator[tuple[list[str], Iterator[tuple[Any, ...]]]]:
        """The columns and the rows of one query of a person's, in a session that cannot write.

        The rows are fetched a part at a time, however many they are.
        """
        with self.faults_by_name():
            raw = self.engine.raw_connection()
            try:
                session: Any = raw.driver_connection
                session.set_session(readonly=True)
                session.cursor().execute("select set_config('lms.query', %s, true)", (statement,))
                session.cursor().execute(OPEN_QUERY)
                cursor = session.cursor("lms_query")
                first = cursor.fetchmany(ROWS_AT_A_TIME)
                yield [str(c[0]) for c in cursor.description or ()], chain(first, cursor)
            finally:
                raw.close()

    def check(self) -> str:
        """The server's version, once it has answered."""
        return str(self.rows("show server_version")[0]["server_version"])

    def migrate(self, repeatable: Repeatable | None = None) -> None:
        """The schema is the code's; whoever comes second waits for the first.

        Args:
            repeatable: The views and functions; nothing but tables is made without them.

        Raises:
            PermanentFault: As :meth:`migrate_within`.
        """
        with self.faults_by_name():
            refuse_unfit(self.engine)
        with self.begin() as connection:
            self.migrate_within(connection, repeatable)

    def migrate_within(self, connection: Connection, repeatable: Repeatable | None = None) -> None:
        """The schema is the code's once the caller's transaction is committed.

        Raises:
            PermanentFault: The schema is newer than the code, or holds attempts that
                another system made and that were not adopted, or may not be written, or
                an object of somebody else depends on what must be made anew.
        """
        hold(connection, Lock.SCHEMA)
        is_migrated = self._is_migrated(connection)
        owner = owner_of_attempts(connection)
        try:
            bring_up_to_date(
                connection,
                repeatable or Repeatable(),
                upgrade=lambda: upgrade_to(connection, "head"),
                is_migrated=is_migrated,
            )
        except DBAPIError as error:
            if owner is None or getattr(error.orig, "pgcode", None) != INSUFFICIENT_PRIVILEGE:
                raise
            raise PermanentFault("database.owner_needed", owner=owner) from None

    def default_zone(self) -> str:
        """The time zone of a session that asks for none, as other programs' sessions had it."""
        with self.faults_by_name():
            session = connected(connection_arguments(make_url(self.server_url)))
            try:
                with session.cursor() as cursor:
                    cursor.execute("show timezone")
                    return str(cursor.fetchone()[0])
            finally:
                session.close()

    def make_schema(self, name: str) -> None:
        """The schema is there, beside ``public``, and may be used.

        Raises:
            PermanentFault: It may not be made or not be used, with the SQL for an administrator.
        """
        with self.begin() as connection:
            make_schema(connection, name)

    def _is_migrated(self, connection: Connection) -> bool:
        """Whether no migration is due; a schema that is not ours or not known is refused."""
        has = "select to_regclass(:name) is not null"
        if not connection.scalar(text(has), {"name": "public.lms_assets_version"}):
            if connection.scalar(text(has), {"name": "public.attempts"}):
                raise PermanentFault("database.adopt_first")
            if not connection.scalar(text("select has_schema_privilege('public', 'create')")):
                user, database = connection.execute(
                    text("select current_user, current_database()")
                ).one()
                raise PermanentFault("database.no_right", user=user, database=database)
            return False
        found = connection.scalar(text("select version_num from public.lms_assets_version"))
        known = revisions()
        if found is not None and found not in known:
            raise PermanentFault("database.newer_schema", found=found, known=known[-1])
        return bool(found == known[-1])

    @contextmanager
    def faults_by_name(self) -> Iterator[None]:
        """Inside, an error of the driver is raised as a fault; also one of another's session.

        Dagster keeps its runs and events in the same server and raises the driver's errors.

        Raises:
            Fault: By the error's SQLSTATE, without its parameters.
        """
        try:
            yield
        except DBAPIError as error:
            raise self._named(error.orig, is_new=error.statement is None) from None
        except psycopg2.Error as error:
            raise self._named(error, is_new=False) from None

    def _named(self, error: BaseException | None, *, is_new: bool) -> Fault:
        """The fault behind a driver's error; only its first line, which holds no row.

        Args:
            is_new: Whether the connection was just being made, of which the driver tells no
                SQLSTATE.
        """
        state = getattr(error, "pgcode", None) or ("" if is_new else CONNECTION_LOST)
        arguments = connection_arguments(make_url(self.server_url)) if not state else {}
        if not state:
            state = state_of_refusal(arguments) or state_of_silence(arguments)
        reason = str(error).strip().split("\n")[0].rstrip(".")
        if "\ufffd" in reason:
            reason = f"SQLSTATE {state}"
        for prefix, code, kind in _STATES:
            if state.startswith(prefix):
                blocker = self._blocker() if code == "database.locked" else ""
                return kind(code, reason=reason, blocker=blocker)
        return PermanentFault("database.refused", reason=reason)

    def _blocker(self) -> str:
        """Who holds the tables now: pid, user and application."""
        holders = """
            select distinct a.pid, a.usename, a.application_name
            from pg_locks l join pg_stat_activity a using (pid)
            where l.granted and a.pid <> pg_backend_pid() and a.datname = current_database()
              and l.relation in (
                select oid from pg_class where relnamespace = 'public'::regnamespace)
              and l.mode in (
                'AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock')
        """
        with self.engine.connect() as connection:
            rows = connection.execute(text(holders)).all()
        return ", ".join(f"{r.usename} (pid {r.pid}, {r.application_name})" for r in rows) or "?"


def upgrade_to(connection: Connection, revision: str) -> None:
    """The migrations that are due up to this one have run."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
