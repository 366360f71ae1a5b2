"""What became of records: one value, held by pull, load, correction, replay and letter.

Every record that the API gave has exactly one fate:

    inserted        the table holds it and did not before
    updated         the table held its key with other fields, and now holds its own
    unchanged       the table held it already; before the merge, all clean records
    duplicates      its key came before in the same answer
    outside_window  it is of another day
    erased          its student was erased
    rejected        a rule of cleaning refused it, for a reason

The ledger's table enforces the same balance by a constraint.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, NamedTuple, Self, get_args

Fate = Literal[
    "inserted", "updated", "unchanged", "duplicates", "outside_window", "erased", "rejected"
]


class Place(NamedTuple):
    """A fate, and for rejected records the reason."""

    fate: Fate
    reason: str = ""


class UnbalancedError(ValueError):
    """Some record has no fate, or more than one."""


@dataclass(frozen=True, kw_only=True)
class Fates:
    """How many records met which fate.

    received = inserted + updated + unchanged + duplicates + outside_window + erased
    + the sum of rejected.

    Attributes:
        received: Records that the API gave.
        conflicting: Those of ``duplicates`` that differ from the first received.
        rejected: Reason → records.
        vanished: Attempts that the table holds and the answer does not; not among the received.
        deleted: Those of ``vanished`` that a mirror has removed.

    Raises:
        UnbalancedError: The sum is another one.
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
        """Records that are attempts of the table, however they came to be there."""
        return self.inserted + self.updated + self.unchanged

    @property
    def rejected_in_all(self) -> int:
        """Records refused, for any reason."""
        return sum(self.rejected.values())

    @property
    def changed(self) -> int:
        """Rows of the table that are others than before."""
        return self.inserted + self.updated + self.deleted

    @property
    def settled(self) -> Self:
        """The same records once the table has them: kept ones are unchanged, deleted ones gone."""
        vanished = self.vanished - self.deleted
        kept = self.kept
        return replace(self, inserted=0, updated=0, unchanged=kept, vanished=vanished, deleted=0)

    def places(self) -> dict[Place, int]:
        """How many records met each fate; those rejected by reason."""
        plain = {Place(fate): getattr(self, fate) for fate in get_args(Fate) if fate != "rejected"}
        return plain | {Place("rejected", why): n for why, n in self.rejected.items()}

    def __add__(self, other: "Fates") -> "Fates":
        """Both together."""
        numbers = {name: getattr(self, name) + getattr(other, name) for name in NUMBERS}
        rejected = Counter(self.rejected) + Counter(other.rejected)
        return Fates(**numbers, rejected=dict(sorted(rejected.items())))

    def moved(
        self, records: int, before: Fate, now: Fate, *, reason: str = "", reason_now: str = ""
    ) -> Self:
        """The same records, some of which have another fate.

        Args:
            records: How many move.
            before: Their fate so far.
            now: Their fate from now on.
            reason: Why they were rejected so far, where they were.
            reason_now: Why they are rejected now, where they are.

        Raises:
            UnbalancedError: So many have not met that fate.
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
        left = {why: n for why, n in sorted(rejected.items()) if n}
        return replace(self, **numbers, rejected=left)

    def counters(self) -> dict[str, Any]:
        """Each by its name, in the order in which people read them."""
        return {name: getattr(self, name) for name in COUNTERS}


COUNTERS = tuple(field.name for field in fields(Fates))
NUMBERS = tuple(name for name in COUNTERS if name != "rejected")
