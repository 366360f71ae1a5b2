"""Each key is admitted once, whatever the order and the chunks in which the keys come."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lms_assets.attempts.cleaning.seen import Seen

# Halves of few values, so that many keys agree in one half and differ in the other.
HALVES = st.sampled_from([b"\1" * 8, b"\1" * 7 + b"\2", b"\xff" * 8, b"\2" * 8])
KEYS = st.tuples(HALVES, HALVES).map(b"".join)
CHUNKS = st.lists(st.lists(st.tuples(KEYS, st.integers(1, 2)), min_size=1), max_size=6)


@given(CHUNKS)
def test_the_first_of_each_key_is_admitted_and_a_repeat_is_compared_with_it(
    chunks: list[list[tuple[bytes, int]]],
) -> None:
    seen = Seen()
    first: dict[bytes, int] = {}
    for chunk in chunks:
        keys = np.array([key for key, _ in chunk], dtype="S16")
        is_first, is_conflicting = seen.admit(keys, np.array([number for _, number in chunk]))
        expected = []
        for key, number in chunk:
            is_new = key not in first
            expected.append((is_new, not is_new and first[key] != number))
            first.setdefault(key, number)
        assert list(zip(is_first.tolist(), is_conflicting.tolist(), strict=True)) == expected
