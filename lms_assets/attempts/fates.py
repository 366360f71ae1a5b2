"""The fates of records and their counts. Pull, load, correction, replay and letter use them.

Each record of an answer has exactly one fate:

    inserted        the attempt is new in the table
    updated         the table had the key with other fields; these are updated
    unchanged       the table had the same attempt; before the merge: all clean records
    duplicates      the key occurred before in the same answer
    outside_window  the record belongs to another day
    erased          the student was erased
    rejected        the record breaks a rule of cleaning, which is the reason

A constraint of the table ``load_ledger`` enforces the same sum as :class:`Fates`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, NamedTuple, Self, get_args

Fate = Literal[
    "inserted", "updated", "unchanged", "duplicates", "outside_window", "erased", "rejected"
]


class Place(NamedTuple):
    """A fate; for rejected records with its reason."""

    fate: Fate
    reason: str = ""


class UnbalancedError(ValueError):
    """The counts do not add up: a record has no fate, or more than one."""


@dataclass(frozen=True, kw_only=True)
class Fates:
    """The number of records with each fate.

    received = inserted + updated + unchanged + duplicates + outside_window + erased
    + the sum of rejected.

    Attributes:
        received: The number of records in the API's answer.
        conflicting: The number of ``duplicates`` that differ from the first record of their key.
        rejected: Reason → number of records.
        vanished: The number of the day's attempts in the table that the answer does not have. They
            are not among ``received``.
        deleted: The number of ``vanished`` attempts that a mirror deleted.

    Raises:
        UnbalancedError: The counts do not add up to ``received``; or ``conflicting`` is more than
            ``duplicates``, or ``deleted`` more than ``vanished``.
    """

    received: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicates: int = 0
    conflicting: int = 0
    outside_window: int = 0
    erased: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    vanished: int = 0
    deleted: int = 0

    def __post_init__(self) -> None:
        known = self.kept + self.duplicates + self.outside_window + self.erased
        if self.received != known + self.rejected_in_all:
            raise UnbalancedError(f"{self.received} received, but {self}")
        if not 0 <= self.conflicting <= self.duplicates:
            raise UnbalancedError(f"{self.conflicting} conflicting, but {self}")
        if not 0 <= self.deleted <= self.vanished:
            raise UnbalancedError(f"{self.deleted} deleted, but {self}")

    @property
    def kept(self) -> int:
        """The number of records that are attempts: inserted, updated and unchanged."""
        return self.inserted + self.updated + self.unchanged

    @property
    def rejected_in_all(self) -> int:
        """The number of rejected records, for any reason."""
        return sum(self.rejected.values())

    @property
    def changed(self) -> int:
        """The number of rows of the table that the load changed."""
        return self.inserted + self.updated + self.deleted

    @property
    def settled(self) -> Self:
        """The counts that the same answer would have if it were loaded again."""
        vanished = self.vanished - self.deleted
        kept = self.kept
        return replace(self, inserted=0, updated=0, unchanged=kept, vanished=vanished, deleted=0)

    def places(self) -> dict[Place, int]:
        """Fate → number of records; one entry per reason for rejected records."""
        plain = {Place(fate): getattr(self, fate) for fate in get_args(Fate) if fate != "rejected"}
        return plain | {Place("rejected", why): n for why, n in self.rejected.items()}

    def __add__(self, other: "Fates") -> "Fates":
        """The sums of both."""
        numbers = {name: getattr(self, name) + getattr(other, name) for name in NUMBERS}
        rejected = Counter(self.rejected) + Counter(other.rejected)
        return Fates(**numbers, rejected=dict(sorted(rejected.items())))

    def moved(
        self, records: int, before: Fate, now: Fate, *, reason: str = "", reason_now: str = ""
    ) -> Self:
        """The counts after some records changed their fate.

        Args:
            records: The number of records.
            before: Their fate until now.
            now: Their new fate.
            reason: The reason, if ``before`` is rejected.
            reason_now: The reason, if ``now`` is rejected.

        Raises:
            UnbalancedError: Fewer than ``records`` records have the fate ``before``.
        """
        numbers = {name: getattr(self, name) for name in NUMBERS}
        rejected = Counter(self.rejected)
        for fate, change, why in ((before, -records, reason), (now, records, reason_now)):
            if fate == "rejected":
                rejected[why] += change
            else:
                numbers[fate] += change
        if min(*numbers.values(), *rejected.values(), 0) < 0:
            raise UnbalancedError(f"{records} records cannot leave {before} {reason}: {self}")
        by_reason = {why: n for why, n in sorted(rejected.items()) if n}
        return replace(self, **numbers, rejected=by_reason)

    def counters(self) -> dict[str, Any]:
        """Name → count, in the order of the attributes."""
        return {name: getattr(self, name) for name in COUNTERS}


COUNTERS = tuple(field.name for field in fields(Fates))
NUMBERS = tuple(name for name in COUNTERS if name != "rejected")
