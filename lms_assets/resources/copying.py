"""Batches of Arrow into a table of PostgreSQL: COPY in PostgreSQL's binary format.

Against CSV the server needs a fifth less time, and little more than half where the table has no
index. Arrow joins the fields of all rows of a batch, so no loop over rows runs in Python. The
format: https://www.postgresql.org/docs/current/sql-copy.html
"""

import io
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from sqlalchemy import Connection

from lms_assets.ahead import ahead

_BEGINNING: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = b"\xff\xff"
_MISSING: Final = b"\xff\xff\xff\xff"
_READ_BYTES: Final = 1 << 20
# PostgreSQL counts from 2000, Arrow from 1970.
_DAYS_TO_2000: Final = 10_957
_US_TO_2000: Final = _DAYS_TO_2000 * 86_400_000_000


def copy(connection: Connection, table: str, batches: Iterable[pa.RecordBatch]) -> int:
    """The rows of the batches are in the table; columns are matched by name.

    Args:
        connection: In a transaction, which the caller commits.
        table: Its columns have the types of the batches' columns: text, boolean, timestamp, date.
        batches: Their rows.

    Returns:
        The number of rows.
    """
    cursor = connection.connection.cursor()
    copied = 0
    for columns, rows, count in ahead(map(_encoded, batches)):
        statement = f"copy {table} ({columns}) from stdin with (format binary)"
        cursor.copy_expert(statement, rows, _READ_BYTES)
        copied += count
    return copied


def _encoded(batch: pa.RecordBatch) -> tuple[str, io.BytesIO, int]:
    """The names of the batch's columns, its rows in the binary format, and their number."""
    columns = len(batch.schema).to_bytes(2, "big")
    fields = [part for column in batch.columns for part in _FIELDS[column.type](column)]
    rows = pc.binary_join_element_wise(_scalar(columns), *fields, _scalar(b""))
    all_rows = pa.LargeListArray.from_arrays(pa.array([0, len(rows)], pa.int64()), rows)
    joined = pc.binary_join(all_rows, _scalar(b""))[0].as_buffer()
    stream = io.BytesIO(b"".join((_BEGINNING, joined, _END)))
    return ", ".join(batch.schema.names), stream, batch.num_rows


def _text(column: pa.Array) -> list[pa.Array]:
    lengths = pc.fill_null(pc.binary_length(column), -1).to_numpy(zero_copy_only=False)
    return [_binary(lengths.astype(">i4")), pc.fill_null(column.cast(pa.large_binary()), b"")]


def _boolean(column: pa.Array) -> list[pa.Array]:
    return _of_one_size(column, pa.uint8(), ">u1", 0)


def _timestamp(column: pa.Array) -> list[pa.Array]:
    return _of_one_size(column, pa.int64(), ">i8", _US_TO_2000)


def _date(column: pa.Array) -> list[pa.Array]:
    return _of_one_size(column, pa.int32(), ">i4", _DAYS_TO_2000)


# Type → a column's fields, as arrays whose elements follow each other in a row. A field is its
# length and its bytes; the length -1 stands for NULL.
_FIELDS: Mapping[pa.DataType, Callable[[pa.Array], list[pa.Array]]] = {
    pa.string(): _text,
    pa.bool_(): _boolean,
    pa.timestamp("us"): _timestamp,
    pa.date32(): _date,
}


def _of_one_size(column: pa.Array, kind: pa.DataType, stored: str, zero: int) -> list[pa.Array]:
    """The fields of a column whose values have one size, counted from ``zero``."""
    field = np.dtype([("length", ">i4"), ("value", stored)])
    fields = np.empty(len(column), field)
    fields["length"] = field["value"].itemsize
    fields["value"] = pc.fill_null(column.cast(kind), zero).to_numpy(zero_copy_only=False) - zero
    return [pc.if_else(column.is_valid(), _binary(fields), _scalar(_MISSING))]


def _binary(values: npt.NDArray[np.void] | npt.NDArray[np.int32]) -> pa.Array:
    """The bytes of each element."""
    kind = pa.binary(values.dtype.itemsize)
    buffers = [None, pa.py_buffer(values.tobytes())]
    return pa.Array.from_buffers(kind, len(values), buffers).cast(pa.large_binary())


def _scalar(content: bytes) -> pa.Scalar:
    return pa.scalar(content, pa.large_binary())
