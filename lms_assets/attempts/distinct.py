"""A column of texts as numbers, so that each distinct text is looked at once.

`pandas.factorize` is not used: it compares texts as C strings, which end at NUL (pandas #34551),
so the fate of a record would depend on other records. Python compares whole texts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def numbered(texts: Iterable[str | None]) -> tuple[npt.NDArray[np.intp], list[str]]:
    """The number of each text, and the distinct texts in the order of their numbers.

    A missing text has the number -1. Example: ``["b", None, "a", "b"]`` gives the numbers
    0, -1, 1, 0 and the texts ``["b", "a"]``.
    """
    column = list(texts)
    distinct = dict.fromkeys(column)
    distinct.pop(None, None)
    numbers: dict[str | None, int] = {text: number for number, text in enumerate(distinct)}
    numbers[None] = -1
    codes = np.fromiter(map(numbers.__getitem__, column), dtype=np.intp, count=len(column))
    return codes, [text for text in distinct if text is not None]


@dataclass(frozen=True)
class Texts:
    """A column of texts that holds each distinct text once.

    Attributes:
        codes: The number of each row's text; -1 if it is missing.
        distinct: The distinct texts, in the order of their numbers.
    """

    codes: npt.NDArray[np.intp]
    distinct: list[str]

    @classmethod
    def of(cls, texts: Iterable[str | None]) -> Self:
        """The texts as a column."""
        return cls(*numbered(texts))

    def flags(self, holds: Callable[[str], bool], *, missing: bool) -> npt.NDArray[np.bool_]:
        """For each row, the result of ``holds`` for its text; ``missing`` if it has none."""
        return np.fromiter([*map(holds, self.distinct), missing], dtype=np.bool_)[self.codes]

    def array(self, places: npt.NDArray[np.intp]) -> pa.Array:
        """The texts of the rows at the given places; null if a text is missing or no UTF-8."""
        return array_of(self.distinct, self.codes[places])


def array_of(values: list[str | None] | list[str], codes: npt.NDArray[np.intp]) -> pa.Array:
    """The values with the given numbers; null for a text that is no UTF-8 and for -1."""
    try:
        texts = pa.array(values, pa.string())
    except UnicodeEncodeError:
        texts = pa.array([text if is_utf8(text) else None for text in values], pa.string())
    return texts.take(pa.array(codes, mask=codes < 0))


def is_utf8(text: str | None) -> bool:
    """Whether UTF-8 can encode the text: it has no lone surrogate."""
    if text is None:
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
