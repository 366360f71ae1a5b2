"""The attempts of a day that were kept so far, as hashes."""

import hashlib

import numpy as np
import numpy.typing as npt

from lms_assets.attempts.cleaning.rows import Flags, Rows


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
    """The attempts kept so far, each as a hash of its key and a hash of its other fields."""

    def __init__(self) -> None:
        self._keys = np.empty(0, dtype="S16")
        # The first half of each key as a number, which is compared faster than the whole key.
        self._halves = np.empty(0, dtype=np.uint64)
        self._fingerprints = np.empty(0, dtype=np.int64)

    def admit(
        self, keys: npt.NDArray[np.bytes_], fingerprints: npt.NDArray[np.int64]
    ) -> tuple[Flags, Flags]:
        """The attempts are added.

        Returns:
            Which attempts are the first of their key, and which repeats differ from the first.
        """
        distinct, first, which = np.unique(keys, return_index=True, return_inverse=True)
        place = self._places(distinct)
        is_known = place < len(self._keys)
        is_known[is_known] = self._keys[place[is_known]] == distinct[is_known]
        original = fingerprints[first]
        original[is_known] = self._fingerprints[place[is_known]]
        is_first = np.zeros(len(keys), dtype=bool)
        is_first[first[~is_known]] = True
        new = place[~is_known]
        self._keys = np.insert(self._keys, new, distinct[~is_known])
        self._halves = np.insert(self._halves, new, _halves(distinct[~is_known]))
        self._fingerprints = np.insert(self._fingerprints, new, original[~is_known])
        return is_first, ~is_first & (fingerprints != original[which])

    def _places(self, keys: npt.NDArray[np.bytes_]) -> npt.NDArray[np.intp]:
        """The place of each key among the sorted keys, or the place where it would be inserted."""
        halves = _halves(keys)
        places = np.searchsorted(self._halves, halves)
        is_unclear = places < len(self._halves)
        is_unclear[is_unclear] = self._halves[places[is_unclear]] == halves[is_unclear]
        places[is_unclear] = np.searchsorted(self._keys, keys[is_unclear])
        return places


def _halves(keys: npt.NDArray[np.bytes_]) -> npt.NDArray[np.uint64]:
    return keys.view(">u8")[::2].astype(np.uint64)
