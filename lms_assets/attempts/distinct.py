"""Texts by number, so that each distinct one is looked at once.

`pandas.factorize` compares texts as C strings and stops at NUL (pandas #34551): a
record's fate would depend on the texts beside it. Python's own equality does not.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt


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
