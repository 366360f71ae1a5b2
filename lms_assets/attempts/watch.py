"""What is odd about a day's records without being wrong: numbers that are watched over time."""

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
    """What was odd about records.

    Attributes:
        ungraded: Submits kept that have no verdict.
        user_mismatch: Attempts kept whose sourcedid names another user.
        without_task: Attempts kept whose task cannot be read.
        null_passback: Attempts kept without ``passback_params``.
        unknown_keys: Name of a key that the contract does not know → records that were
            not erased. Printable ASCII, at most 50 names.
        unknown_attempt_types: Likewise.
    """

    ungraded: int = 0
    user_mismatch: int = 0
    without_task: int = 0
    null_passback: int = 0
    unknown_keys: Mapping[str, int] = field(default_factory=dict)
    unknown_attempt_types: Mapping[str, int] = field(default_factory=dict)

    def __add__(self, other: "Watch") -> "Watch":
        """Both together."""
        numbers: dict[str, Any] = {
            name: getattr(self, name) + getattr(other, name) for name in _NUMBERS
        }
        names: dict[str, Any] = {
            name: few_names(Counter(getattr(self, name)) + Counter(getattr(other, name)))
            for name in _BY_NAME
        }
        return Watch(**numbers, **names)

    def as_json(self) -> dict[str, Any]:
        """Each number by its name, as the ledger keeps them."""
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        return numbers | {name: dict(getattr(self, name)) for name in _BY_NAME}


_BY_NAME = ("unknown_keys", "unknown_attempt_types")
_NUMBERS = tuple(each.name for each in fields(Watch) if each.name not in _BY_NAME)


def few_names(counts: Mapping[str, int]) -> dict[str, int]:
    """The counts by at most 50 names; those of all further names under one."""
    few: Counter[str] = Counter()
    for name, count in counts.items():
        few[name if name in few or len(few) < _MAX_NAMES else OTHER_NAMES] += count
    return dict(few)


def printable_name(text: str) -> str:
    """The text's first 40 characters in printable ASCII."""
    return json.dumps(text[:_MAX_NAME_LENGTH])[1:-1]
