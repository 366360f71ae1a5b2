"""What a grader must offer: its attempts of a window, kept in a file, and whether it answers.

Another grader is a client with these two methods, its settings, a line in ``systems.py`` that
chooses it, and its parse: ``attempts/cleaning`` reads the file, and is the place of another form
of records.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Answer:
    """A whole answer of the grader, kept in a file.

    Attributes:
        path: Holds what the grader sent, byte for byte once HTTP's compression is undone.
        size: Bytes.
        sha256: Of those bytes, in hex.
        records: How many elements the JSON array has.
        tries: How many times the grader was asked, 1 at best.
        duration_s: From the first try's begin, with the waits between tries.
    """

    path: Path
    size: int
    sha256: str
    records: int
    tries: int
    duration_s: float


class AttemptSource(Protocol):
    """A grader whose attempts are asked for window by window."""

    def attempts_between(self, start: datetime, end: datetime, *, to: Path) -> Answer:
        """The file ``to`` holds every attempt that the grader knows of [``start``, ``end``).

        It may hold others and repeat some; on a fault ``to`` is as it was before.

        Args:
            start: Naive, UTC, included.
            end: Naive, UTC, excluded.
            to: In a folder that exists; replaced.

        Raises:
            TemporaryFault: The grader could not answer now, however often it was asked.
            PermanentFault: A person must act first.
        """

    def check(self) -> float:
        """The grader answers and accepts the credentials: the seconds that it took.

        Raises:
            Fault: As :meth:`attempts_between`.
        """
