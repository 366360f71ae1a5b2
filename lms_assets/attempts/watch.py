"""Oddities of a day's records that break no rule; checks compare their numbers with a threshold."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

_MAX_NAMES = 50
_MAX_NAME_LENGTH = 40
OTHER_NAMES: Final = "(other)"


@dataclass(frozen=True, kw_only=True)
class Watch:
    """The number of records with each oddity.

    Attributes:
        ungraded: Kept submits without a verdict.
        user_mismatch: Kept attempts whose sourcedid names another user than ``lti_user_id``.
        without_task: Kept attempts whose task cannot be read.
        null_passback: Kept attempts without any field of ``passback_params``.
        unknown_keys: Key that the API's contract does not name → number of records, without those
            of erased students. At most 50 keys, in printable ASCII; all others count together.
        unknown_attempt_types: Attempt type other than run and submit → number of records, with
            the same limits.
    """

    ungraded: int = 0
    user_mismatch: int = 0
    without_task: int = 0
    null_passback: int = 0
    unknown_keys: Mapping[str, int] = field(default_factory=dict)
    unknown_attempt_types: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "Watch") -> "Watch":
        """The sums of both."""
        numbers: dict[str, Any] = {
            name: getattr(self, name) + getattr(other, name) for name in _NUMBERS
        }
        names: dict[str, Any] = {
            name: few_names(Counter(getattr(self, name)) + Counter(getattr(other, name)))
            for name in _BY_NAME
        }
        return Watch(**numbers, **names)

    def as_json(self) -> dict[str, Any]:
        """Name → number, as the ledger stores them."""
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        return numbers | {name: dict(getattr(self, name)) for name in _BY_NAME}


_BY_NAME = ("unknown_keys", "unknown_attempt_types")
_NUMBERS = tuple(oddity.name for oddity in fields(Watch) if oddity.name not in _BY_NAME)


def few_names(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts of the first 50 names; those of all other names are added up as ``(other)``."""
    few: Counter[str] = Counter()
    for name, count in counts.items():
        few[name if name in few or len(few) < _MAX_NAMES else OTHER_NAMES] += count
    return dict(few)


def printable_name(text: str) -> str:
    """The first 40 characters of the text, escaped to printable ASCII."""
    return json.dumps(text[:_MAX_NAME_LENGTH])[1:-1]
