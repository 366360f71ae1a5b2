"""What becomes of each record: its one fate.

The fates, in this order: *erased* (its student asked to be forgotten), *rejected* (the first
rule that it breaks), *outside the window*, *duplicate*, *kept*. Their sum is what was received.
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
    """What became of one chunk of records.

    Args:
        attempts: The attempts kept, in the order received; columns and types as
            ``columns.py`` declares them.
        rejected: A row per record rejected: ``reason``, ``field``, ``record``
            (the whole record as received, in printable ASCII).
        fates: How many met which fate; the attempts are ``unchanged`` until they are merged.
        watch: What is odd about them.
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
    """The attempts of an answer's bytes, and what became of its other records; see ``clean_day``.

    Raises:
        NotAnArray: While iterating, after the chunks before the fault.
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
    """The attempts of one window, chunk by chunk, each once, and what became of the rest.

    A key met in an earlier chunk is known by its hash alone, about 24 bytes an
    attempt, so memory does not grow with the day.

    Args:
        chunks: Records as received; those of the quarantine will do as well.
        window: Half-open, UTC.
        tomorrow: The instant from which on an attempt cannot have been made yet.
        tombstones: Whose records are dropped wherever they come from.
    """
    seen = Seen()
    for records in chunks:
        judged = [_Judged(*part, window, tombstones) for part in _parts(records, tomorrow)]
        yield _cleaned(judged, seen)


def _parts(records: list[bytes], tomorrow: datetime) -> list[tuple[Places, Rows]]:
    """The records of the usual kind, and all others, each with its place in the chunk."""
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


class _Judged:
    """Records with all that is known of each without the others of its day."""

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

    def refused(self) -> list[tuple[int, Rule, bytes]]:
        """Place, rule broken, and the record, of each that is rejected."""
        return [
            (self.places[row], RULES[self._reason[row]], self.rows.records[row])
            for row in np.flatnonzero(self.is_rejected)
        ]


def _cleaned(judged: list[_Judged], seen: Seen) -> CleanedChunk:
    is_first, conflicting = _admitted(judged, seen)
    kept = [part.inside[first] for part, first in zip(judged, is_first, strict=True)]
    rejected = _rejected(judged)
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
        watch += _watched(part.rows, rows) + _drift(part.rows, ~part.is_erased)
    return CleanedChunk(_attempts(judged, kept), rejected, fates, watch)


def _admitted(judged: list[_Judged], seen: Seen) -> tuple[list[Flags], int]:
    """Which of each part's attempts are the first of their key; how many others differ from it."""
    order = np.argsort(np.concatenate([part.places[part.inside] for part in judged]))
    keys = np.concatenate([keys_of(part.rows, part.inside) for part in judged])
    prints = np.concatenate([part.rows.fingerprint[part.inside] for part in judged])
    is_first = np.empty(len(order), dtype=bool)
    is_first[order], is_conflicting = seen.admit(keys[order], prints[order])
    ends = np.cumsum([len(part.inside) for part in judged])
    return np.split(is_first, ends[:-1]), int(is_conflicting.sum())


def _is_inside(window: Window, moments: npt.NDArray[np.datetime64]) -> Flags:
    return (moments >= np.datetime64(window.start)) & (moments < np.datetime64(window.end))


def _attempts(judged: list[_Judged], kept: list[Places]) -> pa.Table:
    """The attempts of all parts, in the order received."""
    tables = [_table(part.rows, rows) for part, rows in zip(judged, kept, strict=True)]
    table = pa.concat_tables(tables)
    if all(one.num_rows == 0 for one in tables[1:]):
        return table
    places = [part.places[rows] for part, rows in zip(judged, kept, strict=True)]
    return table.take(pa.array(np.argsort(np.concatenate(places))))


def _table(rows: Rows, places: Places) -> pa.Table:
    columns = [rows.array(name, places) for name in ARROW_SCHEMA.names]
    return pa.table(columns, schema=ARROW_SCHEMA)


def _rejected(judged: list[_Judged]) -> pa.Table:
    """The refused records of all parts, in the order received."""
    refused = sorted((one for part in judged for one in part.refused()), key=lambda one: one[0])
    columns = [
        [rule.reason for _, rule, _ in refused],
        [rule.field for _, rule, _ in refused],
        [ascii_text(record) for _, _, record in refused],
    ]
    return pa.table(columns, schema=REJECTED_SCHEMA)


def _watched(rows: Rows, kept: Places) -> Watch:
    """What is odd about the attempts kept."""
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
    """Keys and attempt types that the contract does not know."""
    if isinstance(rows, UsualRows):
        return Watch()
    keys: Counter[str] = Counter()
    objects = [rows.objects[place] for place in np.flatnonzero(is_counted)]
    for names, count in Counter(map(tuple, objects)).items():
        keys.update({printable_name(name): count for name in names if name not in KNOWN_KEYS})
    is_odd = is_counted & rows.is_object & ~(rows.is_run | rows.is_submit)
    kinds = Counter(printable_name(as_text(kind) or "null") for kind in rows.attempt_type[is_odd])
    return Watch(unknown_keys=few_names(keys), unknown_attempt_types=few_names(kinds))
