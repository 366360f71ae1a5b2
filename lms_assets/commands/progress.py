"""The progress of a long command: a live display, or plain lines where there is no terminal."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from lms_assets.letters.outcomes import Outcome


class BatchProgress:
    """Shows days done and failed, attempts so far, rate and time left.

    Args:
        total: The number of days in the batch.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.done = self.failed = self.received = 0
        self._began = time.monotonic()
        self._is_live = sys.stderr.isatty()
        self._display = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self._is_live,
        )
        self._task = self._display.add_task("days", total=total, note="")

    def __enter__(self) -> Self:
        """The display is on."""
        self._display.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """The display has ended; its last state stays on the screen."""
        self._display.stop()

    def tell(self, outcome: "Outcome") -> None:
        """One more day has ended."""
        self.done += 1
        self.failed += not outcome.succeeded
        self.received += outcome.load.fates.received if outcome.load else 0
        rate = 60 * self.done / max(time.monotonic() - self._began, 0.001)
        note = f"{self.failed} failed, {self.received:,} attempts, {rate:,.0f} days a minute"
        self._display.update(self._task, completed=self.done, note=note)
        if not self._is_live or not outcome.succeeded:
            self._display.console.print(
                f"{outcome.day}  {outcome.summary}  ({self.done}/{self.total}, {note})",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
