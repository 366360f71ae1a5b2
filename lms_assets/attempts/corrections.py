"""The books put right where records of a day changed their fate without a new pull."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from sqlalchemy import Connection, text

from lms_assets.attempts.ledger import Load, Pull, newest_load, record_load
from lms_assets.attempts.merge import STORED


@dataclass(frozen=True)
class Moved:
    """How many records left one fate for another; what they left equals what they joined.

    Attributes:
        from_rejected: Reason → records that are no longer refused for it.
        from_kept: Attempts that the table no longer holds.
        to_rejected: Reason → records that are now refused for it.
        inserted: Records that the table now holds and did not hold before.
        duplicates: Records whose key the table held already.
        conflicting: Those of ``duplicates`` that differ from what it holds.
        outside_window: Records of another day.
        erased: Records of students who were erased.
    """

    from_rejected: Mapping[str, int] = field(default_factory=dict)
    from_kept: int = 0
    to_rejected: Mapping[str, int] = field(default_factory=dict)
    inserted: int = 0
    duplicates: int = 0
    conflicting: int = 0
    outside_window: int = 0
    erased: int = 0


def correct_books(
    connection: Connection, day: date, moved: Moved, *, run_id: str, seconds: float
) -> Load | None:
    """The ledger's newest row of the day says where each record of its pull is now.

    A row is added, none is changed. It speaks of the same pull: the same received,
    checksum and code version, so that a day which the rules have left behind stays
    stale. Records that only an older pull held were never in its balance and do
    not enter it now.

    Args:
        connection: In a transaction that holds the day's lock.
        day: A loaded day.
        moved: What happened to its records.
        run_id: What the row is filed under.
        seconds: How long it took.

    Returns:
        The row, or None where nothing of the newest pull has moved.
    """
    newest = newest_load(connection, day)
    if newest is None:
        return None
    window = _window(connection, day)
    corrected = replace(
        corrected_load(newest, moved),
        stored=connection.scalar(text(STORED), window) or 0,
        run_id=run_id,
        stages={"correct_s": round(seconds, 3)},
    )
    if _fates(corrected) == _fates(newest):
        return None
    record_load(connection, _pull(corrected, window), corrected)
    return corrected


def corrected_load(newest: Load, moved: Moved) -> Load:
    """The newest pull's row with the moved records where they are now. Pure.

    More may have moved than the newest pull holds, since the quarantine and the table
    keep what older pulls brought. Of those it is assumed that they were repeats
    first, then of another day, then erased, and only then new to the table: new
    ones are in the table and not in the pull, which is what vanished means.
    """
    kept = newest.inserted + newest.updated + newest.unchanged
    left = {r: min(n, newest.rejected.get(r, 0)) for r, n in moved.from_rejected.items()}
    unkept = min(moved.from_kept, kept)
    older = sum(moved.from_rejected.values()) + moved.from_kept - sum(left.values()) - unkept
    joined = {
        "duplicates": moved.duplicates,
        "outside_window": moved.outside_window,
        "erased": moved.erased,
        **{f"rejected {reason}": n for reason, n in moved.to_rejected.items()},
        "inserted": moved.inserted,
    }
    entered = _without(joined, older)
    rejected = Counter(newest.rejected)
    rejected.subtract(left)
    rejected.update({reason: entered[f"rejected {reason}"] for reason in moved.to_rejected})
    duplicates = newest.duplicates + entered["duplicates"]
    strangers = moved.inserted - entered["inserted"] - (moved.from_kept - unkept)
    return replace(
        newest,
        inserted=entered["inserted"],
        updated=0,
        unchanged=kept - unkept,
        duplicates=duplicates,
        conflicting=min(newest.conflicting + moved.conflicting, duplicates),
        outside_window=newest.outside_window + entered["outside_window"],
        erased=newest.erased + entered["erased"],
        rejected={reason: n for reason, n in sorted(rejected.items()) if n},
        vanished=max(0, newest.vanished + strangers),
    )


def _fates(load: Load) -> tuple[object, ...]:
    """What the row says of its records, however the kept ones came to be there."""
    kept = load.inserted + load.updated + load.unchanged
    counters = load.counters() | {"inserted": kept, "updated": 0, "unchanged": 0}
    return (*counters.values(), load.stored)


def _without(counts: Mapping[str, int], total: int) -> dict[str, int]:
    """The counts with ``total`` taken off, from the first of them on."""
    rest: dict[str, int] = {}
    for name, count in counts.items():
        taken = min(count, total)
        rest[name] = count - taken
        total -= taken
    return rest


def _window(connection: Connection, day: date) -> dict[str, object]:
    statement = """
        select window_start as start, window_end as end, zone
        from load_ledger where day = :day order by id desc limit 1
    """
    return dict(connection.execute(text(statement), {"day": day}).mappings().one())


def _pull(load: Load, window: Mapping[str, object]) -> Pull:
    """The load as the ledger takes it; it brings no objects of the lake."""
    return Pull(
        day=load.day,
        received=load.received,
        duplicates=load.duplicates,
        conflicting=load.conflicting,
        outside_window=load.outside_window,
        erased=load.erased,
        rejected=load.rejected,
        watch=load.watch,
        checksum=load.checksum,
        code_version=load.code_version,
        window_start=window["start"],  # type: ignore[arg-type]
        window_end=window["end"],  # type: ignore[arg-type]
        zone=str(window["zone"]),
        attempts_key="",
        rejected_key="",
    )
