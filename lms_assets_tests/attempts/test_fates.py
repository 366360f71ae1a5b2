"""Every record has one fate, however records are counted, added and moved."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_assets.attempts.fates import Fates, UnbalancedError

COUNTS = st.integers(0, 10**9)


@st.composite
def fates(draw: st.DrawFn) -> Fates:
    names = ("inserted", "updated", "unchanged", "duplicates", "outside_window", "erased")
    numbers = {name: draw(COUNTS) for name in names}
    rejected = draw(st.dictionaries(st.sampled_from(["too_large", "text_invalid"]), COUNTS))
    received = sum(numbers.values()) + sum(rejected.values())
    conflicting = draw(st.integers(0, numbers["duplicates"]))
    return Fates(received=received, conflicting=conflicting, rejected=rejected, **numbers)


@given(fates(), fates())
def test_the_sum_of_two_answers_is_balanced_and_loses_no_record(one: Fates, other: Fates) -> None:
    both = one + other
    assert both.received == one.received + other.received
    assert both.kept == one.kept + other.kept
    assert both.rejected_in_all == one.rejected_in_all + other.rejected_in_all


@given(fates(), st.data())
def test_a_record_that_moves_leaves_one_fate_for_another(
    before: Fates, data: st.DataObject
) -> None:
    moving = data.draw(st.integers(0, before.unchanged))
    after = before.moved(moving, "unchanged", "rejected", reason_now="too_deep")
    assert after.received == before.received
    assert after.unchanged == before.unchanged - moving
    assert after.rejected.get("too_deep", 0) == moving
    back = after.moved(moving, "rejected", "unchanged", reason="too_deep")
    assert back.counters() == before.counters() | {
        "rejected": {why: n for why, n in before.rejected.items() if n}
    }


def test_a_record_without_a_fate_is_an_error() -> None:
    with pytest.raises(UnbalancedError):
        Fates(received=2, inserted=1)


def test_a_record_that_has_not_met_a_fate_cannot_leave_it() -> None:
    with pytest.raises(UnbalancedError):
        Fates(received=1, unchanged=1).moved(2, "unchanged", "erased")


def test_records_that_conflict_are_among_the_duplicates() -> None:
    with pytest.raises(UnbalancedError):
        Fates(received=1, duplicates=1, conflicting=2)
