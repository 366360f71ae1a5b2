"""Attempts and figures as files: Parquet for programs, CSV for spreadsheets.

A server-side cursor reads each table in chunks, so that memory does not grow with the history.
"""

import csv
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, text

from lms_assets.days import window_between
from lms_assets.resources.warehouse import Warehouse

Rows = list[tuple[Any, ...]]

CHUNK_ROWS = 50_000
# A spreadsheet program takes a text that begins with one of these for a formula.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")

# PostgreSQL's type in information_schema → Arrow's type.
_ARROW_TYPES: dict[str, pa.DataType] = {
    "bigint": pa.int64(),
    "integer": pa.int32(),
    "double precision": pa.float64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "date": pa.date32(),
    "interval": pa.duration("us"),
    "timestamp without time zone": pa.timestamp("us"),
    "timestamp with time zone": pa.timestamp("us", tz="UTC"),
}


@dataclass(frozen=True)
class Exported:
    """A table or view of the schema ``public``, with the condition and order of its rows."""

    name: str
    order: str
    where: str = "true"


_OF_THE_DAYS = "day between :first and :last"

ATTEMPTS = Exported("attempts", "created_at, id", "created_at >= :start and created_at < :end")
# Figures by day are exported for the given days, the others as of the newest loaded day.
FIGURES = (
    Exported("daily_statistics", "day", _OF_THE_DAYS),
    Exported("course_daily_statistics", "day, course", _OF_THE_DAYS),
    Exported("period_statistics", "course, period_days"),
    Exported("course_statistics", "course"),
    Exported("overall_statistics", "as_of"),
    Exported("task_statistics", "oauth_consumer_key, course, task"),
    Exported("task_alarms", "day, oauth_consumer_key, course, task", _OF_THE_DAYS),
    Exported("task_discrimination", "oauth_consumer_key, course, task"),
    Exported("task_stops", "oauth_consumer_key, course, task"),
    Exported("student_task_statistics", "user_id, oauth_consumer_key, course, task"),
    Exported("student_statistics", "user_id"),
    Exported("retention", "course, cohort_week, weeks_later"),
    Exported("heat_map", "course, iso_weekday, hour"),
)


def export(
    warehouse: Warehouse, first: date, last: date, to: Path, *, zone: ZoneInfo
) -> list[Path]:
    """``to`` holds each table as ``NAME.parquet`` and ``NAME.csv``, all read in one snapshot.

    Existing files are replaced when all new files are complete. In the CSV an apostrophe is put
    before a text that a spreadsheet program would take for a formula. The Parquet file holds
    every value unchanged.

    Args:
        warehouse: Holds attempts and figures; nothing is changed.
        first: The first day of the attempts and of the figures by day.
        last: The last of these days, included.
        to: The folder; it is made if it does not exist.
        zone: The zone of the days.

    Returns:
        The paths of the files, in the order of writing.

    Raises:
        Fault: The database cannot be read.
        OSError: The folder cannot be written.
    """
    values = {"first": first, "last": last} | _window(first, last, zone)
    to.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=to, prefix=".export-") as drafts,
        warehouse.begin() as connection,
    ):
        connection.execute(text("set transaction isolation level repeatable read, read only"))
        written = [
            path
            for table in (ATTEMPTS, *FIGURES)
            for path in _write(connection, table, values, Path(drafts))
        ]
        return [path.replace(to / path.name) for path in written]


def _window(first: date, last: date, zone: ZoneInfo) -> dict[str, datetime]:
    """The half-open window of the days, naive UTC as ``created_at``."""
    window = window_between(first, last, zone)
    return {"start": window.start, "end": window.end}


def _write(
    connection: Connection, table: Exported, values: dict[str, Any], folder: Path
) -> list[Path]:
    schema = _schema(connection, table.name)
    paths = [folder / f"{table.name}.parquet", folder / f"{table.name}.csv"]
    with (
        _parquet(paths[0], schema) as write_parquet,
        _csv(paths[1], schema.names) as write_csv,
    ):
        for rows in _chunks(connection, table, schema.names, values):
            write_parquet(rows)
            write_csv(rows)
    return paths


def _schema(connection: Connection, name: str) -> pa.Schema:
    columns = connection.execute(
        text(
            "select column_name, data_type from information_schema.columns "
            "where table_schema = 'public' and table_name = :name order by ordinal_position"
        ),
        {"name": name},
    )
    return pa.schema([(column, _ARROW_TYPES[kind]) for column, kind in columns])


def _chunks(
    connection: Connection, table: Exported, columns: list[str], values: dict[str, Any]
) -> Iterator[Rows]:
    """The rows as tuples, ``CHUNK_ROWS`` at a time."""
    statement = (
        f"select {', '.join(columns)} from public.{table.name} "  # noqa: S608 - names of ours
        f"where {table.where} order by {table.order}"
    )
    streaming = connection.execution_options(stream_results=True, max_row_buffer=CHUNK_ROWS)
    for rows in streaming.execute(text(statement), values).partitions(CHUNK_ROWS):
        yield [tuple(row) for row in rows]


@contextmanager
def _parquet(path: Path, schema: pa.Schema) -> Iterator[Callable[[Rows], None]]:
    """Yields a function that appends rows to the Parquet file, one row group per call."""

    def write(rows: Rows) -> None:
        columns = [
            pa.array(values, type=field.type)
            for values, field in zip(zip(*rows, strict=True), schema, strict=True)
        ]
        writer.write_table(pa.Table.from_arrays(columns, schema=schema))

    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        yield write


@contextmanager
def _csv(path: Path, columns: list[str]) -> Iterator[Callable[[Rows], None]]:
    """Yields a function that appends rows to the CSV file, below a heading row."""
    # Without a byte-order mark Excel reads the file in the machine's old code page, not as UTF-8.
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        yield lambda rows: writer.writerows([_in_csv(value) for value in row] for row in rows)


def _in_csv(value: object) -> object:
    """The value as CSV, so that a spreadsheet program reads a text as text, never as a formula."""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(FORMULA_STARTS) else value
    return str(value).lower() if isinstance(value, bool) else value
