"""What becomes of each record: its one fate.

The fates, in this order: *erased* (its student asked to be forgotten), *rejected* (the first
rule that it breaks), *outside the window*, *duplicate*, *kept*. Their sum is what was received.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from lms_assets.attempts.cleaning.fields import NO_VERDICT, as_text
from lms_assets.attempts.cleaning.owners import Tombstones, is_erased
from lms_assets.attempts.cleaning.passback import PASSBACK_FIELDS
from lms_assets.attempts.cleaning.rows import Flags, Rows
from lms_assets.attempts.cleaning.rules import RULES, broken_rules
from lms_assets.attempts.cleaning.seen import Seen, fingerprints_of, keys_of
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.watch import Watch, few_names, printable_name
from lms_assets.days import Window
from lms_assets.resources.records import ascii_text, record_chunks

KNOWN_KEYS: Final = frozenset(
    {"lti_user_id", "passback_params", "is_correct", "attempt_type", "created_at"}
)

_TEXT: Final = "string[pyarrow]"


@dataclass(frozen=True)
class CleanedChunk:
    """What became of one chunk of records.

    Args:
        attempts: The attempts kept, in the order received; columns and types as
            ``schema.py`` declares them.
        rejected: A row per record rejected: ``reason``, ``field``, ``record``
            (the whole record as received, in printable ASCII).
        fates: How many met which fate; the attempts are ``unchanged`` until they are merged.
        watch: What is odd about them.
    """

    attempts: pd.DataFrame
    rejected: pd.DataFrame
    fates: Fates
    watch: Watch


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
        yield _cleaned(Rows(records, tomorrow), window, tombstones, seen)


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


def _cleaned(
    rows: Rows, window: Window, tombstones: Tombstones | None, seen: "Seen"
) -> CleanedChunk:
    erased = is_erased(rows, tombstones)
    reason = broken_rules(rows)
    is_rejected = ~erased & (reason >= 0)
    is_good = ~erased & ~is_rejected
    is_inside = is_good & _is_inside(window, rows.created_at)
    inside = np.flatnonzero(is_inside)
    is_first, is_conflicting = seen.admit(keys_of(rows, inside), fingerprints_of(rows, inside))
    kept = inside[is_first]
    rejected = _rejected(rows, np.flatnonzero(is_rejected), reason)
    fates = Fates(
        received=len(rows.records),
        unchanged=len(kept),
        duplicates=len(inside) - len(kept),
        conflicting=int(is_conflicting.sum()),
        outside_window=int((is_good & ~is_inside).sum()),
        erased=int(erased.sum()),
        rejected=dict(Counter(rejected["reason"])),
    )
    return CleanedChunk(
        attempts=_attempts(rows, kept),
        rejected=rejected,
        fates=fates,
        watch=_watched(rows, kept) + _drift(rows, ~erased),
    )


def _is_inside(window: Window, moments: npt.NDArray[np.datetime64]) -> Flags:
    return (moments >= np.datetime64(window.start)) & (moments < np.datetime64(window.end))


def _attempts(rows: Rows, places: npt.NDArray[np.intp]) -> pd.DataFrame:
    verdict = rows.verdict[places]
    said = {
        name: pd.array(rows.passback.column(name)[places], dtype=_TEXT)
        for name in (*PASSBACK_FIELDS, "course", "task")
    }
    return pd.DataFrame(
        {
            "user_id": pd.array(rows.user_id[places], dtype=_TEXT),
            **{name: said[name] for name in PASSBACK_FIELDS},
            "is_correct": pd.arrays.BooleanArray(verdict == 1, verdict == NO_VERDICT),
            "attempt_type": pd.array(rows.attempt_type[places], dtype=_TEXT),
            "created_at": rows.created_at[places],
            "course": said["course"],
            "task": said["task"],
        }
    )


def _rejected(
    rows: Rows, places: npt.NDArray[np.intp], reason: npt.NDArray[np.int64]
) -> pd.DataFrame:
    broken = [RULES[reason[place]] for place in places]
    columns = {
        "reason": [rule.reason for rule in broken],
        "field": [rule.field for rule in broken],
        "record": [ascii_text(rows.records[place]) for place in places],
    }
    return pd.DataFrame(columns, dtype=_TEXT)


def _watched(rows: Rows, kept: npt.NDArray[np.intp]) -> Watch:
    """What is odd about the attempts kept."""
    user = rows.passback.column("sourcedid_user")[kept]
    is_said = [pd.notna(rows.passback.column(name)[kept]) for name in PASSBACK_FIELDS]
    return Watch(
        ungraded=int((rows.is_submit & (rows.verdict == NO_VERDICT))[kept].sum()),
        user_mismatch=int((pd.notna(user) & (user != rows.user_id[kept])).sum()),
        without_task=int(pd.isna(rows.passback.column("task")[kept]).sum()),
        null_passback=int((~np.any(is_said, axis=0)).sum()),
    )


def _drift(rows: Rows, is_counted: Flags) -> Watch:
    """Keys and attempt types that the contract does not know."""
    keys: Counter[str] = Counter()
    said = [rows.objects[place] for place in np.flatnonzero(is_counted)]
    for names, count in Counter(map(tuple, said)).items():
        keys.update({printable_name(name): count for name in names if name not in KNOWN_KEYS})
    is_odd = is_counted & rows.is_object & ~(rows.is_run | rows.is_submit)
    kinds = Counter(printable_name(as_text(kind) or "null") for kind in rows.attempt_type[is_odd])
    return Watch(unknown_keys=few_names(keys), unknown_attempt_types=few_names(kinds))
