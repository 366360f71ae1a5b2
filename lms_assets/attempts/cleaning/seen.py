"""The attempts of a day that were kept so far, as hashes."""

import hashlib

import numpy as np
import numpy.typing as npt

from lms_assets.attempts.cleaning.rows import Flags, Rows

Halves = npt.NDArray[np.uint64]


def keys_of(rows: Rows, places: npt.NDArray[np.intp]) -> npt.NDArray[np.bytes_]:
    """A 128-bit number for the key of each attempt at the given places.

    The number is the hash of the user id, to which instant and type are added.
    """
    # Records with an id that is no UTF-8 are rejected, but the codes of the texts count them too.
    digests = b"".join(
        hashlib.blake2b(user_id.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        for user_id in rows.user.distinct
    )
    keys = np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)[rows.user.codes[places]]
    instants = rows.created_at[places].astype(np.int64) * 2 + rows.is_submit[places]
    keys[:, 0] += instants.astype(np.uint64)
    return keys.view("S16").ravel()


class Seen:
    """The attempts kept so far, each as a hash of its key and a hash of its other fields.

    24 bytes per attempt, sorted by key. The two halves of a key are numbers in columns of their
    own, because numbers are found faster than texts of 16 bytes.
    """

    def __init__(self) -> None:
        self._firsts = np.empty(0, dtype=np.uint64)
        self._seconds = np.empty(0, dtype=np.uint64)
        self._fingerprints = np.empty(0, dtype=np.int64)

    def admit(
        self, keys: npt.NDArray[np.bytes_], fingerprints: npt.NDArray[np.int64]
    ) -> tuple[Flags, Flags]:
        """The attempts are added.

        Returns:
            Which attempts are the first of their key, and which repeats differ from the first.
        """
        distinct, first, which = np.unique(keys, return_index=True, return_inverse=True)
        firsts, seconds = distinct.view(">u8").astype(np.uint64).reshape(-1, 2).T
        place, is_known = self._found(firsts, seconds)
        original = fingerprints[first]
        original[is_known] = self._fingerprints[place[is_known]]
        is_first = np.zeros(len(keys), dtype=bool)
        is_first[first[~is_known]] = True
        new = place[~is_known]
        self._firsts = np.insert(self._firsts, new, firsts[~is_known])
        self._seconds = np.insert(self._seconds, new, seconds[~is_known])
        self._fingerprints = np.insert(self._fingerprints, new, original[~is_known])
        return is_first, ~is_first & (fingerprints != original[which])

    def _found(self, firsts: Halves, seconds: Halves) -> tuple[npt.NDArray[np.intp], Flags]:
        """The place of each key, or where it would be inserted; and which keys are there."""
        places = np.searchsorted(self._firsts, firsts)
        while True:
            has_first = places < len(self._firsts)
            has_first[has_first] = self._firsts[places[has_first]] == firsts[has_first]
            there = np.zeros_like(seconds)
            there[has_first] = self._seconds[places[has_first]]
            is_before = has_first & (there < seconds)
            if not is_before.any():
                return places, has_first & (there == seconds)
            places += is_before
