"""A column of ``created_at`` is read at once where the texts have the API's usual form."""

import numpy as np
import numpy.typing as npt

from lms_assets.attempts.cleaning.fields import moment_of

Moments = npt.NDArray[np.datetime64]

_MICROSECONDS = np.array([3_600_000_000, 60_000_000, 1_000_000], dtype=np.int64)


def moments_of(texts: list[str]) -> Moments:
    """The result of ``moment_of`` for each text, as microseconds in UTC; NaT for None.

    Texts such as ``2025-07-24 10:00:00`` and ``2025-07-24 10:00:00.123456`` are read together as
    a matrix of digits. All other texts are read one by one.
    """
    lengths = np.fromiter(map(len, texts), dtype=np.intp, count=len(texts))
    moments = np.full(len(texts), np.datetime64("NaT", "us"))
    is_read = np.zeros(len(texts), dtype=bool)
    for length in (19, 26):
        places = np.flatnonzero(lengths == length)
        # A character beyond ASCII becomes a question mark, which no usual text has.
        spelled = "".join([texts[place] for place in places]).encode("ascii", "replace")
        characters = np.frombuffer(spelled, dtype=np.uint8).reshape(-1, length)
        usual, is_usual = _usual_moments(characters)
        moments[places[is_usual]] = usual[is_usual]
        is_read[places[is_usual]] = True
    for place in np.flatnonzero(~is_read):
        moment = moment_of(texts[place])
        if moment is not None:
            moments[place] = np.datetime64(moment, "us")
    return moments


def _usual_moments(spelled: npt.NDArray[np.uint8]) -> tuple[Moments, npt.NDArray[np.bool_]]:
    """The instant of each row of characters, and which rows have the usual form.

    The instant of a row without the usual form means nothing.
    """
    length = spelled.shape[1]
    is_sign = np.isin(np.arange(length), (4, 7, 10, 13, 16, 19))
    digits = spelled - np.uint8(ord("0"))
    signs = spelled[:, is_sign]
    is_usual = (digits[:, ~is_sign] <= 9).all(axis=1)
    is_usual &= (signs[:, :2] == ord("-")).all(axis=1) & (signs[:, 3:5] == ord(":")).all(axis=1)
    is_usual &= (signs[:, 2] == ord(" ")) | (signs[:, 2] == ord("T"))
    is_usual &= (signs[:, 5:] == ord(".")).all(axis=1)
    year, month, day, *clock = (_number(digits, *part) for part in _PARTS)
    first = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
    days = ((first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")).astype(np.int64)
    is_usual &= (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= days)
    is_usual &= (clock[0] < 24) & (clock[1] < 60) & (clock[2] < 60)
    since_midnight = np.stack(clock, axis=1) @ _MICROSECONDS + _number(digits, 20, length)
    date = first.astype("datetime64[D]") + (day - 1).astype("timedelta64[D]")
    return date.astype("datetime64[us]") + since_midnight.astype("timedelta64[us]"), is_usual


_PARTS = ((0, 4), (5, 7), (8, 10), (11, 13), (14, 16), (17, 19))


def _number(digits: npt.NDArray[np.uint8], start: int, end: int) -> npt.NDArray[np.int64]:
    number = np.zeros(len(digits), dtype=np.int64)
    for place in range(start, end):
        number = number * 10 + digits[:, place]
    return number
