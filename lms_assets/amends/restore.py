"""A backup replaces the data of this installation; students who were erased since stay erased.

The backup is checked before anything is changed. One transaction fills the tables and keeps this
installation's tombstones. If a restore is interrupted, the same call again completes it.
"""

import json
import re
import shutil
from collections.abc import Iterable
from itertools import compress
from pathlib import Path
from typing import Any, Final

from psycopg2 import sql
from sqlalchemy import Connection, text

from lms_assets.amends.backup import identifiers, revisions, tables_of
from lms_assets.amends.backup_files import KEY, Manifest, TableCopy
from lms_assets.amends.erasure_lake import raw_objects
from lms_assets.attempts.cleaning import Tombstones, cut_sourcedid, record_chunks
from lms_assets.attempts.keys import key_in
from lms_assets.attempts.quarantine import as_api_record
from lms_assets.attempts.tombstones import Erasure, records_of_erased
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
        PermanentFault: The backup has another schema, its days are of another zone, or its key
            is not the key of this installation's tombstones.
    """
    with warehouse.begin() as connection:
        here = revisions(connection)
        names = {(table.schema, table.name) for table in tables_of(connection)}
        has_tombstones = connection.scalar(text("select exists (select from tombstones)"))
    revision = (manifest.schema, manifest.dagster_schema)
    strangers = [
        table
        for table in manifest.tables
        if (table.schema, table.name) not in names
        and not (table.types and table.schema == "public" and set(table.types.values()) <= _TYPES)
    ]
    if revision != here or strangers:
        facts = {"found": ", ".join(revision), "known": ", ".join(here)}
        raise PermanentFault("backup.other_schema", **facts)
    if manifest.zone not in (None, zone):
        raise PermanentFault("settings.zone_changed", zone=zone, loaded=manifest.zone)
    own, backup_key = key_in(Path(erasure.key_file)), key_in(folder / KEY)
    if has_tombstones and own and backup_key and own != backup_key:
        raise PermanentFault("backup.keys_differ", key_file=erasure.key_file)


def restore(
    manifest: Manifest, folder: Path, *, warehouse: Warehouse, lake: Lake, erasure: Erasure
) -> list[str]:
    """Tables, lake and key are those of the backup; the tombstones are those of both.

    Args:
        manifest: The manifest of the backup, checked by :func:`refuse_unfit`.
        folder: The backup.
        warehouse: A migrated database, Dagster's tables included.
        lake: Gets the objects of the backup; its other objects stay.
        erasure: Its key file becomes the backup's, if the backup has one.

    Returns:
        The ids of erased students whose records the backup holds. They must be erased again.
    """
    backup_key = key_in(folder / KEY)
    if backup_key:
        write_whole(Path(erasure.key_file), backup_key)
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
    # Sheet and page still show the data from before the restore.
    mark_unpublished(connection)


def _make(cursor: Any, table: TableCopy) -> None:  # noqa: ANN401 - psycopg2 has no types
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(column), sql.SQL(kind))
        for column, kind in table.types.items()
    )
    name, _ = identifiers(table)
    cursor.execute(sql.SQL("create table if not exists {} ({})").format(name, columns))


def _returned(warehouse: Warehouse, lake: Lake, tombstones: Tombstones) -> set[str]:
    """The ids of erased students who have records in the tables or in the lake."""
    with warehouse.begin() as connection:
        users = connection.scalars(text("select distinct user_id from attempts")).all()
        query = "select distinct lis_result_sourcedid from attempts"
        sourcedids = connection.scalars(text(query)).all()
        refused = connection.scalars(text("select record from rejected_records")).all()
    returned = tombstones.erased_among({*users, *_users_in(sourcedids)})
    returned |= _named_in([as_api_record(record) for record in refused], tombstones)
    for answer in raw_objects(lake):
        with lake.open_raw(answer) as body:
            for records in record_chunks(body):
                returned |= _named_in(records, tombstones)
    return returned


def _named_in(records: list[bytes], tombstones: Tombstones) -> set[str]:
    if not records:
        return set()
    users: set[str] = set()
    is_erased = records_of_erased(records, tombstones)
    for record in compress(records, is_erased):
        users |= tombstones.erased_among(set(_candidates(record)))
    return users


def _candidates(record: bytes) -> list[str]:
    """All texts in the record that may be its student's id."""
    record_text = record.decode(errors="replace")
    words = _WORD.findall(record_text)
    try:
        fields = json.loads(record_text)
        passback = str(fields.get("passback_params") or "")
        sourcedid = re.search(r"lis_result_sourcedid\W+'([^']*)'", passback)
        users = _users_in([sourcedid.group(1)] if sourcedid else [])
        return [*words, *users, str(fields.get("lti_user_id"))]
    except (ValueError, AttributeError):
        return words


def _users_in(sourcedids: Iterable[str | None]) -> list[str]:
    users = [cut_sourcedid(sourcedid).user for sourcedid in sourcedids if sourcedid]
    return [user for user in users if user]
