"""The analysts' PostgreSQL: its connections, its migrations, its errors as faults."""

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
from lms_assets.resources.replaceable import Repeatable, bring_up_to_date
from lms_assets.resources.server import (
    make_schema,
    owner_of_attempts,
    refuse_unfit,
    refuse_unwritable,
)
from lms_assets.resources.sessions import (
    STAYS_OPEN,
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
# A query that is sent directly could commit the read-only transaction and begin another one. As
# the cursor of a DO block it cannot.
OPEN_QUERY = """
do $$
declare query refcursor := 'lms_query';
begin
    open query no scroll for execute current_setting('lms.query');
end $$
"""

# A SQLSTATE or its class → the fault's code, and whether the fault is temporary.
_STATES: tuple[tuple[str, str, type[Fault]], ...] = (
    ("40", "database.deadlock", TemporaryFault),
    ("55P03", "database.locked", TemporaryFault),
    ("57014", "database.cancelled", TemporaryFault),
    ("57", "database.unreachable", TemporaryFault),
    ("08P01", "database.pooler_refused", PermanentFault),
    (TLS_MISSING, "database.tls_missing", PermanentFault),
    (TLS_FAILED, "database.tls_failed", PermanentFault),
    ("08", "database.unreachable", TemporaryFault),
    ("53100", "database.disk_full", PermanentFault),
    ("53", "database.overloaded", TemporaryFault),
    ("58", "database.disk_full", PermanentFault),
    ("XX001", "database.disk_full", PermanentFault),
    ("XX002", "database.disk_full", PermanentFault),
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
    _kept_engine: Engine | None = PrivateAttr(default=None)

    @property
    def engine(self) -> Engine:
        """The engine, without a pool: a connection is opened for each use and closed after it."""
        if self._engine is None:
            self._engine = self._made_engine(poolclass=NullPool)
        return self._engine

    def _made_engine(self, **given: Any) -> Engine:  # noqa: ANN401
        url = session_url(self.server_url, schema="public", lock_timeout_s=LOCK_TIMEOUT_S)
        # Error texts must not quote rows.
        return create_engine(url, hide_parameters=True, **given)

    @contextmanager
    def staying_open(self) -> Iterator[None]:
        """In the block one session serves all transactions in turn, and is tried before each.

        A run has some 30 transactions, and a new session costs more than most of them. Outside
        such a block no session stays open: Dagster makes a warehouse for each tick of a sensor.
        """
        self._kept_engine = self._made_engine(plugins=[STAYS_OPEN])
        try:
            yield
        finally:
            self._kept_engine.dispose()
            self._kept_engine = None

    @cached_property
    def server_url(self) -> str:
        """The URL of the running server."""
        return self.url

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction, committed if the block ends without an error.

        Raises:
            Fault: The database's error as a fault, without parameters.
        """
        with self.faults_by_name(), (self._kept_engine or self.engine).begin() as connection:
            yield connection

    @contextmanager
    def session(self) -> Iterator[Connection]:
        """A session in which each statement commits by itself, so no transaction stays open.

        Raises:
            Fault: As for :meth:`begin`.
        """
        with self.faults_by_name(), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Self]:
        """While a run uses the warehouse, a session of its process holds the run's lock.

        The lock ends with the process, however it dies and on any machine, so it shows whether
        the run is alive. Every asset and check uses the warehouse. Another session stays open for
        their transactions.
        """
        run = context.run
        with ExitStack() as stack:
            stack.enter_context(self.staying_open())
            if run is not None:
                name = f"run {run.run_id} {run.tags.get('dagster/partition', '')}"
                with self.faults_by_name():
                    stack.enter_context(kept(self.engine, Lock.RUN, run.run_id, name=name))
            yield self

    def in_transaction(self, work: Callable[[Connection], T]) -> T:
        """The result of ``work``, run in a transaction that is repeated after a temporary fault.

        Args:
            work: Idempotent, because it may run up to three times.
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
        """The columns and rows of a person's query, in a session that cannot write.

        The rows are fetched in parts, so that memory does not hold them all.
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
        """The server's version, once it has answered and could be written."""
        self.refuse_unwritable()
        return str(self.rows("show server_version")[0]["server_version"])

    def refuse_unwritable(self) -> None:
        """The day's work can be written.

        Raises:
            PermanentFault: With what an administrator must change.
        """
        with self.begin() as connection:
            refuse_unwritable(connection)

    def migrate(self, repeatable: Repeatable | None = None) -> None:
        """The database has the schema of this code; a second caller waits for the first.

        Args:
            repeatable: The views and functions; without them only tables are made.

        Raises:
            PermanentFault: As for :meth:`migrate_within`.
        """
        with self.faults_by_name():
            refuse_unfit(self.engine)
        with self.begin() as connection:
            self.migrate_within(connection, repeatable)

    def migrate_within(self, connection: Connection, repeatable: Repeatable | None = None) -> None:
        """The database has the schema of this code, once the caller's transaction commits.

        Raises:
            PermanentFault: The schema is newer than the code; or it holds an earlier system's
                attempts that were not adopted; or this role may not change it; or a foreign
                object depends on a view that must be replaced.
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
        """The time zone of a session that sets none, which other programs' sessions had."""
        with self.faults_by_name():
            session = connected(connection_arguments(make_url(self.server_url)))
            try:
                with session.cursor() as cursor:
                    cursor.execute("show timezone")
                    return str(cursor.fetchone()[0])
            finally:
                session.close()

    def make_schema(self, name: str) -> None:
        """The schema exists, besides ``public``, and this role may use it.

        Raises:
            PermanentFault: This role may not make it or not use it. The fault holds the SQL for
                an administrator.
        """
        with self.begin() as connection:
            make_schema(connection, name)

    def _is_migrated(self, connection: Connection) -> bool:
        """Whether no migration is due; a foreign or newer schema is refused."""
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
        revision = connection.scalar(text("select version_num from public.lms_assets_version"))
        known = revisions()
        if revision is not None and revision not in known:
            raise PermanentFault("database.newer_schema", found=revision, known=known[-1])
        return bool(revision == known[-1])

    @contextmanager
    def faults_by_name(self) -> Iterator[None]:
        """An error of the driver in the block becomes a fault, even if Dagster's session raised it.

        Dagster keeps its runs and events on the same server. It raises the driver's errors, or
        after some tries an error of its own that the driver's caused.

        Raises:
            Fault: The fault for the error's SQLSTATE, without parameters.
        """
        try:
            yield
        except Exception as error:
            found = _error_of_driver(error)
            if found is None:
                raise
            if isinstance(found, DBAPIError):
                raise self._named(found.orig, is_new=found.statement is None) from None
            raise self._named(found, is_new=False) from None

    def _named(self, error: BaseException | None, *, is_new: bool) -> Fault:
        """The fault behind a driver's error; it quotes only the first line, which holds no row.

        Args:
            error: The driver's error.
            is_new: Whether a connection was being made; the driver has no SQLSTATE for that.
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
                return kind(code, reason=reason, state=state, blocker=blocker)
        return PermanentFault("database.refused", reason=reason, state=state)

    def _blocker(self) -> str:
        """The sessions that lock our tables now: user, pid and application."""
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


def _error_of_driver(error: BaseException) -> DBAPIError | psycopg2.Error | None:
    """The error, or the one that caused it, where it is the driver's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DBAPIError | psycopg2.Error):
            return cause
        cause = cause.__cause__
    return None


def upgrade_to(connection: Connection, revision: str) -> None:
    """All migrations up to ``revision`` have run."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
