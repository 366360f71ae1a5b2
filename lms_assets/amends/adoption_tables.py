"""The tables of earlier systems: how they are known and read, and the names they get.

Both programs took what the API says, naive UTC. A column ``timestamp`` holds it as it was. In a
column ``timestamptz`` PostgreSQL put the instant that it means in the zone of the session that
wrote it, so that zone must be known to get the UTC time back.
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
    """A table that is known, and how its columns are read.

    Args:
        name: The system that made it.
        table: In the schema public.
        columns: Column → the types that it may have.
        text: A text column's value, ``{}`` standing for its name.
        verdict: The verdict as a boolean, null for none.
        is_verdict: Whether ``is_correct`` is something that a verdict may be.
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
# A missing value that went through pandas was written into its TEXT columns as 'NaN'.
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
    """A table found in the database, that is about to be taken over.

    Args:
        source: What it is.
        time_type: The type of its ``created_at``.
        rows: How many it has.
        table: What it is called now.
        zone: Where its naive times were read, or where they are of; see :func:`with_zones`.
    """

    source: EarlierSystem
    time_type: str
    rows: int
    table: str
    zone: str = "UTC"


def earlier_tables(connection: Connection) -> list[EarlierTable]:
    """The tables to take over, locked; the one named as ours is only until ours is there."""
    is_ours = exists(connection, "lms_assets_version")
    sources = [ETL_PROJECT] if is_ours else [PIPELINE, ETL_PROJECT]
    return [recognised(connection, s) for s in sources if exists(connection, s.table)]


def exists(connection: Connection, name: str) -> bool:
    """Whether the schema public has something of that name."""
    found = text("select to_regclass(format('public.%I', cast(:name as text))) is not null")
    return bool(connection.execute(found, {"name": name}).scalar())


def recognised(connection: Connection, source: EarlierSystem) -> EarlierTable:
    """The table, once its columns are seen to be those of the system that it is named after.

    Raises:
        PermanentFault: They are not.
    """
    columns = _columns(connection, source.table)
    is_known = columns.keys() == source.columns.keys() and all(
        columns[name] in types for name, types in source.columns.items()
    )
    if not is_known or not _is_plain_table(connection, source.table):
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
    found: list[EarlierTable], given: str | None, default_zone: str
) -> list[EarlierTable]:
    """Each table with the zone that turns its times into UTC.

    Raises:
        PermanentFault: It must be asked for.
    """
    is_zoned = any(old.time_type == _ZONED for old in found)
    return [replace(old, zone=_zone(old, given, default_zone, is_zoned)) for old in found]


def _zone(old: EarlierTable, given: str | None, default_zone: str, is_zoned: bool) -> str:
    if old.time_type == NAIVE:
        # Given for the other table, whose sessions had that zone.
        return "UTC" if is_zoned else given or "UTC"
    is_clear = old.source is PIPELINE and default_zone in _UTC_NAMES
    if given is None and not is_clear:
        raise PermanentFault("adoption.zone_needed", table=old.table, zone=default_zone)
    return given or "UTC"


def renamed(connection: Connection, old: EarlierTable) -> EarlierTable:
    """The old table has another name, and so has all whose names our tables will take."""
    new = _free_name(connection, old.table)
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
        {"table": f"public.{old.table}"},
    ).all()
    for name, kind in belongings:
        free = _free_name(connection, name)
        connection.execute(text(f"alter {kind} public.{quoted(name)} rename to {quoted(free)}"))
    connection.execute(text(f"alter table public.{quoted(old.table)} rename to {quoted(new)}"))
    return replace(old, table=new)


def list_renamed(connection: Connection, tables: list[EarlierTable]) -> None:
    """Erasing a student later looks into these tables, and into no other program's."""
    statement = (
        "insert into adopted_tables (name, source) values (:name, :source) "
        "on conflict (name) do nothing"
    )
    for old in tables:
        connection.execute(text(statement), {"name": old.table, "source": old.source.name})


def _free_name(connection: Connection, name: str) -> str:
    number = 1
    while True:
        suffix = SUFFIX if number == 1 else f"{SUFFIX}_{number}"
        free = _cut(name, _LONGEST_NAME - len(suffix)) + suffix
        if not exists(connection, free):
            return free
        number += 1


def _cut(name: str, length: int) -> str:
    """PostgreSQL cuts names short by bytes, and would make two of them equal."""
    return name.encode()[:length].decode(errors="ignore")


def quoted(name: str) -> str:
    """The name as an identifier of SQL."""
    # A colon would begin a parameter of SQLAlchemy's.
    return '"' + name.replace('"', '""').replace(":", r"\:") + '"'
