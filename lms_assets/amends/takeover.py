"""The context that all steps of one adoption share."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from lms_assets.attempts.cleaning import Tombstones

Progress = Callable[[int, int], None]

_CHUNK_ROWS: Final = 10_000


class RowCounter:
    """Reports how many of all rows are done."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._rows = 0

    def add(self, rows: int) -> None:
        """``rows`` more rows are done."""
        self._rows += rows
        if self._progress:
            self._progress(self._rows, self._total)


@dataclass(frozen=True)
class Takeover:
    """The transaction, day zone, run id, clock, erased students and progress of one adoption."""

    connection: Connection
    day_zone: ZoneInfo
    run_id: str
    now: datetime
    tombstones: Tombstones | None
    progress: RowCounter

    def execute(self, statement: str, **values: object) -> int:
        """The statement is executed; the number of rows that it changed."""
        return self.connection.execute(text(statement), values).rowcount

    def scalar(self, statement: str, **values: object) -> Any:  # noqa: ANN401
        """The query's first value."""
        return self.connection.execute(text(statement), values).scalar()

    def chunks(self, statement: str, **values: object) -> Iterator[Sequence[Any]]:
        """The query's rows in chunks of _CHUNK_ROWS, so that memory never holds them all."""
        options = {"stream_results": True, "max_row_buffer": _CHUNK_ROWS}
        rows = self.connection.execute(text(statement), values, execution_options=options)
        return rows.partitions(_CHUNK_ROWS)
