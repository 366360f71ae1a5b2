"""A backup takes the place of what is here; whoever was erased since stays erased.

The backup is seen to be whole before anything is touched. The tables are filled in one
transaction, which also keeps the tombstones that are known here. The same call again completes a
restore that was ended in the middle.
"""

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import pandas as pd
from psycopg2 import sql
from sqlalchemy import Connection, text

from lms_assets.amends.backup import identifiers, revisions, tables_of
from lms_assets.amends.backup_files import KEY, Manifest, TableCopy
from lms_assets.amends.erasure_lake import raw_objects
from lms_assets.attempts.cleaning import Tombstones, course_and_task, record_chunks
from lms_assets.attempts.keys import key_in
from lms_assets.attempts.quarantine import as_api_record
from lms_assets.attempts.tombstones import Erasure, whose
from lms_assets.faults import PermanentFault
from lms_assets.files import write_whole
from lms_assets.locks import Lock, hold
from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics.unpublished import mark_unpublished

_WORD: Final = re.compile(r"[0-9A-Za-z_.@+-]+")
_TYPES: Final = frozenset(
    {
        *("integer", "bigint", "boolean", "text", "character varying"),
        *("timestamp without time zone", "timestamp with time zone"),
    }
)


def refuse_unfit(
    manifest: Manifest, folder: Path, *, warehouse: Warehouse, erasure: Erasure, zone: str
) -> None:
    """The backup can be restored here; nothing is changed.

    Raises:
        PermanentFault: It is of another schema, of days of another zone, or those who were
            erased here are known by another key.
    """
    with warehouse.begin() as connection:
        here = revisions(connection)
        known = {(table.schema, table.name) for table in tables_of(connection)}
        has_tombstones = connection.scalar(text("select exists (select from tombstones)"))
    found = (manifest.schema, manifest.dagster_schema)
    strangers = [
        table
        for table in manifest.tables
        if (table.schema, table.name) not in known
        and not (table.types and table.schema == "public" and set(table.types.values()) <= _TYPES)
    ]
    if found != here or strangers:
        raise PermanentFault("backup.other_schema", found=", ".join(found), known=", ".join(here))
    if manifest.zone not in (None, zone):
        raise PermanentFault("settings.zone_changed", zone=zone, loaded=manifest.zone)
    own, theirs = key_in(Path(erasure.key_file)), key_in(folder / KEY)
    if has_tombstones and own and theirs and own != theirs:
        raise PermanentFault("backup.keys_differ", key_file=erasure.key_file)


def restore(
    manifest: Manifest, folder: Path, *, warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> list[str]:
    """Tables, lake and key are those of the backup; tombstones those of both.

    Args:
        manifest: Of the backup, which is whole and fits.
        folder: The backup.
        warehouse: Migrated, Dagster's tables too.
        lake: Takes the objects of the backup; those that it has besides stay.
        erasure: Its key's file is the backup's from now on, where there is one.

    Returns:
        The ids of students who are back though a tombstone knows them: to be erased again.
    """
    theirs = key_in(folder / KEY)
    if theirs:
        write_whole(Path(erasure.key_file), theirs)
    warehouse.in_transaction(lambda connection: _fill(connection, manifest, folder))
    for path in sorted((folder / "lake").rglob("*")):
        if path.is_file():
            key = path.relative_to(folder / "lake").as_posix()
            with path.open("rb") as source, lake.objects.written(key) as sink:
                shutil.copyfileobj(source, sink)
    with erasure.while_storing(warehouse) as tombstones:
        return sorted(_returned(warehouse, lake, tombstones)) if tombstones else []


def _fill(connection: Connection, manifest: Manifest, folder: Path) -> None:
    hold(connection, Lock.SCHEMA)
    hold(connection, Lock.TOMBSTONES)
    cursor: Any = connection.connection.cursor()
    cursor.execute(
        "create temporary table tombstones_here on commit drop as select * from tombstones"
    )
    emptied = sql.SQL(", ").join(identifiers(table)[0] for table in tables_of(connection))
    cursor.execute(sql.SQL("truncate {}").format(emptied))
    for table in manifest.tables:
        if table.types:
            _make(cursor, table)
        name, columns = identifiers(table)
        with (folder / table.file).open("rb") as rows:
            cursor.copy_expert(
                sql.SQL("copy {} ({}) from stdin with (format csv, header)").format(name, columns),
                rows,
            )
        for column, (last, is_called) in table.sequences.items():
            cursor.execute(
                "select setval(pg_get_serial_sequence(%s, %s), %s, %s)",
                (f'{table.schema}."{table.name}"', column, last, is_called),
            )
    cursor.execute("insert into tombstones select * from tombstones_here on conflict do nothing")
    # Sheet and page show what was here before.
    mark_unpublished(connection)


def _make(cursor: Any, table: TableCopy) -> None:  # noqa: ANN401 - psycopg2 has no types
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind))
        for column, kind in table.types.items()
    )
    name, _ = identifiers(table)
    cursor.execute(sql.SQL("create table if not exists {} ({})").format(name, columns))


def _returned(warehouse: Warehouse, lake: Lake, tombstones: Tombstones) -> set[str]:
    """Whose records are here though a tombstone knows their students."""
    with warehouse.begin() as connection:
        users = connection.scalars(text("select distinct user_id from attempts")).all()
        named = "select distinct lis_result_sourcedid from attempts"
        sourcedids = connection.scalars(text(named)).all()
        refused = connection.scalars(text("select record from rejected_records")).all()
    found = _covered([*users, *_users_in(sourcedids)], tombstones)
    found |= _named_in([as_api_record(record) for record in refused], tombstones)
    for answer in raw_objects(lake):
        with lake.open_raw(answer) as body:
            for records in record_chunks(body):
                found |= _named_in(records, tombstones)
    return found


def _named_in(records: list[bytes], tombstones: Tombstones) -> set[str]:
    if not records:
        return set()
    found: set[str] = set()
    theirs = whose(records, tombstones)
    for record in (one for one, is_theirs in zip(records, theirs, strict=True) if is_theirs):
        found |= _covered(_candidates(record), tombstones)
    return found


def _candidates(record: bytes) -> list[str]:
    """Every text of the record that may be the id of its student."""
    said = record.decode(errors="replace")
    words = _WORD.findall(said)
    try:
        told = json.loads(said)
        passback = str(told.get("passback_params") or "")
        sourcedid = re.search(r"lis_result_sourcedid\W+'([^']*)'", passback)
        users = _users_in([sourcedid.group(1)] if sourcedid else [])
        return [*words, *users, str(told.get("lti_user_id"))]
    except (ValueError, AttributeError):
        return words


def _users_in(sourcedids: Iterable[str | None]) -> list[str]:
    texts = pd.Series([one for one in sourcedids if one], dtype=object)
    return list(course_and_task(texts)["sourcedid_user"].dropna()) if len(texts) else []


def _covered(user_ids: Iterable[str], tombstones: Tombstones) -> set[str]:
    distinct = pd.Series(sorted(set(user_ids)), dtype=object)
    return set(distinct[tombstones.covers(distinct)]) if len(distinct) else set()
