"""The tables of earlier systems: how they are recognised, read and renamed.

Both programs stored the API's naive UTC times. A column ``timestamp`` holds them unchanged. For a
column ``timestamptz`` PostgreSQL read them as local times of the session that wrote them. To get
the UTC time back, the zone of that session must be known.
"""

from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy import Connection, text

from lms_assets.faults import PermanentFault

SUFFIX: Final = "_before_adoption"

_LONGEST_NAME: Final = 63
_UTC_NAMES: Final = frozenset({"UTC", "Etc/UTC", "GMT", "Etc/GMT", "UCT", "Zulu", "Universal"})

NAIVE, _ZONED = "timestamp without time zone", "timestamp with time zone"
_TEXT: Final = frozenset({"text", "character varying"})
_TIME: Final = frozenset({NAIVE, _ZONED})
TEXT_COLUMNS: Final = (
    "user_id",
    "oauth_consumer_key",
    "lis_result_sourcedid",
    "lis_outcome_service_url",
    "attempt_type",
)
EARLIER_COLUMNS: Final = (*TEXT_COLUMNS, "is_correct", "created_at")


@dataclass(frozen=True)
class EarlierSystem:
    """An earlier system's table, and how its columns are read.

    Args:
        name: The system's name.
        table: The table's name in the schema public.
        columns: Column → the types that it may have.
        text: SQL of a text column's value; ``{}`` stands for the column's name.
        verdict: SQL of the verdict as a boolean, null for none.
        is_verdict: SQL that is true if ``is_correct`` holds a verdict or nothing.
    """

    name: str
    table: str
    columns: dict[str, frozenset[str]]
    text: str
    verdict: str
    is_verdict: str


PIPELINE: Final = EarlierSystem(
    name="lms_analytics_pipeline",
    table="attempts",
    columns={
        "id": frozenset({"integer", "bigint"}),
        **dict.fromkeys(TEXT_COLUMNS, _TEXT),
        "is_correct": frozenset({"boolean"}),
        "created_at": _TIME,
    },
    text="{}",
    verdict="is_correct",
    is_verdict="true",
)
# ETL-Project wrote with pandas, which turns a missing value in a TEXT column into 'NaN'.
ETL_PROJECT: Final = EarlierSystem(
    name="etl_project",
    table="lms_database",
    columns={
        **dict.fromkeys(TEXT_COLUMNS, _TEXT),
        "is_correct": _TEXT,
        "created_at": _TIME,
    },
    text="nullif({}, 'NaN')",
    verdict="""
        case when lower(is_correct) in ('1', '1.0', 'true') then true
             when lower(is_correct) in ('0', '0.0', 'false') then false end""",
    is_verdict="""
        coalesce(lower(is_correct), '') in
            ('', 'nan', 'none', 'null', '0', '0.0', 'false', '1', '1.0', 'true')""",
)


@dataclass(frozen=True)
class EarlierTable:
    """An earlier system's table in this database.

    Args:
        source: The system that it is from.
        time_type: The type of its ``created_at``.
        rows: The number of its rows.
        table: Its present name.
        zone: For ``timestamptz`` the zone of the sessions that wrote it, for ``timestamp`` the
            zone of its times; see :func:`with_zones`.
    """

    source: EarlierSystem
    time_type: str
    rows: int
    table: str
    zone: str = "UTC"


def earlier_tables(connection: Connection) -> list[EarlierTable]:
    """The tables to adopt, locked. In a migrated database ``attempts`` is our own table."""
    is_migrated = exists(connection, "lms_assets_version")
    sources = [ETL_PROJECT] if is_migrated else [PIPELINE, ETL_PROJECT]
    return [recognised(connection, s) for s in sources if exists(connection, s.table)]


def exists(connection: Connection, name: str) -> bool:
    """Whether the schema public has a table, view, index or sequence of that name."""
    query = text("select to_regclass(format('public.%I', cast(:name as text))) is not null")
    return bool(connection.execute(query, {"name": name}).scalar())


def recognised(connection: Connection, source: EarlierSystem) -> EarlierTable:
    """The table of ``source``, locked, with its columns checked.

    Raises:
        PermanentFault: Its columns are not those of ``source``.
    """
    columns = _columns(connection, source.table)
    is_recognised = columns.keys() == source.columns.keys() and all(
        columns[name] in types for name, types in source.columns.items()
    )
    if not is_recognised or not _is_plain_table(connection, source.table):
        raise PermanentFault(
            "adoption.unknown_table",
            table=source.table,
            found=", ".join(f"{name} {kind}" for name, kind in columns.items()),
            expected=", ".join(
                f"{name} {' or '.join(sorted(kinds))}" for name, kinds in source.columns.items()
            ),
        )
    connection.execute(text(f"lock table public.{source.table} in access exclusive mode"))
    count = text(f"select count(*) from only public.{source.table}")
    rows = connection.execute(count).scalar_one()
    return EarlierTable(source, columns["created_at"], rows, source.table)


def _columns(connection: Connection, table: str) -> dict[str, str]:
    query = """
        select attname, format_type(atttypid, null) from pg_attribute
        where attrelid = to_regclass('public.' || :table) and attnum > 0 and not attisdropped
        order by attnum
    """
    return dict(connection.execute(text(query), {"table": table}).tuples().all())


def _is_plain_table(connection: Connection, table: str) -> bool:
    kind = "select relkind = 'r' and not relhassubclass from pg_class where oid = to_regclass(:t)"
    return bool(connection.execute(text(kind), {"t": f"public.{table}"}).scalar())


def with_zones(
    tables: list[EarlierTable], zone_given: str | None, default_zone: str
) -> list[EarlierTable]:
    """The tables with the zone that turns their times into UTC.

    Raises:
        PermanentFault: The zone is not known and must be given.
    """
    is_zoned = any(earlier.time_type == _ZONED for earlier in tables)
    return [
        replace(earlier, zone=_zone(earlier, zone_given, default_zone, is_zoned))
        for earlier in tables
    ]


def _zone(earlier: EarlierTable, zone_given: str | None, default_zone: str, is_zoned: bool) -> str:
    if earlier.time_type == NAIVE:
        # The zone was given for the other table, which has a column timestamptz.
        return "UTC" if is_zoned else zone_given or "UTC"
    is_clear = earlier.source is PIPELINE and default_zone in _UTC_NAMES
    if zone_given is None and not is_clear:
        raise PermanentFault("adoption.zone_needed", table=earlier.table, zone=default_zone)
    return zone_given or "UTC"


def renamed(connection: Connection, earlier: EarlierTable) -> EarlierTable:
    """The earlier table with its new name; its indexes and sequences are renamed too.

    So our own tables can take the old names.
    """
    new = _free_name(connection, earlier.table)
    belongings = connection.execute(
        text("""
            select c.relname, case c.relkind when 'i' then 'index' else 'sequence' end as kind
            from pg_class c
            where c.relnamespace = 'public'::regnamespace and (
                c.oid in (select indexrelid from pg_index where indrelid = to_regclass(:table))
               or c.relkind = 'S' and c.oid in (
                    select objid from pg_depend
                    where refobjid = to_regclass(:table) and classid = 'pg_class'::regclass
                      and deptype in ('a', 'i')))
        """),
        {"table": f"public.{earlier.table}"},
    ).all()
    for name, kind in belongings:
        free = _free_name(connection, name)
        connection.execute(text(f"alter {kind} public.{quoted(name)} rename to {quoted(free)}"))
    connection.execute(text(f"alter table public.{quoted(earlier.table)} rename to {quoted(new)}"))
    return replace(earlier, table=new)


def list_renamed(connection: Connection, tables: list[EarlierTable]) -> None:
    """The tables are in ``adopted_tables``: an erasure reads these, but no other program's."""
    statement = (
        "insert into adopted_tables (name, source) values (:name, :source) "
        "on conflict (name) do nothing"
    )
    for earlier in tables:
        connection.execute(text(statement), {"name": earlier.table, "source": earlier.source.name})


def _free_name(connection: Connection, name: str) -> str:
    number = 1
    while True:
        suffix = SUFFIX if number == 1 else f"{SUFFIX}_{number}"
        free = _cut(name, _LONGEST_NAME - len(suffix)) + suffix
        if not exists(connection, free):
            return free
        number += 1


def _cut(name: str, length: int) -> str:
    """The name, at most ``length`` bytes long: PostgreSQL would cut off the suffix instead."""
    return name.encode()[:length].decode(errors="ignore")


def quoted(name: str) -> str:
    """The name as a quoted SQL identifier for SQLAlchemy's ``text``, where a colon is escaped."""
    return '"' + name.replace('"', '""').replace(":", r"\:") + '"'
