"""Which records belong to erased students.

A record names its student in two places: ``lti_user_id``, and the last part of
``lis_result_sourcedid``.
"""

from collections.abc import Collection
from typing import Protocol

import numpy as np

from lms_assets.attempts.cleaning.fields import is_storable
from lms_assets.attempts.cleaning.rows import Flags, Rows
from lms_assets.attempts.distinct import Texts


class Tombstones(Protocol):
    """The erased students: those who asked for the deletion of their records."""

    def erased_among(self, user_ids: Collection[str]) -> set[str]:
        """The user ids of erased students, out of the given ones."""
        ...


def is_erased(rows: Rows, tombstones: Tombstones | None) -> Flags:
    """Which records name an erased student in at least one of the two places."""
    if tombstones is None:
        return np.zeros(len(rows.records), dtype=bool)
    named = rows.passback.texts("sourcedid_user")
    return _is_covered(rows.user, tombstones) | _is_covered(named, tombstones)


def _is_covered(user_ids: Texts, tombstones: Tombstones) -> Flags:
    # An id that cannot be stored belongs to no student of the table, and it cannot be hashed.
    storable = list(filter(is_storable, user_ids.distinct))
    erased = tombstones.erased_among(storable)
    return user_ids.flags(erased.__contains__, missing=False)
