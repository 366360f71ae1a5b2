"""PostgreSQL sessions in which every parameter that correctness depends on is set explicitly.

A role, a database, a pooler and the environment can all change a session's parameters:
``PGCLIENTENCODING`` corrupts Cyrillic text, a role's ``search_path`` leads to other tables, its
``statement_timeout`` aborts a merge. So none of these parameters is inherited.

The parameters are set after the connection is made. The start-up parameter ``options`` would be
simpler, but PgBouncer refuses it.

SQLAlchemy finds the dialect of this module under ``postgresql+lms://`` (see ``pyproject.toml``),
so Dagster's own connections are made here too. The URL's query may hold ``lms_schema``,
``lms_lock_timeout_s`` and ``plugin``; all other parameters in it are libpq's.
"""

import ctypes
import multiprocessing
import os
import re
import select
import selectors
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

import psycopg2
from psycopg2 import _psycopg, extensions
from sqlalchemy import URL, make_url
from sqlalchemy.dialects import plugins, registry
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.engine import CreateEnginePlugin

DRIVER = "postgresql+lms"
CONNECT_WITHIN_S = 15

STAYS_OPEN = "lms.stays_open"
STAYS_OPEN_IN_RUNS = "lms.stays_open_in_runs"
KEPT_OPEN = 4
# Firewalls forget an idle connection after minutes without telling either side.
KEPT_OPEN_S = 240

registry.register("postgresql.lms", __name__, "StatedDialect")
plugins.register(STAYS_OPEN, __name__, "StaysOpen")
plugins.register(STAYS_OPEN_IN_RUNS, __name__, "StaysOpenInRuns")

# The variables that libpq would read, except those with paths of certificates and password files.
_ENVIRONMENT = (
    *("PGHOST", "PGHOSTADDR", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGAPPNAME"),
    *("PGSERVICE", "PGSERVICEFILE", "PGOPTIONS", "PGCLIENTENCODING", "PGDATESTYLE", "PGTZ"),
    *("PGGEQO", "PGSSLMODE", "PGREQUIRESSL", "PGTARGETSESSIONATTRS", "PGLOADBALANCEHOSTS"),
    *("PGCONNECT_TIMEOUT", "PGREQUIREPEER", "PGGSSENCMODE", "PGSYSCONFDIR", "PGSSLNEGOTIATION"),
)

_STATED = {
    "client_encoding": "UTF8",
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "lc_numeric": "C",
    "lc_time": "C",
    "lc_monetary": "C",
    # With a policy that hides rows from this role, a query fails instead of returning fewer rows.
    "row_security": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    # A role's limits are meant for people. Our limits are the lock timeout and that of the run.
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
}

# Only the parameters that the server knows are set; older servers lack some of them.
_SET = """
    select pg_catalog.set_config(stated.name, stated.value, false)
    from rows from (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[]))
        as stated (name, value)
    where pg_catalog.current_setting(stated.name, true) is not null
"""

# libpq's PQERRORS_SQLSTATE: messages hold the severity and the SQLSTATE, but no text.
_SQLSTATE_ALONE = 3
# Our own codes for connections that libpq gave up by itself.
NOT_REACHED, TLS_MISSING, TLS_FAILED, PASSWORD_MISSING = "08001", "08TLN", "08TLF", "28P01"
_TLS_MODES = ("require", "verify-ca", "verify-full")
_SSL_REQUEST = struct.pack("!II", 8, 80877103)
_SQLSTATE = re.compile(rb": +([0-9A-Z]{5})\s*$", re.MULTILINE)


class StatedDialect(PGDialect_psycopg2):
    """SQLAlchemy's dialect for psycopg2, with the sessions of this module."""

    supports_statement_cache = True

    def __init__(self, **given: Any) -> None:  # noqa: ANN401
        super().__init__(use_native_hstore=False, **given)  # type: ignore[no-untyped-call]

    def create_connect_args(self, url: URL) -> tuple[list[str], dict[str, Any]]:
        """The arguments of :meth:`connect`."""
        return [], connection_arguments(url)

    def connect(self, *_: Any, **arguments: Any) -> Any:  # noqa: ANN401
        """An open connection of the driver."""
        return connected(arguments)

    def do_ping(self, dbapi_connection: Any) -> bool:  # noqa: ANN401
        """Whether the session can still be used.

        A server that ends a session sends a farewell, which waits in the socket. So a silent
        socket saves the round trip that a pool would make before each use.
        """
        with selectors.DefaultSelector() as sockets:
            sockets.register(dbapi_connection, selectors.EVENT_READ)
            is_silent = not sockets.select(0)
        return is_silent or super().do_ping(dbapi_connection)  # type: ignore[no-untyped-call]

    def on_connect_url(self, url: URL) -> Callable[[Any], None]:
        """A function that prepares a new connection as SQLAlchemy does and sets the parameters."""
        usual = super().on_connect()  # type: ignore[no-untyped-call]
        schema = str(url.query.get("lms_schema", "public"))
        lock_timeout_s = str(url.query.get("lms_lock_timeout_s", "0"))

        def state(connection: Any) -> None:  # noqa: ANN401
            if usual is not None:
                usual(connection)
            state_parameters(connection, schema=schema, lock_timeout_s=lock_timeout_s)

        return state


class StaysOpen(CreateEnginePlugin):
    """The engine keeps a few sessions open between uses, and tries each before its use.

    Dagster opens a session for nearly every event of a run, some 250 of them: most of what a
    run costs where a login is checked. Its storage asks for that by a pool that keeps none. It
    stores the event of an asset in two sessions at once.
    This is for a process with one instance; Dagster's code server makes one for each tick.
    """

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        kwargs.pop("poolclass", None)
        kwargs.update(
            # As many as threads use at once: two in a run, a few in the daemon.
            pool_size=KEPT_OPEN,
            max_overflow=-1,
            pool_use_lifo=True,
            pool_pre_ping=True,
            pool_recycle=KEPT_OPEN_S,
        )

    def update_url(self, url: URL) -> URL:
        """The URL as it is."""
        return url


class StaysOpenInRuns(StaysOpen):
    """As :class:`StaysOpen`, in a process that Dagster's code server started for a run.

    Any other process that reads the same URL has the engine that it asked for.
    """

    def __init__(self, url: URL, kwargs: dict[str, Any]) -> None:
        if multiprocessing.parent_process() is not None:
            super().__init__(url, kwargs)


def staying_open(url: str) -> str:
    """The same URL for an engine that keeps its sessions."""
    return _with_plugin(url, STAYS_OPEN)


def staying_open_in_runs(url: str) -> str:
    """The same URL for engines that keep their sessions in runs of Dagster's code server."""
    return _with_plugin(url, STAYS_OPEN_IN_RUNS)


def _with_plugin(url: str, plugin: str) -> str:
    kept = make_url(url).update_query_dict({"plugin": plugin})
    return kept.render_as_string(hide_password=False)


def session_url(url: str, *, schema: str, lock_timeout_s: int = 0) -> URL:
    """The URL with which SQLAlchemy opens a session of this module.

    Args:
        url: The server's URL.
        schema: The schema of unqualified names; it replaces the role's ``search_path``.
        lock_timeout_s: The seconds that a statement waits for a lock; 0 means for ever.
    """
    own = {"lms_schema": schema, "lms_lock_timeout_s": str(lock_timeout_s)}
    return make_url(url).set(drivername=DRIVER).update_query_dict(own)


def connection_arguments(url: URL) -> dict[str, Any]:
    """libpq's parameters, all explicit, so that the environment gives none."""
    own = ("lms_schema", "lms_lock_timeout_s")
    parts = url.translate_connect_args(username="user", database="dbname")
    in_query = {name: value for name, value in url.query.items() if name not in own}
    stated = {
        "application_name": "lms_assets",
        "client_encoding": "UTF8",
        "options": "",
        "connect_timeout": CONNECT_WITHIN_S,
    }
    return {**stated, **parts, **in_query}


def connected(arguments: dict[str, Any]) -> Any:  # noqa: ANN401 - psycopg2's connection
    """An open connection; libpq's variables are removed from the environment first.

    Raises:
        psycopg2.OperationalError: The connection failed, even where the server's message has an
            unknown encoding.
    """
    for name in _ENVIRONMENT:
        os.environ.pop(name, None)
    try:
        return psycopg2.connect(**arguments)
    except UnicodeDecodeError as error:
        raise psycopg2.OperationalError(error.object.decode("ascii", "replace")) from None


def state_parameters(connection: Any, *, schema: str, lock_timeout_s: str) -> None:  # noqa: ANN401
    """The session has the parameters of this module."""
    stated = _STATED | {"search_path": schema, "lock_timeout": f"{lock_timeout_s}s"}
    before, connection.autocommit = connection.autocommit, True
    with connection.cursor() as cursor:
        cursor.execute(_SET, (list(stated), list(stated.values())))
    connection.autocommit = before


def state_of_refusal(arguments: dict[str, Any]) -> str:
    """The SQLSTATE with which the server refuses this login; empty if there is none.

    For a refused login libpq returns only the message, in the server's language. It returns the
    SQLSTATE instead if that is requested before the answer arrives. So the login is tried once
    more, asynchronously.
    """
    try:
        connection = psycopg2.connect(**arguments, async_=True)
    except psycopg2.OperationalError:
        return ""
    libpq = ctypes.PyDLL(_psycopg.__file__)
    handle = ctypes.c_void_p(connection.pgconn_ptr)
    libpq.PQsetErrorVerbosity(handle, _SQLSTATE_ALONE)
    try:
        _wait_for(connection)
    except UnicodeDecodeError as error:
        message = bytes(error.object)
    except psycopg2.OperationalError as error:
        message = str(error).encode("utf-8", "replace")
    else:
        connection.close()
        return ""
    states = _SQLSTATE.findall(message)
    if not states and connection.pgconn_ptr and libpq.PQconnectionNeedsPassword(handle):
        return PASSWORD_MISSING
    return states[-1].decode() if states else ""


def state_of_silence(arguments: dict[str, Any]) -> str:
    """The reason why libpq failed before any answer to the login, as a code of class 08."""
    host, port = str(arguments.get("host", "")), int(arguments.get("port", 5432))
    if host.startswith(("/", "@")) or "," in host:
        return NOT_REACHED
    try:
        with socket.create_connection((host or "localhost", port), CONNECT_WITHIN_S) as probe:
            probe.sendall(_SSL_REQUEST)
            answer = probe.recv(1)
    except OSError:
        return NOT_REACHED
    if arguments.get("sslmode") in _TLS_MODES:
        return TLS_FAILED if answer == b"S" else TLS_MISSING
    return NOT_REACHED


def _wait_for(connection: Any) -> None:  # noqa: ANN401
    until = time.monotonic() + CONNECT_WITHIN_S
    while (state := connection.poll()) != extensions.POLL_OK:
        seconds = until - time.monotonic()
        if seconds <= 0:
            raise psycopg2.OperationalError
        reads = [connection] if state == extensions.POLL_READ else []
        writes = [connection] if state == extensions.POLL_WRITE else []
        select.select(reads, writes, [], seconds)
