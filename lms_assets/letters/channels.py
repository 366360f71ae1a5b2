"""The ways to tell people: letters by mail (or into a folder), and short messages.

A channel is what the outbox hands a notice to. Another way to tell people is a class here with
the members of :class:`Channel`, its settings, and a line in ``systems.channels``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from typing import Any, Protocol

from lms_assets.letters.compose import compose
from lms_assets.letters.short import is_worth_a_message, short_message
from lms_assets.resources.mail import Refusal
from lms_assets.resources.notify import Notifier


@dataclass(frozen=True)
class Notice:
    """What is to be told, as the outbox keeps it.

    Attributes:
        kind: Of ``lms_assets.letters.facts.KINDS``.
        addressed_to: Everybody whom it is for; the channel's own recipients where it is None.
        message_id: The same at each try.
        written_at: Aware.
    """

    kind: str
    facts: Mapping[str, Any]
    language: str
    message_id: str
    written_at: datetime
    addressed_to: Sequence[str] | None = None


class Channel(Protocol):
    """A way to tell people."""

    @property
    def name(self) -> str:
        """What the table ``letters`` calls it."""

    @property
    def recipients(self) -> Sequence[str]:
        """Whom it reaches, by names that hold no secret."""

    def carries(self, kind: str, facts: Mapping[str, Any]) -> bool:
        """Whether such a notice is told this way."""

    def hand_over(self, notice: Notice, recipients: Sequence[str]) -> dict[str, Refusal | None]:
        """The notice was handed over; each recipient with None or with why it was refused.

        Raises:
            TemporaryFault: Nobody got it, and a later try may do better.
            AnswerLost: Whether it arrived is not known.
            PermanentFault: Nobody got it, and a person must act first.
        """

    def check(self) -> str:
        """How it was reached, or that it can be; nobody is told anything.

        Raises:
            Fault: As :meth:`hand_over`.
        """


class PostOffice(Protocol):
    """A mail server, or the folder that stands in for one."""

    @property
    def sender(self) -> str:
        """The address that letters come from."""

    @property
    def recipients(self) -> Sequence[str]:
        """Everybody who gets a letter that names nobody else."""

    def send(
        self, letter: EmailMessage, recipients: Sequence[str] | None = None
    ) -> dict[str, Refusal | None]:
        """The letter was handed over; each recipient with None or with why it was refused."""

    def check(self) -> str:
        """How it was reached; no letter is sent."""


@dataclass(frozen=True)
class Letters:
    """Whole letters, by mail: every kind of notice."""

    mailer: PostOffice
    name: str = "mail"

    @property
    def recipients(self) -> Sequence[str]:
        """Those of RECIPIENTS_EMAILS."""
        return list(self.mailer.recipients)

    def carries(self, kind: str, facts: Mapping[str, Any]) -> bool:  # noqa: ARG002
        """Always."""
        return True

    def hand_over(self, notice: Notice, recipients: Sequence[str]) -> dict[str, Refusal | None]:
        """The letter was composed in its language and handed to the mail server."""
        addressed_to = self.recipients if notice.addressed_to is None else notice.addressed_to
        letter = compose(
            notice.kind,
            notice.facts,
            language=notice.language,
            sender=self.mailer.sender,
            recipients=list(addressed_to),
            message_id=notice.message_id,
            date=notice.written_at,
        )
        return self.mailer.send(letter, recipients)

    def check(self) -> str:
        """How the mail server was reached."""
        return self.mailer.check()


@dataclass(frozen=True)
class ShortMessages:
    """Short messages to one address of NOTIFY_URLS: what someone must know at once."""

    notifier: Notifier

    @property
    def name(self) -> str:
        """The service's."""
        return self.notifier.name

    @property
    def recipients(self) -> Sequence[str]:
        """The service is its only one: who reads there, the service knows."""
        return [self.notifier.name]

    def carries(self, kind: str, facts: Mapping[str, Any]) -> bool:
        """Failures, recoveries, days given up, empty days and alarms."""
        return is_worth_a_message(kind, facts)

    def hand_over(self, notice: Notice, recipients: Sequence[str]) -> dict[str, Refusal | None]:
        """The message was worded in its language and handed to the service."""
        message = short_message(
            notice.kind, notice.facts, language=notice.language, today=notice.written_at.date()
        )
        self.notifier.send(message)
        return dict.fromkeys(recipients)

    def check(self) -> str:
        """The service's name, when the address can be read."""
        return self.notifier.check()
