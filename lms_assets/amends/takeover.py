"""What every step of one adoption needs: its transaction, its day zone, whom it drops."""

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
    """Tells how many of all rows are done."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._rows = 0

    def add(self, rows: int) -> None:
        """So many more."""
        self._rows += rows
        if self._progress:
            self._progress(self._rows, self._total)


@dataclass(frozen=True)
class Takeover:
    """What every step of one adoption needs."""

    connection: Connection
    day_zone: ZoneInfo
    run_id: str
    now: datetime
    tombstones: Tombstones | None
    progress: RowCounter

    def execute(self, statement: str, **values: object) -> int:
        """How many rows the statement changed."""
        return self.connection.execute(text(statement), values).rowcount

    def scalar(self, statement: str, **values: object) -> Any:  # noqa: ANN401
        """The one value that the query gives."""
        return self.connection.execute(text(statement), values).scalar()

    def chunks(self, statement: str, **values: object) -> Iterator[Sequence[Any]]:
        """The rows of a query, a few thousand in memory at a time."""
        options = {"stream_results": True, "max_row_buffer": _CHUNK_ROWS}
        rows = self.connection.execute(text(statement), values, execution_options=options)
        return rows.partitions(_CHUNK_ROWS)
