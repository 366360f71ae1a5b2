"""Whose a record is: the student may stand in either of two places."""

from typing import Protocol

import numpy as np
import pandas as pd

from lms_assets.attempts.cleaning.fields import is_storable
from lms_assets.attempts.cleaning.rows import Flags, Rows
from lms_assets.attempts.distinct import Texts


class Tombstones(Protocol):
    """Who asked to be forgotten."""

    def covers(self, user_ids: "pd.Series[str]") -> "pd.Series[bool]":
        """For each of the user ids, in order, whether its student was erased."""
        ...


def is_erased(rows: Rows, tombstones: Tombstones | None) -> Flags:
    """Whose student asked to be forgotten, by either of the two ids that a record carries."""
    if tombstones is None:
        return np.zeros(len(rows.records), dtype=bool)
    named = rows.passback.texts("sourcedid_user")
    return _is_covered(rows.user, tombstones) | _is_covered(named, tombstones)


def _is_covered(user_ids: Texts, tombstones: Tombstones) -> Flags:
    # An id that cannot be stored was never anyone's, and could not be hashed.
    asked = [user_id for user_id in user_ids.distinct if is_storable(user_id)]
    answer = tombstones.covers(pd.Series(asked, dtype=object))
    covered = {user_id for user_id, is_covered in zip(asked, answer, strict=True) if is_covered}
    return user_ids.flags(covered.__contains__, missing=False)
