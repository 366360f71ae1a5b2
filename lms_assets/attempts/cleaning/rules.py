"""The rules that a record must keep to become an attempt.

A record that breaks a rule is rejected; its reason is that of the first rule that it breaks.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt

from lms_assets.attempts.cleaning.fields import NO_VERDICT, UNKNOWN_VERDICT
from lms_assets.attempts.cleaning.rows import Flags, Rows
from lms_assets.attempts.columns import COLUMNS_VERSION, TEXT_COLUMNS

# Raise it with every change that gives a record another fate: days cleaned before are then stale.
RULES_VERSION: Final = 2
# Both only grow, so their sum never comes back to a value that it had.
CODE_VERSION: Final = str(RULES_VERSION + COLUMNS_VERSION)

FIRST_MOMENT: Final = datetime.fromisoformat("2000-01-01")


@dataclass(frozen=True)
class Rule:
    """A rule that a record must keep.

    Args:
        reason: The code of the reason in the quarantine.
        field: The key of the record that the rule is about; ``record`` for the whole record.
        is_broken: For each row, whether the record breaks the rule.
    """

    reason: str
    field: str
    is_broken: Callable[[Rows], Flags]


def _has_impossible_moment(rows: Rows) -> Flags:
    is_possible = (rows.created_at >= np.datetime64(FIRST_MOMENT)) & (
        rows.created_at < np.datetime64(rows.tomorrow)
    )
    return ~is_possible


def _has_unstorable(name: str) -> Callable[[Rows], Flags]:
    return lambda rows: ~rows.is_storable(name)


RULES: Final = (
    Rule("not_an_object", "record", lambda rows: ~rows.is_object),
    Rule("too_large", "record", lambda rows: rows.is_too_large),
    Rule("too_deep", "record", lambda rows: rows.is_too_deep),
    Rule("user_id_invalid", "lti_user_id", lambda rows: ~rows.is_user_id),
    Rule("passback_params_invalid", "passback_params", lambda rows: ~rows.passback.is_readable),
    Rule("attempt_type_invalid", "attempt_type", lambda rows: ~(rows.is_run | rows.is_submit)),
    Rule("is_correct_invalid", "is_correct", lambda rows: rows.verdict == UNKNOWN_VERDICT),
    Rule("run_with_verdict", "is_correct", lambda rows: rows.is_run & (rows.verdict != NO_VERDICT)),
    Rule("created_at_invalid", "created_at", _has_impossible_moment),
    *(Rule("text_invalid", column.field, _has_unstorable(column.name)) for column in TEXT_COLUMNS),
)


def broken_rules(rows: Rows) -> npt.NDArray[np.int64]:
    """For each record, the place in ``RULES`` of the first rule that it breaks; -1 for none."""
    return np.select([rule.is_broken(rows) for rule in RULES], list(range(len(RULES))), default=-1)
