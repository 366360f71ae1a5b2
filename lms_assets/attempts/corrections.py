"""The ledger is corrected when records of a day change their fate without a new pull."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date

from sqlalchemy import Connection, text

from lms_assets.attempts.fates import Fates, Place
from lms_assets.attempts.ledger import Load, Pull, newest_load, record_load
from lms_assets.attempts.merge import STORED


def correct_books(
    connection: Connection,
    day: date,
    *,
    left: Fates,
    joined: Fates,
    run_id: str,
    seconds: float,
) -> Load | None:
    """The ledger's newest row of the day has the current fates of its pull's records.

    A row is added; no row is changed. The new row repeats the number received, the checksum and
    the code version of the newest pull. So a day that older rules cleaned is still stale. Records
    that only older pulls had are not counted, neither before nor now.

    Example: the newest pull received 10 records and 2 were rejected. A replay accepts one of the
    2. The new row has 10 received, 1 rejected.

    Args:
        connection: In a transaction that holds the day's lock.
        day: The day.
        left: The earlier fates of the records that changed.
        joined: The new fates of the same records.
        run_id: The Dagster run, or another id of the work.
        seconds: The duration of the work.

    Returns:
        The new row; None if the day is not loaded or no record of its newest pull changed.
    """
    newest = newest_load(connection, day)
    if newest is None:
        return None
    window = _window(connection, day)
    corrected = replace(
        newest,
        fates=corrected_fates(newest.fates, left=left, joined=joined),
        stored=connection.scalar(text(STORED), window) or 0,
        run_id=run_id,
        stages={"correct_s": round(seconds, 3)},
    )
    if (corrected.fates.settled, corrected.stored) == (newest.fates.settled, newest.stored):
        return None
    record_load(connection, _pull(corrected, window), corrected)
    return corrected


def corrected_fates(newest: Fates, *, left: Fates, joined: Fates) -> Fates:
    """The newest pull's fates after some records changed their fate; pure.

    The quarantine and the table also hold records of older pulls, so more records may have changed
    than the newest pull has. Nobody knows which records are the surplus. They are taken from the
    new fates in this order: duplicates, outside the window, erased, rejected, inserted. A surplus
    record that was inserted is in the table but not in the newest pull, so it counts as vanished.
    """
    before = newest.settled
    leaving = {p: min(n, before.places().get(p, 0)) for p, n in left.places().items()}
    surplus = left.received - sum(leaving.values())
    joining = _without({place: joined.places()[place] for place in _order(joined)}, surplus)
    after = before
    for records, source, target in _moves(leaving, joining):
        after = after.moved(
            records, source.fate, target.fate, reason=source.reason, reason_now=target.reason
        )
    surplus_inserted = joined.inserted - joining[Place("inserted")]
    surplus_removed = left.kept - leaving[Place("unchanged")]
    return replace(
        after,
        conflicting=min(before.conflicting + joined.conflicting, after.duplicates),
        vanished=max(0, before.vanished + surplus_inserted - surplus_removed),
    )


def _order(joined: Fates) -> list[Place]:
    """The fates of ``joined`` in the order in which the surplus is taken from them."""
    rejected = [Place("rejected", reason) for reason in joined.rejected]
    first = [Place("duplicates"), Place("outside_window"), Place("erased")]
    return [*first, *rejected, Place("inserted")]


def _without(counts: Mapping[Place, int], total: int) -> dict[Place, int]:
    """The counts after ``total`` is taken off, from the first count on: (2, 5) less 3 is (0, 4)."""
    remaining: dict[Place, int] = {}
    for place, count in counts.items():
        taken = min(count, total)
        remaining[place] = count - taken
        total -= taken
    return remaining


def _moves(
    leaving: Mapping[Place, int], joining: Mapping[Place, int]
) -> Iterator[tuple[int, Place, Place]]:
    """The moves as number of records, earlier fate, new fate: both sides paired in order."""
    sources, targets = _filled(leaving), _filled(joining)
    source, target = next(sources, None), next(targets, None)
    while source and target:
        records = min(source[1], target[1])
        yield records, source[0], target[0]
        source = (source[0], source[1] - records) if source[1] > records else next(sources, None)
        target = (target[0], target[1] - records) if target[1] > records else next(targets, None)


def _filled(counts: Mapping[Place, int]) -> Iterator[tuple[Place, int]]:
    return ((place, count) for place, count in counts.items() if count)


def _window(connection: Connection, day: date) -> dict[str, object]:
    statement = """
        select window_start as start, window_end as end, zone
        from load_ledger where day = :day order by id desc limit 1
    """
    return dict(connection.execute(text(statement), {"day": day}).mappings().one())


def _pull(load: Load, window: Mapping[str, object]) -> Pull:
    """The load as a pull without objects in the lake, for ``record_load``."""
    return Pull(
        day=load.day,
        fates=load.fates,
        watch=load.watch,
        checksum=load.checksum,
        code_version=load.code_version,
        window_start=window["start"],  # type: ignore[arg-type]
        window_end=window["end"],  # type: ignore[arg-type]
        zone=str(window["zone"]),
        attempts_key="",
        rejected_key="",
        asked_at=load.asked_at,
    )
