"""The merge in its plainest form, row by row in Python: what the fast one is compared with."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from lms_assets.attempts.fates import Fates
from lms_assets.attempts.merge import Mirror

Row = dict[str, Any]
Key = tuple[Any, ...]


def key_of(row: Row) -> Key:
    """What tells one attempt from another."""
    return row["user_id"], row["attempt_type"], row["created_at"]


@dataclass
class PlainDay:
    """A day's attempts by their keys, and its quarantine."""

    attempts: dict[Key, Row] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)

    def merge(
        self, fates: Fates, rows: Iterable[Row], refused: Iterable[str], mirror: Mirror
    ) -> Fates:
        """The fates of a pull's records; the day holds them."""
        incoming = {key_of(row): row for row in rows}
        for key, row in incoming.items():
            before = self.attempts.get(key)
            if before is None:
                fates = fates.moved(1, "unchanged", "inserted")
            elif before != row:
                fates = fates.moved(1, "unchanged", "updated")
            self.attempts[key] = row
        self.rejected |= Counter(refused)
        vanished = self.attempts.keys() - incoming.keys()
        if not mirror.is_on or not fates.received:
            return replace(fates, vanished=len(vanished))
        for key in vanished:
            del self.attempts[key]
        return replace(fates, vanished=len(vanished), deleted=len(vanished))
