"""``passback_params`` of a chunk of records; each distinct text is read once.

The attempts of a student on a task usually have the same text, so there are far fewer texts than
attempts.
"""

import re
from functools import cached_property
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lms_assets.attempts.cleaning.fields import is_storable
from lms_assets.attempts.cleaning.passback import passback_of
from lms_assets.attempts.cleaning.sourcedid import CutSourcedid, cut_sourcedid, is_name
from lms_assets.attempts.columns import PASSBACK_FIELDS
from lms_assets.attempts.distinct import Texts, array_of

Flags = npt.NDArray[np.bool_]


class CutPassback(NamedTuple):
    """The fields of one text of ``passback_params``, with the parts of its sourcedid."""

    is_readable: bool
    oauth_consumer_key: str | None = None
    lis_result_sourcedid: str | None = None
    course: str | None = None
    task: str | None = None
    sourcedid_user: str | None = None
    lis_outcome_service_url: str | None = None


# Printable ASCII without characters that need or begin an escape. Names fit into an index. The
# groups stand in the order of the fields.
_USUAL = re.compile(
    r"\{'oauth_consumer_key': '([ -&(-\[\]-~]{0,512})',"
    r" 'lis_result_sourcedid': '(([ -$(-\[\]-z|}~]{1,512}):"
    r"([ -$(-9;-\[\]-z|}~]{1,512}):([ -$(-9;-\[\]-z|}~]+))'"
    r"(?:, 'lis_outcome_service_url': (?:'([ -&(-\[\]-~]*)'|None))?\}"
)


def cut_passback(text: str) -> tuple[Any, ...]:
    """The fields of the text in the order of ``CutPassback``; a usual text is cut faster.

    Python's garbage collector visits named tuples again and again, but plain ones only once.
    """
    usual = _USUAL.fullmatch(text)
    return (True, *usual.groups()) if usual else cut_by_rules(text)


def cut_by_rules(text: str) -> CutPassback:
    """The fields of any text.

    Course and task are None if ``oauth_consumer_key`` cannot be stored or is too long for an index.
    """
    is_readable, consumer_key, sourcedid, service_url = passback_of(text)
    course, task, user = CutSourcedid() if sourcedid is None else cut_sourcedid(sourcedid)
    if consumer_key and not is_name(consumer_key):
        course = task = None
    return CutPassback(is_readable, consumer_key, sourcedid, course, task, user, service_url)


class Passbacks:
    """``passback_params`` of each record of a chunk, cut into fields."""

    def __init__(self, texts: Texts) -> None:
        # A missing text has the code -1, so its fields stand in the last row.
        self._codes = texts.codes
        cut = [*map(cut_passback, texts.distinct), CutPassback(is_readable=True)]
        self._distinct = {
            name: list(map(itemgetter(place), cut))
            for place, name in enumerate(CutPassback._fields)
        }

    def texts(self, name: str) -> Texts:
        """The values of a field, one per record."""
        distinct = Texts.of(self._distinct[name])
        return Texts(distinct.codes[self._codes], distinct.distinct)

    def array(self, name: str, places: npt.NDArray[np.intp]) -> pa.Array:
        """The values of a field for the records at the given places."""
        places_of_texts = self._codes[places] % len(self._distinct[name])
        return array_of(self._distinct[name], places_of_texts)

    def is_storable(self, name: str) -> Flags:
        """For each record, whether PostgreSQL can store the value of the field."""
        texts = self._distinct[name]
        whole = "".join(filter(None, texts))
        if whole.isascii() and "\0" not in whole:
            return np.ones(len(self._codes), dtype=bool)
        return np.array([*map(is_storable, texts)], dtype=bool)[self._codes]

    def is_present(self, name: str) -> Flags:
        """For each record, whether the field has a value."""
        return np.array([value is not None for value in self._distinct[name]], bool)[self._codes]

    @cached_property
    def is_readable(self) -> Flags:
        """For each record, whether its text can be read; True for a missing text."""
        return np.array(self._distinct["is_readable"], dtype=bool)[self._codes]

    @cached_property
    def fingerprint(self) -> npt.NDArray[np.int64]:
        """A number per record, the hash of the three fields."""
        fields = zip(*(self._distinct[name] for name in PASSBACK_FIELDS), strict=True)
        return np.fromiter(map(hash, fields), dtype=np.int64)[self._codes]
