"""The outbox: the table ``letters`` with the notices that wait, and the sender.

A notice is recorded once for each channel, whichever process saw the run end. It waits until its
channel accepts it or it is given up. `./lms letters` shows both.
"""

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from msgspec import ValidationError
from sqlalchemy import Connection, text

from lms_assets.faults import AnswerLost, Fault, PermanentFault
from lms_assets.faults.masking import Mask
from lms_assets.letters.channels import Channel, Notice
from lms_assets.letters.compose import message_id, subject
from lms_assets.locks import Lock, try_in_session
from lms_assets.resources.warehouse import Warehouse
from lms_assets.settings import load_settings

log = logging.getLogger("lms.letters")

LOST = "answer_lost"
GIVE_UP_AFTER = timedelta(days=3)
FIRST_WAIT = timedelta(minutes=1)
LONGEST_WAIT = timedelta(hours=1)
# Dagster aborts a tick after 60 seconds, so no letter is begun after this time.
BEGIN_WITHIN_S = 10
PATIENCE_S = 5


@dataclass(frozen=True)
class DueLetter:
    """A letter to be recorded: at most one for each run, batch, or course and week.

    Attributes:
        kind: A key of ``lms_assets.letters.facts.KINDS``.
        facts: Its facts as JSON, without a student's data.
        day: The day that it is about, if it is about one day.
        run_id: The run that it is about.
        batch: The batch, or the course and week, that it is about; takes precedence over
            ``run_id``.
        recipients: Its recipients; None means all recipients of its channel.
        language: Its language; None means LMS_LANGUAGE.
    """

    kind: str
    facts: Mapping[str, Any]
    day: date | None
    run_id: str | None
    batch: str | None
    recipients: tuple[str, ...] | None = None
    language: str | None = None

    @property
    def key(self) -> str:
        """The batch, run or day that the letter is about."""
        return self.batch or self.run_id or str(self.day)


@dataclass(frozen=True)
class Address:
    """The installation that writes, and its language.

    Attributes:
        language: ``en`` or ``ru``.
        home_id: Differs between installations.
    """

    language: str
    home_id: str


def record(
    connection: Connection,
    letter: DueLetter,
    address: Address,
    *,
    today: date,
    channel: str = "mail",
) -> bool:
    """The letter waits in the outbox; False if its run or batch had a letter of any kind before.

    A second process may see the run later and judge it otherwise: after the letter of a recovery
    it sees a plain success. The letter is due at once. The hour is subtracted because the
    database's clock may be ahead of this machine's.
    """
    statement = """
        insert into letters (channel, kind, day, run_id, batch, subject, message_id, facts,
            recipients, language, next_try_at)
        select :channel, :kind, cast(:day as date), :run_id, :batch, :subject, :message_id,
            cast(:facts as jsonb), cast(:recipients as jsonb), :language, now() - interval '1 hour'
        where not exists (
            select from letters where channel = :channel and coalesce(batch, run_id) = :key)
        on conflict do nothing
    """
    language = letter.language or address.language
    identity = letter.key if channel == "mail" else f"{channel}:{letter.key}"
    values = {
        "channel": channel,
        "key": letter.key,
        "kind": letter.kind,
        "day": letter.day,
        "run_id": letter.run_id or letter.key,
        "batch": letter.batch,
        "subject": subject(letter.kind, letter.facts, language=language, today=today),
        "message_id": message_id(letter.kind, identity, address.home_id),
        "facts": json.dumps(letter.facts),
        "recipients": json.dumps(letter.recipients) if letter.recipients is not None else None,
        "language": language,
    }
    return connection.execute(text(statement), values).rowcount == 1


def deliver(
    warehouse: Warehouse,
    channels: Sequence[Channel],
    address: Address,
    *,
    now: datetime,
    begin_within_s: float = BEGIN_WITHIN_S,
) -> int:
    """Every due letter has been sent, put off or given up; the number of letters sent.

    Only one process sends at a time. A second one waits PATIENCE_S, then leaves the letters to
    the first. Letters of a channel that is no longer configured are given up.

    Args:
        now: Aware; letters whose next try is later wait.
        begin_within_s: No letter is begun later; what is left over waits for the next call.
    """
    by_name = {channel.name: channel for channel in channels}
    sent, began = 0, time.monotonic()
    with _only_sender(warehouse) as is_mine:
        # Queried again after each letter: another process may have recorded one meanwhile.
        while is_mine and time.monotonic() - began < begin_within_s:
            row = _first_due(warehouse, now)
            if row is None:
                break
            sent += _deliver_letter(warehouse, by_name.get(row["channel"]), address, row, now)
    return sent


@contextmanager
def _only_sender(warehouse: Warehouse) -> Iterator[bool]:
    """Yields whether this process may send.

    The lock belongs to a session, so that no transaction stays open while letters are sent.
    """
    with warehouse.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        until = time.monotonic() + PATIENCE_S
        while not (is_mine := try_in_session(connection, Lock.SENDER)):
            if time.monotonic() > until:
                break
            time.sleep(0.1)
        yield is_mine


def _first_due(warehouse: Warehouse, now: datetime) -> dict[str, Any] | None:
    statement = """
        select * from letters where status = 'waiting' and next_try_at <= :now
        order by id limit 1
    """
    rows = warehouse.rows(statement, now=now)
    return rows[0] if rows else None


def _deliver_letter(
    warehouse: Warehouse,
    channel: Channel | None,
    address: Address,
    row: Mapping[str, Any],
    now: datetime,
) -> bool:
    """Whether the letter was sent; any error puts off or gives up this letter alone."""
    notice = Notice(
        kind=row["kind"],
        facts=row["facts"],
        language=row["language"] or address.language,
        message_id=row["message_id"],
        written_at=row["due_at"],
        addressed_to=row["recipients"],
    )
    try:
        if channel is None:
            raise PermanentFault("notify.channel_missing", channel=row["channel"])
        recipients = channel.recipients if row["recipients"] is None else row["recipients"]
        unreached = [recipient for recipient in recipients if recipient not in row["delivered_to"]]
        answers = channel.hand_over(notice, unreached)
    except (KeyError, ValueError, ValidationError) as mistake:
        # Another version of the code recorded it, so every try would fail in the same way.
        error = f"cannot be written: {type(mistake).__name__}: {mistake}"
        _put_off(warehouse, row, error, now, for_good=True)
        return False
    except Fault as fault:
        # The server may have accepted it. One more try is made, so there is at most one duplicate.
        lost_again = isinstance(fault, AnswerLost) and LOST in (row["last_error"] or "")
        for_good = isinstance(fault, PermanentFault) or lost_again
        _put_off(warehouse, row, _recorded_error(row, fault), now, for_good=for_good)
        return False
    except Exception as error:
        # An error in our code must not hold up the other letters. This one is tried less and less
        # often and given up after GIVE_UP_AFTER, with the reason in the table.
        log.exception("letter %s cannot be told", row["id"])
        _put_off(warehouse, row, f"{type(error).__name__}: {error}", now, for_good=False)
        return False
    return _take_note(warehouse, row, answers, now)


def _take_note(
    warehouse: Warehouse,
    row: Mapping[str, Any],
    answers: Mapping[str, Any],
    now: datetime,
) -> bool:
    """Whether the letter counts as sent: one recipient has it, and no other may get it later."""
    refused = {recipient: refusal for recipient, refusal in answers.items() if refusal is not None}
    reached = [
        *row["delivered_to"],
        *(recipient for recipient in answers if recipient not in refused),
    ]
    error = "; ".join(f"{recipient}: {refusal.cause}" for recipient, refusal in refused.items())
    is_put_off = any(not refusal.is_permanent for refusal in refused.values())
    if is_put_off or not reached:
        _put_off(warehouse, row, error, now, for_good=not is_put_off, reached=reached)
        return False
    _mark_sent(warehouse, row, reached, error, now)
    return True


def _recorded_error(row: Mapping[str, Any], fault: Fault) -> str:
    """The error text of a failed try; it keeps the mark of an answer that was lost earlier."""
    is_lost = isinstance(fault, AnswerLost)
    was_lost = LOST in (row["last_error"] or "") and not is_lost
    return f"{fault.code}: {fault}{f' (before: {LOST})' if was_lost else ''}"


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
    log.info("letter %s (%s) sent, recipients: %s", row["id"], row["kind"], len(reached))


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
    statement = """
        update letters set status = :status, tries = tries + 1, last_error = :error,
            next_try_at = :next, delivered_to = :reached
        where id = :id
    """
    masked = Mask(load_settings().secret_values).mask(error)
    values = {
        "id": row["id"],
        "status": status,
        "error": masked,
        "next": now + wait_after(row["tries"]),
        "reached": json.dumps(reached if reached is not None else row["delivered_to"]),
    }
    with warehouse.begin() as connection:
        connection.execute(text(statement), values)
    log.warning("letter %s (%s) is %s: %s", row["id"], row["kind"], status, masked)


def wait_after(tries: int) -> timedelta:
    """The wait after another failed try: 1 min after the first, doubled each time, at most 1 h.

    Args:
        tries: The number of tries before this one.
    """
    doublings = min(tries, (LONGEST_WAIT // FIRST_WAIT).bit_length())
    wait: timedelta = FIRST_WAIT * 2**doublings
    return min(wait, LONGEST_WAIT)


def resend(connection: Connection, letter_id: int, *, now: datetime) -> bool:
    """The letter waits again, for all its recipients; False if there is no such letter."""
    statement = """
        update letters set status = 'waiting', tries = 0, due_at = :now, next_try_at = :now,
            delivered_to = '[]', last_error = null, sent_at = null
        where id = :id
    """
    return connection.execute(text(statement), {"id": letter_id, "now": now}).rowcount == 1
