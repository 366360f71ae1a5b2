"""The books put right where records of a day changed their fate without a new pull."""

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
    """The ledger's newest row of the day says where each record of its pull is now.

    A row is added, none is changed. It speaks of the same pull: the same received,
    checksum and code version, so that a day which the rules have left behind stays
    stale. Records that only an older pull held were never in its balance and do
    not enter it now.

    Args:
        connection: In a transaction that holds the day's lock.
        day: A loaded day.
        left: The fates that records of the day have met no longer.
        joined: The fates that the same records have met instead.
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
    """The newest pull's fates with the moved records where they are now. Pure.

    More may have moved than the newest pull holds, since the quarantine and the table
    keep what older pulls brought. Of those it is assumed that they were repeats
    first, then of another day, then erased, and only then new to the table: new
    ones are in the table and not in the pull, which is what vanished means.
    """
    before = newest.settled
    held = {p: min(n, before.places().get(p, 0)) for p, n in left.places().items()}
    older = left.received - sum(held.values())
    entered = _without({place: joined.places()[place] for place in _order(joined)}, older)
    after = before
    for records, was, now in _moves(held, entered):
        after = after.moved(records, was.fate, now.fate, reason=was.reason, reason_now=now.reason)
    strangers = joined.inserted - entered[Place("inserted")]
    gone = left.kept - held[Place("unchanged")]
    return replace(
        after,
        conflicting=min(before.conflicting + joined.conflicting, after.duplicates),
        vanished=max(0, before.vanished + strangers - gone),
    )


def _order(joined: Fates) -> list[Place]:
    """The places of the fates, those first that records of older pulls have met first."""
    refused = [Place("rejected", reason) for reason in joined.rejected]
    first = [Place("duplicates"), Place("outside_window"), Place("erased")]
    return [*first, *refused, Place("inserted")]


def _without(counts: Mapping[Place, int], total: int) -> dict[Place, int]:
    """The counts with ``total`` taken off, from the first of them on."""
    remaining: dict[Place, int] = {}
    for place, count in counts.items():
        taken = min(count, total)
        remaining[place] = count - taken
        total -= taken
    return remaining


def _moves(
    held: Mapping[Place, int], entered: Mapping[Place, int]
) -> Iterator[tuple[int, Place, Place]]:
    """The records of the one side, by place, paired with those of the other."""
    leaving, joining = _each(held), _each(entered)
    was, now = next(leaving, None), next(joining, None)
    while was and now:
        records = min(was[1], now[1])
        yield records, was[0], now[0]
        was = (was[0], was[1] - records) if was[1] > records else next(leaving, None)
        now = (now[0], now[1] - records) if now[1] > records else next(joining, None)


def _each(counts: Mapping[Place, int]) -> Iterator[tuple[Place, int]]:
    return ((place, count) for place, count in counts.items() if count)


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
