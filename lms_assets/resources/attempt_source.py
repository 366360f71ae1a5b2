"""The interface of a grader: it writes the attempts of a window to a file.

Another grader needs a client with these two methods, its settings, a line in ``systems.py`` that
chooses it, and its parse in ``attempts/cleaning``, which reads the file.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Answer:
    """A complete answer of the grader, in a file.

    Attributes:
        path: The file with the bytes that the grader sent, after HTTP decompression.
        size: The number of bytes.
        sha256: SHA-256 of the bytes, in hex.
        records: The number of elements of the JSON array.
        tries: The number of requests, 1 at best.
        duration_s: From the beginning of the first try, waits between tries included.
    """

    path: Path
    size: int
    sha256: str
    records: int
    tries: int
    duration_s: float


class AttemptSource(Protocol):
    """A grader that returns the attempts of a window."""

    def attempts_between(self, start: datetime, end: datetime, *, to: Path) -> Answer:
        """The file ``to`` holds all attempts that the grader has for [``start``, ``end``).

        It may hold other attempts too, and some of them twice. After a fault ``to`` is unchanged.

        Args:
            start: Naive UTC, included.
            end: Naive UTC, excluded.
            to: The file, in a folder that exists; it is replaced.

        Raises:
            TemporaryFault: The grader did not answer in any of the tries.
            PermanentFault: A person must act first.
        """

    def check(self) -> float:
        """The seconds that the grader took to answer a request with these credentials.

        Raises:
            Fault: As for :meth:`attempts_between`.
        """
