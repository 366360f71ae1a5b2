"""The outbox: letters that are due, and the one sender that delivers them.

A letter is recorded once, whoever saw the run end; then it waits here until a
mail server has taken it, or until it was given up where people can see it.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Protocol

from msgspec import ValidationError
from sqlalchemy import Connection, text

from lms_assets.faults import Fault, PermanentFault
from lms_assets.letters.compose import compose, message_id, subject
from lms_assets.resources.mail import Refusal
from lms_assets.resources.warehouse import Warehouse

log = logging.getLogger("lms.letters")

SENDER_LOCK = 7_041_004
LOST = "mail.answer_lost"
GIVE_UP_AFTER = timedelta(days=3)
LONGEST_WAIT = timedelta(hours=1)
# A daemon's tick that takes over a minute is repeated: no letter is begun after this long.
BEGIN_WITHIN_S = 10
PATIENCE_S = 5


class Sender(Protocol):
    """A mail server, or the folder that stands in for one."""

    sender: str
    recipients: Any

    def send(self, letter: Any, recipients: Any = None) -> dict[str, Refusal | None]:  # noqa: ANN401
        """The letter was handed over; each recipient with None or why it was refused."""


@dataclass(frozen=True)
class DueLetter:
    """What a run or a batch has to tell: one of each kind for each of them.

    Attributes:
        kind: Of ``lms_assets.letters.compose.KINDS``.
        facts: What it says, as JSON; no student's data.
        day: The day it is about, if it is about one.
        run_id: The run it is about.
        batch: The batch it is about, which then stands for the run.
    """

    kind: str
    facts: Mapping[str, Any]
    day: date | None
    run_id: str | None
    batch: str | None

    @property
    def key(self) -> str:
        """What the letter is about."""
        return self.batch or self.run_id or str(self.day)


@dataclass(frozen=True)
class Address:
    """Who writes, in which language.

    Attributes:
        language: ``en`` or ``ru``.
        home_id: What tells this installation from others.
    """

    language: str
    home_id: str


def record(connection: Connection, letter: DueLetter, address: Address, *, today: date) -> bool:
    """The letter waits in the outbox; False when one of its run or batch was recorded before.

    Of whatever kind: once a recovery is told, whoever looks next sees a day that is good. It is
    due at once, also where the database's clock is ahead of this machine's.
    """
    statement = """
        insert into letters (kind, day, run_id, batch, subject, message_id, facts, next_try_at)
        select :kind, cast(:day as date), :run_id, :batch, :subject, :message_id,
            cast(:facts as jsonb), now() - interval '1 hour'
        where not exists (select from letters where coalesce(batch, run_id) = :key)
        on conflict do nothing
    """
    values = {
        "key": letter.key,
        "kind": letter.kind,
        "day": letter.day,
        "run_id": letter.run_id or letter.key,
        "batch": letter.batch,
        "subject": subject(letter.kind, letter.facts, language=address.language, today=today),
        "message_id": message_id(letter.kind, letter.key, address.home_id),
        "facts": json.dumps(letter.facts),
    }
    return connection.execute(text(statement), values).rowcount == 1


def deliver(warehouse: Warehouse, mailer: Sender, address: Address, *, now: datetime) -> int:
    """Every letter that is due was handed over, put off, or given up; how many were sent.

    One sender at a time: a second one waits a moment, then leaves the letters to the first.

    Args:
        now: Aware; letters whose next try is later are left alone.
    """
    sent, began = 0, time.monotonic()
    with _only_sender(warehouse) as is_mine:
        # Looked for again after each: others may have recorded one meanwhile, and not wait.
        while is_mine and time.monotonic() - began < BEGIN_WITHIN_S:
            row = _first_due(warehouse, now)
            if row is None:
                break
            sent += _deliver_one(warehouse, mailer, address, row, now)
    return sent


@contextmanager
def _only_sender(warehouse: Warehouse) -> Iterator[bool]:
    with warehouse.engine.connect() as connection:
        statement, until = text("select pg_try_advisory_lock(:k)"), time.monotonic() + PATIENCE_S
        while not (is_mine := connection.scalar(statement, {"k": SENDER_LOCK})):
            if time.monotonic() > until:
                break
            time.sleep(0.1)
        yield bool(is_mine)


def _first_due(warehouse: Warehouse, now: datetime) -> dict[str, Any] | None:
    statement = """
        select * from letters where status = 'waiting' and next_try_at <= :now
        order by id limit 1
    """
    rows = warehouse.rows(statement, now=now)
    return rows[0] if rows else None


def _deliver_one(
    warehouse: Warehouse, mailer: Sender, address: Address, row: Mapping[str, Any], now: datetime
) -> bool:
    recipients = [r for r in mailer.recipients if r not in row["delivered_to"]]
    try:
        letter = compose(
            row["kind"],
            row["facts"],
            language=address.language,
            sender=mailer.sender,
            recipients=list(mailer.recipients),
            message_id=row["message_id"],
            date=row["due_at"],
        )
    except (KeyError, ValueError, ValidationError) as mistake:
        # Of another version of the code: the letters behind it must not wait for it.
        _put_off(warehouse, row, f"cannot be written: {mistake}", now, for_good=True)
        return False
    try:
        answers = mailer.send(letter, recipients)
    except Fault as fault:
        # The server may have taken it: once more, and then no further duplicate.
        lost_again = fault.code == LOST and LOST in (row["last_error"] or "")
        for_good = isinstance(fault, PermanentFault) or lost_again
        _put_off(warehouse, row, _why(row, fault), now, for_good=for_good)
        return False
    took = [address for address, refusal in answers.items() if refusal is None]
    refused = {address: r for address, r in answers.items() if r is not None}
    reached = [*row["delivered_to"], *took]
    error = "; ".join(f"{address}: {refusal.cause}" for address, refusal in refused.items())
    if any(not refusal.is_permanent for refusal in refused.values()):
        _put_off(warehouse, row, error, now, for_good=False, reached=reached)
        return False
    _mark_sent(warehouse, row, reached, error, now)
    return True


def _why(row: Mapping[str, Any], fault: Fault) -> str:
    """What is kept of a failed try: that an answer was lost once is never forgotten."""
    earlier = f" (before: {LOST})" if LOST in (row["last_error"] or "") else ""
    return f"{fault.code}: {fault}{earlier if fault.code != LOST else ''}"


def _mark_sent(
    warehouse: Warehouse, row: Mapping[str, Any], reached: list[str], error: str, now: datetime
) -> None:
    statement = """
        update letters set status = 'sent', sent_at = :now, tries = tries + 1,
            delivered_to = :reached, last_error = nullif(:error, '')
        where id = :id
    """
    values = {"id": row["id"], "now": now, "reached": json.dumps(reached), "error": error}
    with warehouse.begin() as connection:
        connection.execute(text(statement), values)
    log.info("letter %s (%s) sent to %s recipients", row["id"], row["kind"], len(reached))


def _put_off(
    warehouse: Warehouse,
    row: Mapping[str, Any],
    error: str,
    now: datetime,
    *,
    for_good: bool,
    reached: list[str] | None = None,
) -> None:
    status = "given_up" if for_good or now - row["due_at"] > GIVE_UP_AFTER else "waiting"
    wait = min(timedelta(minutes=1) * 2 ** row["tries"], LONGEST_WAIT)
    statement = """
        update letters set status = :status, tries = tries + 1, last_error = :error,
            next_try_at = :next, delivered_to = :reached
        where id = :id
    """
    values = {
        "id": row["id"],
        "status": status,
        "error": error,
        "next": now + wait,
        "reached": json.dumps(reached if reached is not None else row["delivered_to"]),
    }
    with warehouse.begin() as connection:
        connection.execute(text(statement), values)
    log.warning("letter %s (%s) is %s: %s", row["id"], row["kind"], status, error)


def resend(connection: Connection, letter_id: int, *, now: datetime) -> bool:
    """The letter waits again, for everybody, whatever became of it; False where there is none."""
    statement = """
        update letters set status = 'waiting', tries = 0, due_at = :now, next_try_at = :now,
            delivered_to = '[]', last_error = null, sent_at = null
        where id = :id
    """
    return connection.execute(text(statement), {"id": letter_id, "now": now}).rowcount == 1
