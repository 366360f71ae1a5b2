"""The next item is made while this one is used; order, errors and ends are as without."""

import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_assets.ahead import ahead


@given(st.lists(st.one_of(st.none(), st.integers())))
def test_items_come_in_their_order_and_whole(items: list[int | None]) -> None:
    assert list(ahead(items)) == items


def test_the_next_item_is_made_while_one_is_used_and_no_other() -> None:
    made = [threading.Event() for _ in range(4)]

    def making() -> Iterator[int]:
        for number, event in enumerate(made):
            event.set()
            yield number

    for number in ahead(making()):
        if number < 3:
            assert made[number + 1].wait(timeout=30)
        if number < 2:
            assert not made[number + 2].is_set()


def test_an_error_comes_where_its_item_would() -> None:
    def making() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("the third")

    used: list[int] = []
    with pytest.raises(ValueError, match="the third"):
        used.extend(item for item in ahead(making()))
    seen = ahead(making())
    assert (next(seen), next(seen)) == (1, 2)


def test_a_caller_that_stops_early_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    items = ahead(range(100))
    assert next(items) == 0
    items.close()  # type: ignore[attr-defined] - a generator
    assert threading.active_count() == before
