"""Tells people what runs and batches came to: records the letter, and has it sent.

The same for the daemon's sensors and for commands in a terminal, so that a
letter is recorded once whichever of them was there.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import requests
from sqlalchemy import Connection, text

from lms_assets.automation.catch_up import CATCH_UP_AGAIN, Hopeless
from lms_assets.letters.compose import Cause, DayFailure, GivenUpFacts, to_json
from lms_assets.letters.outbox import Address, DueLetter, Sender, deliver, record
from lms_assets.letters.outcomes import (
    Outcome,
    Surroundings,
    letter_of_batch,
    letter_of_run,
    links,
    outcome_of,
)
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.batches import Batch, BatchRun, close_batch, runs_of
from lms_assets.runs.due import next_tick
from lms_assets.settings import Settings

log = logging.getLogger("lms.letters")


@dataclass(frozen=True)
class Messenger:
    """Who tells, and all that a letter needs to know of its surroundings.

    Attributes:
        resources: The platform's resources by name: the sheet's address, the mailer.
    """

    settings: Settings
    warehouse: Warehouse
    instance: dg.DagsterInstance
    resources: Mapping[str, Any]

    @property
    def mailer(self) -> Sender:
        """The mail server, or the outbox folder."""
        mailer: Sender = self.resources["mailer"]
        return mailer

    @property
    def address(self) -> Address:
        """In which language, and from which installation."""
        return Address(self.settings.lms_language, str(self.settings.lms_home))

    def outcome(self, run_id: str) -> Outcome:
        """What a run that has ended came to."""
        return outcome_of(self.instance, self.warehouse, run_id)

    def tell_of_run(self, run_id: str, *, now: datetime) -> None:
        """The letter of a run by itself is recorded; those of a batch wait for its end."""
        outcome = self.outcome(run_id)
        if outcome.batch is not None:
            return
        with self.warehouse.begin() as connection:
            letter = letter_of_run(connection, outcome, self._around(now))
            if letter:
                record(connection, letter, self.address, today=self._today(now))

    def tell_of_batch(self, batch: Batch, *, now: datetime) -> None:
        """The one letter of a batch that has ended is recorded, and the batch is closed."""
        runs = runs_of(self.instance, batch.batch)
        outcomes = [self.outcome(run.run_id) for run in _last_run_of_each_day(runs)]
        publications = [run for run in runs if run.is_publication]
        published = self.outcome(publications[-1].run_id) if publications else None
        with self.warehouse.begin() as connection:
            letter = letter_of_batch(connection, batch, outcomes, published, self._around(now))
            if letter and _brings_news(batch, outcomes):
                record(connection, letter, self.address, today=self._today(now))
            close_batch(connection, batch.batch)
        if batch.kind == "schedule" and all(outcome.succeeded for outcome in outcomes):
            self._beat()

    def tell_of_giving_up(self, hopeless: Sequence[Hopeless], *, now: datetime) -> None:
        """One letter that these days are not asked for any more is recorded, once for each.

        Args:
            hopeless: Newest first.
        """
        with self.warehouse.begin() as connection:
            told = _days_given_up(connection)
            new = [one for one in hopeless if one.day not in told]
            if not new:
                return
            outcome = self.outcome(new[0].last_run_id)
            facts = GivenUpFacts(
                day=new[0].day,
                tries=new[0].tries,
                cause=outcome.cause or Cause(),
                others=[
                    DayFailure(day=one.day, cause=self.outcome(one.last_run_id).cause or Cause())
                    for one in new[1:]
                ],
                error=outcome.error,
                links=links(self._around(now), new[0].last_run_id),
            )
            key = f"given-up-{new[0].day}"
            letter = DueLetter("given_up", to_json(facts), new[0].day, new[0].last_run_id, key)
            record(connection, letter, self.address, today=self._today(now))

    def send(self, *, now: datetime) -> int:
        """What is due was handed to the mail server; how many letters went out."""
        return deliver(self.warehouse, self.mailer, self.address, now=now)

    def _today(self, now: datetime) -> date:
        return now.astimezone(self.settings.zone).date()

    def _around(self, now: datetime) -> Surroundings:
        page = self.settings.lms_home / "report.html"
        marker = self.settings.lms_home / "dagster" / "address"
        dagster = marker.read_text(encoding="utf-8") if marker.exists() else "http://127.0.0.1:3000"
        return Surroundings(
            sheet=self.resources["google_sheets"].url,
            page=page.as_uri() if page.exists() else None,
            dashboard=self.settings.dashboard_url,
            dagster=dagster,
            next_run=next_tick(self.settings, now),
        )

    def _beat(self) -> None:
        """The monitor at HEARTBEAT_URL hears that a scheduled batch went well."""
        url = self.settings.heartbeat_url
        if url is None:
            return
        try:
            requests.get(url.get_secret_value(), timeout=10, allow_redirects=False)
        except requests.RequestException as error:
            log.warning("HEARTBEAT_URL did not answer: %s", type(error).__name__)


def _days_given_up(connection: Connection) -> set[date]:
    """The days that a letter said are not asked for any more."""
    facts = connection.scalars(text("select facts from letters where kind = 'given_up'"))
    days = [day for one in facts for day in (one, *one.get("others", []))]
    return {date.fromisoformat(day["day"]) for day in days}


def _last_run_of_each_day(runs: list[BatchRun]) -> list[BatchRun]:
    """Newest day first; where a day was run again, its last run speaks for it."""
    last = {run.day: run for run in runs if not run.is_publication and run.day}
    return [last[day] for day in sorted(last, reverse=True)]


def _brings_news(batch: Batch, outcomes: list[Outcome]) -> bool:
    """A catch-up that failed again tells nothing new: giving up has its own letter."""
    return batch.kind != CATCH_UP_AGAIN or any(outcome.succeeded for outcome in outcomes)


def utc_now() -> datetime:
    """Now, aware."""
    return datetime.now(UTC)
