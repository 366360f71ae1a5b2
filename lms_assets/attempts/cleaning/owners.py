"""Whose a record is: the student may stand in either of two places."""

from typing import Protocol

import numpy as np
import pandas as pd

from lms_assets.attempts.cleaning.fields import as_text, is_storable
from lms_assets.attempts.cleaning.rows import Flags, Objects, Rows, flags_of, objects_of
from lms_assets.attempts.distinct import numbered


class Tombstones(Protocol):
    """Who asked to be forgotten."""

    def covers(self, user_ids: "pd.Series[str]") -> "pd.Series[bool]":
        """For each of the user ids, in order, whether it is one of theirs."""
        ...


def is_erased(rows: Rows, tombstones: Tombstones | None) -> Flags:
    """Whose student asked to be forgotten, by either of the two ids that a record carries."""
    if tombstones is None:
        return np.zeros(len(rows.records), dtype=bool)
    user_ids = objects_of([as_text(user_id) for user_id in rows.user_id])
    return _is_covered(user_ids, tombstones) | _is_covered(
        rows.passback.column("sourcedid_user"), tombstones
    )


def _is_covered(user_ids: Objects, tombstones: Tombstones) -> Flags:
    codes, distinct = numbered(user_ids)
    # An id that cannot be stored was never anyone's, and could not be hashed.
    asked = flags_of(map(is_storable, distinct))
    covered = np.zeros(len(distinct) + 1, dtype=bool)
    storable = [user_id for user_id, is_asked in zip(distinct, asked, strict=True) if is_asked]
    answer = tombstones.covers(pd.Series(storable, dtype=object))
    covered[:-1][asked] = np.asarray(answer, dtype=bool)
    return covered[codes]
