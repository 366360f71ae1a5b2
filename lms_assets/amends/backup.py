"""A backup: all data of one moment in a folder, to be restored into any PostgreSQL from 14 on.

The tables are read in one snapshot. No erasure runs meanwhile, so the lake's objects agree with
the tables. A pull may add an object meanwhile; the backup then holds one object more than its
tables know, which does no harm.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any, Final

from psycopg2 import sql
from sqlalchemy import Connection, text

from lms_assets.amends.backup_files import (
    FORMAT,
    KEY,
    SETTINGS,
    Manifest,
    TableCopy,
    files_in,
    seal,
)
from lms_assets.attempts.ledger import zone_of_ledger
from lms_assets.attempts.tombstones import Erasure
from lms_assets.faults import PermanentFault
from lms_assets.resources.lake import Lake, checksum_of
from lms_assets.resources.warehouse import Warehouse

# Migrations fill these tables, and ./lms up the last one, so a backup leaves them out.
MADE_ANEW: Final = (
    "lms_assets_version",
    "repeatable_objects",
    "alembic_version",
    "agreed_settings",
)

_COLUMNS: Final = """
select n.nspname as schema, c.relname as name, a.attname as column,
    format_type(a.atttypid, null) as type, c.relname in (select name from public.adopted_tables)
        and n.nspname = 'public' as is_adopted,
    case when pg_get_expr(d.adbin, d.adrelid) like 'nextval%' or a.attidentity <> ''
        then pg_get_serial_sequence(format('%I.%I', n.nspname, c.relname), a.attname) end
        as sequence
from pg_class c join pg_namespace n on n.oid = c.relnamespace
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
    and not a.attisdropped and a.attgenerated = ''
left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relkind = 'r' and c.relname <> all(:made)
  and (n.nspname = 'dagster' or n.nspname = 'public' and (
    c.relname = any(:ours) or c.relname in (select name from public.adopted_tables)))
order by n.nspname, c.relname, a.attnum
"""
_REFERENCES: Final = """
select n.nspname || '.' || c.relname as name, m.nspname || '.' || r.relname as before
from pg_constraint k join pg_class c on c.oid = k.conrelid join pg_class r on r.oid = k.confrelid
join pg_namespace n on n.oid = c.relnamespace join pg_namespace m on m.oid = r.relnamespace
where k.contype = 'f' and c.oid <> r.oid
"""
# Our tables in the schema public; other programs may have tables there too.
TABLES: Final = (
    "adopted_tables",
    "attempts",
    "batches",
    "daily_figures",
    "erasure_receipts",
    "figure_settings",
    "lagging_days",
    "letters",
    "load_ledger",
    "rejected_records",
    "retention_counts",
    "staff",
    "student_activity",
    "student_hours",
    "student_task_statistics",
    "task_alarms",
    "task_days",
    "task_discrimination",
    "task_statistics",
    "tombstones",
    "unpublished_changes",
    "zone_offsets",
)


def refuse_used(folder: Path) -> None:
    """A backup can be written to ``folder``: it is new or empty.

    Raises:
        PermanentFault: The folder holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise PermanentFault("backup.target_in_use", folder=folder)


def back_up(
    folder: Path,
    *,
    warehouse: Warehouse,
    lake: Lake,
    erasure: Erasure,
    settings: str,
    version: str,
    now: datetime,
) -> Manifest:
    """The folder holds all data; it appears whole or not at all.

    Args:
        folder: New or empty.
        warehouse: A migrated database, Dagster's tables included.
        lake: Its objects are copied.
        erasure: Its key file is copied.
        settings: The content of ``settings.env``.
        version: The version of lms_assets.
        now: The time of the backup.

    Raises:
        PermanentFault: The folder holds something, or it cannot be written.
        Fault: The database or the lake failed or refused.
    """
    with _written_aside(folder) as draft, erasure.while_storing(warehouse):
        with warehouse.engine.connect() as plain, warehouse.faults_by_name():
            snapshot = plain.execution_options(isolation_level="REPEATABLE READ")
            zone = zone_of_ledger(snapshot)
            tables = tables_of(snapshot)
            for table in tables:
                _copy_out(snapshot, table, draft)
            schema, dagster_schema = revisions(snapshot)
        for key in lake_keys(lake):
            _copy_object(lake, key, draft / "lake" / key)
        if Path(erasure.key_file).is_file():
            (draft / KEY).parent.mkdir()
            shutil.copyfile(erasure.key_file, draft / KEY)
        (draft / SETTINGS).write_text(settings, encoding="utf-8")
        manifest = Manifest(
            format=FORMAT,
            version=version,
            made_at=now.isoformat(),
            zone=zone,
            schema=schema,
            dagster_schema=dagster_schema,
            tables=tables,
            files={file: checksum_of(draft / file) for file in files_in(draft)},
        )
        seal(draft, manifest)
    return manifest


@contextmanager
def _written_aside(folder: Path) -> Iterator[Path]:
    """The draft that the block fills becomes the folder if the block ends without an error."""
    try:
        refuse_used(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            yield draft
            if folder.exists():
                folder.rmdir()
            draft.rename(folder)
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise PermanentFault("backup.unwritable", folder=folder, reason=reason) from None


def tables_of(connection: Connection) -> list[TableCopy]:
    """Our tables, Dagster's and earlier systems', each after the tables that it refers to."""
    values = {"made": list(MADE_ANEW), "ours": list(TABLES)}
    columns_of: dict[str, list[Any]] = {}
    for row in connection.execute(text(_COLUMNS), values):
        columns_of.setdefault(f"{row.schema}.{row.name}", []).append(row)
    order = TopologicalSorter(dict.fromkeys(columns_of, ()))
    for name, before in connection.execute(text(_REFERENCES)).tuples():
        if name in columns_of and before in columns_of:
            order.add(name, before)
    return [_table(connection, columns_of[name]) for name in order.static_order()]


def _table(connection: Connection, columns: list[Any]) -> TableCopy:
    first = columns[0]
    return TableCopy(
        schema=first.schema,
        name=first.name,
        columns=[row.column for row in columns],
        types={row.column: row.type for row in columns} if first.is_adopted else {},
        sequences={
            row.column: _state(connection, row.sequence)
            for row in columns
            if row.sequence and not first.is_adopted
        },
    )


def _state(connection: Connection, sequence: str) -> tuple[int, bool]:
    # PostgreSQL returned the name already quoted.
    last, is_called = connection.execute(
        text(f"select last_value, is_called from {sequence}")
    ).one()
    return int(last), bool(is_called)


def identifiers(table: TableCopy) -> tuple[sql.Identifier, sql.Composed]:
    """The names of the table and of its columns as SQL."""
    columns = sql.SQL(", ").join(map(sql.Identifier, table.columns))
    return sql.Identifier(table.schema, table.name), columns


def _copy_out(connection: Connection, table: TableCopy, folder: Path) -> None:
    name, columns = identifiers(table)
    statement = sql.SQL("copy {} ({}) to stdout with (format csv, header)").format(name, columns)
    target = folder / table.file
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as file:
        connection.connection.cursor().copy_expert(statement, file)


def revisions(connection: Connection) -> tuple[str, str]:
    """The migration revisions of our tables and of Dagster's."""
    own_revision = connection.scalar(text("select version_num from public.lms_assets_version"))
    dagster_revision = connection.scalar(text("select version_num from dagster.alembic_version"))
    return str(own_revision), str(dagster_revision)


def lake_keys(lake: Lake) -> list[str]:
    """The keys of all finished objects of the lake."""
    return [
        f"{kind}/{folder}/{name}"
        for kind in ("raw", "cleaned", "references")
        for folder in lake.objects.names(kind)
        if not folder.startswith(".")
        for name in lake.objects.names(f"{kind}/{folder}")
        if not name.startswith(".")
    ]


def _copy_object(lake: Lake, key: str, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with lake.objects.opened(key) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file)
    except FileNotFoundError:
        # A run has replaced this cleaned object since the keys were listed.
        target.unlink(missing_ok=True)
