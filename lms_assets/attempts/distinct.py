"""Texts by number, so that each distinct one is looked at once.

`pandas.factorize` compares texts as C strings and stops at NUL (pandas #34551): a
record's fate would depend on the texts beside it. Python's own equality does not.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def numbered(texts: Iterable[str | None]) -> tuple[npt.NDArray[np.intp], list[str]]:
    """The number of each text, and the distinct texts by their numbers.

    A missing text has the number -1, which is the place of the last row.
    """
    asked = list(texts)
    distinct = dict.fromkeys(asked)
    distinct.pop(None, None)
    place: dict[str | None, int] = {text: number for number, text in enumerate(distinct)}
    place[None] = -1
    codes = np.fromiter(map(place.__getitem__, asked), dtype=np.intp, count=len(asked))
    return codes, [text for text in distinct if text is not None]


@dataclass(frozen=True)
class Texts:
    """A column of texts, each distinct one kept once.

    Attributes:
        codes: The number of each row's text; -1 where it is missing.
        distinct: The texts by their numbers.
    """

    codes: npt.NDArray[np.intp]
    distinct: list[str]

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> Self:
        """The texts as a column."""
        return cls(*numbered(texts))

    def flags(self, holds: Callable[[str], bool], *, missing: bool) -> npt.NDArray[np.bool_]:
        """For each row, what holds of its text; ``missing`` where it has none."""
        return np.fromiter([*map(holds, self.distinct), missing], dtype=np.bool_)[self.codes]

    def array(self, places: npt.NDArray[np.intp]) -> pa.Array:
        """The texts of some rows, in their order; null where one is missing or no UTF-8."""
        return taken(self.distinct, self.codes[places])


def taken(values: list[str | None] | list[str], codes: npt.NDArray[np.intp]) -> pa.Array:
    """The values by number as one array; null for a text that is no UTF-8 and for -1."""
    try:
        texts = pa.array(values, pa.string())
    except UnicodeEncodeError:
        texts = pa.array([text if is_utf8(text) else None for text in values], pa.string())
    return texts.take(pa.array(codes, mask=codes < 0))


def is_utf8(text: str | None) -> bool:
    """Whether UTF-8 can hold it: it has no lone surrogate."""
    if text is None:
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
