"""An iterator that makes the next item in a thread while its caller uses the present one."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The items in their order; a thread makes each item while the caller uses the one before.

    This saves time where the maker or the caller works without Python's lock: Arrow, compression,
    a database. At most one finished item waits. An error in making an item is raised where the
    caller takes that item. A caller that stops early waits for the item that is being made.
    """
    making = iter(items)
    with ThreadPoolExecutor(max_workers=1) as maker:
        coming = maker.submit(_next_item, making)
        while item := coming.result():
            coming = maker.submit(_next_item, making)
            yield from item


def _next_item(items: Iterator[T]) -> list[T]:
    """One item, or none at the end."""
    return list(islice(items, 1))
