"""Each record of a chunk gets exactly one fate.

A record has the first of these fates that applies:

    erased              its student was erased
    rejected            it breaks a rule; the first broken rule is the reason
    outside the window  its ``created_at`` is not in the window
    duplicate           its key occurred before in the same answer
    kept                it is an attempt

The counts of all fates add up to the number of records received.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from lms_assets.attempts.cleaning.fields import NO_VERDICT, as_text
from lms_assets.attempts.cleaning.owners import Tombstones, is_erased
from lms_assets.attempts.cleaning.rows import Flags, Places, Rows, UsualRows, usual_among
from lms_assets.attempts.cleaning.rules import RULES, Rule, broken_rules
from lms_assets.attempts.cleaning.seen import Seen, keys_of
from lms_assets.attempts.columns import ARROW_SCHEMA, KNOWN_KEYS, PASSBACK_FIELDS, REJECTED_SCHEMA
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.watch import Watch, few_names, printable_name
from lms_assets.days import Window
from lms_assets.resources.records import ascii_text, record_chunks


@dataclass(frozen=True)
class CleanedChunk:
    """The attempts, the rejected records and the counts of one chunk.

    Args:
        attempts: The kept attempts in the order received, with the columns and types of
            ``columns.py``.
        rejected: One row per rejected record: ``reason``, ``field``, ``record`` (the whole
            record as received, in printable ASCII).
        fates: The number of records with each fate. Kept attempts count as ``unchanged`` until
            the merge.
        watch: The number of records with each oddity.
    """

    attempts: pa.Table
    rejected: pa.Table
    fates: Fates
    watch: Watch


def clean_answer(
    body: BinaryIO,
    *,
    window: Window,
    tomorrow: datetime,
    tombstones: Tombstones | None = None,
) -> Iterator[CleanedChunk]:
    """The cleaned chunks of an answer's bytes, as in :func:`clean_day`.

    Raises:
        NotAnArray: The bytes are not one JSON array. Raised during the iteration, after the
            chunks before the problem.
    """
    chunks = record_chunks(body)
    return clean_day(chunks, window=window, tomorrow=tomorrow, tombstones=tombstones)


def clean_day(
    chunks: Iterable[list[bytes]],
    *,
    window: Window,
    tomorrow: datetime,
    tombstones: Tombstones | None = None,
) -> Iterator[CleanedChunk]:
    """The cleaned chunks of one window; each attempt is kept once.

    Of earlier chunks only hashes stay in memory, 24 bytes per attempt: 24 MB for a day of a
    million attempts.

    Args:
        chunks: Records as received, from an answer or from the quarantine.
        window: Half-open, naive UTC.
        tomorrow: Naive UTC. A record made at this instant or later breaks a rule.
        tombstones: The erased students, whose records are dropped; None if there are none.
    """
    seen = Seen()
    for records in chunks:
        judged = [_JudgedRows(*part, window, tombstones) for part in _parts(records, tomorrow)]
        yield _cleaned_chunk(judged, seen)


def _parts(records: list[bytes], tomorrow: datetime) -> list[tuple[Places, Rows]]:
    """The records of the usual kind and all other records, with their places in the chunk."""
    usual, others = usual_among(records)
    places = np.delete(np.arange(len(records)), others)
    usual_records = [records[place] for place in places] if others else records
    parts: list[tuple[Places, Rows]] = [
        (places, UsualRows(usual_records, tomorrow, decoded=usual)),
    ]
    if others:
        rows = Rows([records[place] for place in others], tomorrow)
        parts.append((np.array(others, dtype=np.intp), rows))
    return parts


class _JudgedRows:
    """Records with the part of their fates that does not depend on other records of the day."""

    def __init__(
        self, places: Places, rows: Rows, window: Window, tombstones: Tombstones | None
    ) -> None:
        self.places = places
        self.rows = rows
        self.is_erased = is_erased(rows, tombstones)
        self._reason = broken_rules(rows)
        self.is_rejected = ~self.is_erased & (self._reason >= 0)
        is_good = ~self.is_erased & ~self.is_rejected
        is_inside = is_good & _is_inside(window, rows.created_at)
        self.inside = np.flatnonzero(is_inside)
        self.outside = int((is_good & ~is_inside).sum())

    def rejections(self) -> list[tuple[int, Rule, bytes]]:
        """The place, the broken rule and the bytes of each rejected record."""
        return [
            (self.places[row], RULES[self._reason[row]], self.rows.records[row])
            for row in np.flatnonzero(self.is_rejected)
        ]


def _cleaned_chunk(judged: list[_JudgedRows], seen: Seen) -> CleanedChunk:
    is_first, conflicting = _first_of_their_keys(judged, seen)
    kept = [part.inside[first] for part, first in zip(judged, is_first, strict=True)]
    rejected = _rejected_table(judged)
    inside = sum(len(part.inside) for part in judged)
    fates = Fates(
        received=sum(len(part.places) for part in judged),
        unchanged=sum(map(len, kept)),
        duplicates=inside - sum(map(len, kept)),
        conflicting=conflicting,
        outside_window=sum(part.outside for part in judged),
        erased=sum(int(part.is_erased.sum()) for part in judged),
        rejected=dict(Counter(rejected.column("reason").to_pylist())),
    )
    watch = Watch()
    for part, rows in zip(judged, kept, strict=True):
        watch += _oddities(part.rows, rows) + _drift(part.rows, ~part.is_erased)
    return CleanedChunk(_attempts(judged, kept), rejected, fates, watch)


def _first_of_their_keys(judged: list[_JudgedRows], seen: Seen) -> tuple[list[Flags], int]:
    """Which attempts of each part are the first of their key; how many repeats differ from it."""
    order = np.argsort(np.concatenate([part.places[part.inside] for part in judged]))
    keys = np.concatenate([keys_of(part.rows, part.inside) for part in judged])
    prints = np.concatenate([part.rows.fingerprint[part.inside] for part in judged])
    is_first = np.empty(len(order), dtype=bool)
    is_first[order], is_conflicting = seen.admit(keys[order], prints[order])
    ends = np.cumsum([len(part.inside) for part in judged])
    return np.split(is_first, ends[:-1]), int(is_conflicting.sum())


def _is_inside(window: Window, moments: npt.NDArray[np.datetime64]) -> Flags:
    return (moments >= np.datetime64(window.start)) & (moments < np.datetime64(window.end))


def _attempts(judged: list[_JudgedRows], kept: list[Places]) -> pa.Table:
    """The attempts of all parts, in the order received."""
    tables = [_table(part.rows, rows) for part, rows in zip(judged, kept, strict=True)]
    table = pa.concat_tables(tables)
    if all(part_table.num_rows == 0 for part_table in tables[1:]):
        return table
    places = [part.places[rows] for part, rows in zip(judged, kept, strict=True)]
    return table.take(pa.array(np.argsort(np.concatenate(places))))


def _table(rows: Rows, places: Places) -> pa.Table:
    columns = [rows.array(name, places) for name in ARROW_SCHEMA.names]
    return pa.table(columns, schema=ARROW_SCHEMA)


def _rejected_table(judged: list[_JudgedRows]) -> pa.Table:
    """The rejected records of all parts, in the order received."""
    rejections = sorted(
        (rejection for part in judged for rejection in part.rejections()),
        key=lambda rejection: rejection[0],
    )
    columns = [
        [rule.reason for _, rule, _ in rejections],
        [rule.field for _, rule, _ in rejections],
        [ascii_text(record) for _, _, record in rejections],
    ]
    return pa.table(columns, schema=REJECTED_SCHEMA)


def _oddities(rows: Rows, kept: Places) -> Watch:
    """The number of kept attempts with each oddity."""
    user = rows.passback.texts("sourcedid_user")
    ids = {text: number for number, text in enumerate(rows.user.distinct)}
    named = np.array([*(ids.get(text, -2) for text in user.distinct), -1])[user.codes]
    is_other = (named != -1) & (named != rows.user.codes)
    has_passback = np.any([rows.passback.is_present(name) for name in PASSBACK_FIELDS], axis=0)
    return Watch(
        ungraded=int((rows.is_submit & (rows.verdict == NO_VERDICT))[kept].sum()),
        user_mismatch=int(is_other[kept].sum()),
        without_task=int((~rows.passback.is_present("task"))[kept].sum()),
        null_passback=int((~has_passback)[kept].sum()),
    )


def _drift(rows: Rows, is_counted: Flags) -> Watch:
    """The keys and attempt types that the API's contract does not name."""
    if isinstance(rows, UsualRows):
        return Watch()
    keys: Counter[str] = Counter()
    objects = [rows.objects[place] for place in np.flatnonzero(is_counted)]
    for names, count in Counter(map(tuple, objects)).items():
        keys.update({printable_name(name): count for name in names if name not in KNOWN_KEYS})
    is_odd = is_counted & rows.is_object & ~(rows.is_run | rows.is_submit)
    kinds = Counter(printable_name(as_text(kind) or "null") for kind in rows.attempt_type[is_odd])
    return Watch(unknown_keys=few_names(keys), unknown_attempt_types=few_names(kinds))
