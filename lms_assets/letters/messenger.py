"""The messenger records the letter of each run and batch, and has letters sent.

The daemon's sensors and the commands in a terminal both use it. So each letter is recorded once,
whichever of them sees the run end.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import dagster as dg
import requests
from sqlalchemy import Connection

from lms_assets.days import today
from lms_assets.faults import TemporaryFault
from lms_assets.faults.causes import Cause, one_line
from lms_assets.faults.masking import Mask
from lms_assets.letters.channels import Channel
from lms_assets.letters.course_gathering import course_letters
from lms_assets.letters.course_readers import CourseLetters
from lms_assets.letters.destinations import Destinations
from lms_assets.letters.facts import FailureFacts, to_json
from lms_assets.letters.gathering import (
    Circumstances,
    days_given_up,
    letter_of_batch,
    letter_of_given_up_days,
    letter_of_run,
)
from lms_assets.letters.outbox import BEGIN_WITHIN_S, Address, DueLetter, deliver, record
from lms_assets.letters.outcomes import Outcome, outcome_of
from lms_assets.resources.http import without_netrc
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.batches import (
    CATCH_UP_AGAIN,
    Batch,
    BatchRun,
    close_batch,
    runs_of,
    tells_of_run,
)
from lms_assets.runs.due import next_tick
from lms_assets.runs.endings import GivenUpDay
from lms_assets.runs.instance import has_daemon
from lms_assets.settings import Settings

log = logging.getLogger("lms.letters")


@dataclass(frozen=True)
class Messenger:
    """Records and sends letters.

    Attributes:
        resources: The platform's resources by name, among them the spreadsheet and the channels.
    """

    settings: Settings
    warehouse: Warehouse
    instance: dg.DagsterInstance
    resources: Mapping[str, Any]

    @cached_property
    def channels(self) -> Sequence[Channel]:
        """The channels in the settings; mail is always among them."""
        return tuple(self.resources["channels"])

    @property
    def address(self) -> Address:
        """The language and the id of this installation."""
        return Address(self.settings.lms_language, str(self.settings.lms_home))

    def outcome(self, run_id: str) -> Outcome:
        """The outcome of a run that has ended."""
        return outcome_of(self.instance, self.warehouse, run_id)

    def tell_of_run(self, run_id: str, *, now: datetime) -> None:
        """The letter of a single run is recorded; a batch's run gets none before the batch ends.

        Raises:
            TemporaryFault: The database did not answer; a later call can record the letter.
        """
        self._recorded(lambda: self._record_run(run_id, now), key=run_id, batch=None, now=now)

    def _record_run(self, run_id: str, now: datetime) -> None:
        outcome = self.outcome(run_id)
        if outcome.batch is not None:
            return
        around = self._around(now)
        with self.warehouse.begin() as connection:
            if outcome.first_batch and tells_of_run(
                connection, outcome.first_batch, ended_at=outcome.ended_at
            ):
                return
            letter = letter_of_run(connection, outcome, around)
            if letter:
                self._record(connection, letter, now)
        self.tell_of_courses(now=now)

    def tell_of_batch(self, batch: Batch, *, now: datetime) -> None:
        """The one letter of a batch that has ended is recorded, and the batch is closed.

        Raises:
            TemporaryFault: The database did not answer; a later call can record the letter.
        """
        self._recorded(
            lambda: self._record_batch(batch, now), key=batch.batch, batch=batch.batch, now=now
        )
        self.tell_of_courses(now=now)

    def tell_of_courses(self, *, now: datetime) -> None:
        """When a Sunday has been loaded, the letter of each course's week is recorded once."""
        key = f"course-letters-{today(now, self.settings.zone)}"
        self._recorded(lambda: self._record_course_letters(now), key=key, batch=None, now=now)

    def _record_course_letters(self, now: datetime) -> None:
        readers: CourseLetters = self.resources.get("course_letters", CourseLetters())
        if not readers.are_wanted:
            return
        with self.warehouse.begin() as connection:
            names = self.resources["presentation"].names
            for letter in course_letters(connection, readers, names):
                record(connection, letter, self.address, today=today(now, self.settings.zone))

    def _record_batch(self, batch: Batch, now: datetime) -> None:
        runs = runs_of(self.instance, batch.batch)
        outcomes = [self.outcome(run.run_id) for run in _last_run_of_each_day(runs)]
        publications = [run for run in runs if run.is_publication]
        published = self.outcome(publications[-1].run_id) if publications else None
        around = self._around(now)
        with self.warehouse.begin() as connection:
            letter = letter_of_batch(connection, batch, outcomes, published, around)
            if letter and _brings_news(batch, outcomes):
                self._record(connection, letter, now)
            close_batch(connection, batch.batch)
        if batch.kind == "schedule" and _went_well(batch, outcomes, published):
            self._beat()

    def tell_of_giving_up(self, days: Sequence[GivenUpDay], *, now: datetime) -> None:
        """One letter reports these given-up days; days of an earlier such letter are left out.

        Args:
            days: Newest first.
            now: Aware.
        """
        if not days:
            return
        with self.warehouse.begin() as connection:
            with_letter = days_given_up(connection, days[-1].day)
        new = [given_up for given_up in days if given_up.day not in with_letter]
        if new:
            outcomes = [self.outcome(given_up.last_run_id) for given_up in new]
            letter = letter_of_given_up_days(new, outcomes, self._around(now))
            with self.warehouse.begin() as connection:
                self._record(connection, letter, now)

    def _recorded(
        self, tell: Callable[[], None], *, key: str, batch: str | None, now: datetime
    ) -> None:
        """``tell`` has recorded its letter; if it failed, a letter reports that instead.

        An error in the facts of one run would come back at every tick. Without this letter it
        would keep the letters of all other runs back.
        """
        try:
            tell()
        except TemporaryFault:
            raise
        except Exception as error:
            log.exception("the letter of %s cannot be made", key)
            self._record_untold(key, batch, error, now)

    def _record_untold(self, key: str, batch: str | None, error: Exception, now: datetime) -> None:
        reason = one_line(
            Mask(self.settings.secret_values).mask(f"{type(error).__name__}: {error}")
        )
        cause = Cause.of("mail.facts_unreadable", {"subject": key, "reason": reason[:500]})
        facts = FailureFacts(day=None, cause=cause, is_loaded=True)
        letter = DueLetter("failure", to_json(facts), None, key, batch)
        with self.warehouse.begin() as connection:
            self._record(connection, letter, now)
            if batch:
                close_batch(connection, batch)

    def _record(self, connection: Connection, letter: DueLetter, now: datetime) -> None:
        """The letter waits in the outbox, once for each channel that carries its kind."""
        for channel in self.channels:
            if channel.carries(letter.kind, letter.facts):
                day = today(now, self.settings.zone)
                record(connection, letter, self.address, today=day, channel=channel.name)

    def send(self, *, now: datetime, begin_within_s: float = BEGIN_WITHIN_S) -> int:
        """Due letters have been handed over; the number of letters sent.

        Args:
            now: Aware; letters whose next try is later wait.
            begin_within_s: No letter is begun later. A command has more time than a sensor's tick.
        """
        return deliver(
            self.warehouse, self.channels, self.address, now=now, begin_within_s=begin_within_s
        )

    def _around(self, now: datetime) -> Circumstances:
        sheet = self.resources["google_sheets"].url
        return Circumstances(
            destinations=Destinations.of(self.settings, sheet=sheet),
            names=self.resources["presentation"].names,
            next_run=next_tick(self.settings, now) if has_daemon(self.instance, now=now) else None,
        )

    def _beat(self) -> None:
        """HEARTBEAT_URL has been requested, which tells the monitor of a good scheduled batch."""
        url = self.settings.heartbeat_url
        if url is None:
            return
        try:
            with without_netrc(requests.Session()) as session:
                session.get(url.get_secret_value(), timeout=10, allow_redirects=False)
        except requests.RequestException as error:
            log.warning("HEARTBEAT_URL did not answer: %s", type(error).__name__)


def _last_run_of_each_day(runs: list[BatchRun]) -> list[BatchRun]:
    """The last run of each day, newest day first."""
    last = {run.day: run for run in runs if not run.is_publication and run.day}
    return [last[day] for day in sorted(last, reverse=True)]


def _went_well(batch: Batch, outcomes: list[Outcome], published: Outcome | None) -> bool:
    """Whether all days of the batch succeeded, and its publication too."""
    days = {str(outcome.day) for outcome in outcomes if outcome.succeeded}
    return bool(published and published.succeeded) and days >= set(batch.days)


def _brings_news(batch: Batch, outcomes: list[Outcome]) -> bool:
    """Whether the batch needs a letter: a repeated catch-up without a success needs none.

    When its days are given up, another letter reports that.
    """
    return batch.kind != CATCH_UP_AGAIN or any(outcome.succeeded for outcome in outcomes)


def utc_now() -> datetime:
    """The present time, aware."""
    return datetime.now(UTC)
