"""Two cores for a line of work: the next item is made while this one is used."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T]) -> Iterator[T]:
    """The items in their order; a thread makes each while the one before it is used.

    It pays where either side works without Python's lock: Arrow, compression, a database. No more
    than one item waits. What goes wrong in making an item is raised where that item would come;
    whoever stops early waits for the one that is being made.
    """
    making = iter(items)
    with ThreadPoolExecutor(max_workers=1) as maker:
        coming = maker.submit(_the_next, making)
        while one := coming.result():
            coming = maker.submit(_the_next, making)
            yield from one


def _the_next(items: Iterator[T]) -> list[T]:
    """One item, or none at the end."""
    return list(islice(items, 1))
