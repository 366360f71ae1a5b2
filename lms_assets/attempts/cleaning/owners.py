"""Whose a record is: the student may stand in either of two places."""

from collections.abc import Collection
from typing import Protocol

import numpy as np

from lms_assets.attempts.cleaning.fields import is_storable
from lms_assets.attempts.cleaning.rows import Flags, Rows
from lms_assets.attempts.distinct import Texts


class Tombstones(Protocol):
    """Who asked to be forgotten."""

    def erased_among(self, user_ids: Collection[str]) -> set[str]:
        """Those of the user ids whose student was erased."""
        ...


def is_erased(rows: Rows, tombstones: Tombstones | None) -> Flags:
    """Whose student asked to be forgotten, by either of the two ids that a record carries."""
    if tombstones is None:
        return np.zeros(len(rows.records), dtype=bool)
    named = rows.passback.texts("sourcedid_user")
    return _is_covered(rows.user, tombstones) | _is_covered(named, tombstones)


def _is_covered(user_ids: Texts, tombstones: Tombstones) -> Flags:
    # An id that cannot be stored was never anyone's, and could not be hashed.
    storable = list(filter(is_storable, user_ids.distinct))
    erased = tombstones.erased_among(storable)
    return user_ids.flags(erased.__contains__, missing=False)
