"""The channels: letters by mail (or into a folder), and short messages.

The outbox hands each notice to a channel. Another way to tell people needs a class here with the
members of :class:`Channel`, its settings, and a line in ``systems.channels``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.message import EmailMessage
from typing import Any, Protocol

from lms_assets.letters.chart import Draw, png_of
from lms_assets.letters.compose import compose
from lms_assets.letters.short import is_worth_a_message, short_message
from lms_assets.resources.mail import Refusal
from lms_assets.resources.notify import Notifier


@dataclass(frozen=True)
class Notice:
    """A letter or short message as the outbox keeps it.

    Attributes:
        kind: A key of ``lms_assets.letters.facts.KINDS``.
        addressed_to: All its recipients; None means the channel's recipients.
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
        """The channel's name in the table ``letters``."""

    @property
    def recipients(self) -> Sequence[str]:
        """The names of its recipients, without secrets."""

    def carries(self, kind: str, facts: Mapping[str, Any]) -> bool:
        """Whether notices with this kind and these facts go through this channel."""

    def hand_over(self, notice: Notice, recipients: Sequence[str]) -> dict[str, Refusal | None]:
        """The notice has been handed over; recipient → None, or its refusal.

        Raises:
            TemporaryFault: Nobody got it; a later try may succeed.
            AnswerLost: Nobody knows whether it arrived.
            PermanentFault: Nobody got it; a person must act first.
        """

    def check(self) -> str:
        """A sentence that says how the channel was reached; nothing is sent.

        Raises:
            Fault: As for :meth:`hand_over`.
        """


class PostOffice(Protocol):
    """A mail server, or the folder that stands in for one."""

    @property
    def sender(self) -> str:
        """The address that letters come from."""

    @property
    def recipients(self) -> Sequence[str]:
        """The recipients of letters that name no recipients."""

    def send(
        self, letter: EmailMessage, recipients: Sequence[str] | None = None
    ) -> dict[str, Refusal | None]:
        """The letter has been handed over; recipient → None, or its refusal."""

    def check(self) -> str:
        """A sentence that says how it was reached; no letter is sent."""


@dataclass(frozen=True)
class Letters:
    """Whole letters by mail, for every kind of notice."""

    mailer: PostOffice
    draw: Draw = png_of
    name: str = "mail"

    @property
    def recipients(self) -> Sequence[str]:
        """The addresses in RECIPIENTS_EMAILS."""
        return list(self.mailer.recipients)

    def carries(self, kind: str, facts: Mapping[str, Any]) -> bool:  # noqa: ARG002
        """True: every notice goes by mail."""
        return True

    def hand_over(self, notice: Notice, recipients: Sequence[str]) -> dict[str, Refusal | None]:
        """The letter has been composed in its language and handed to the mail server."""
        addressed_to = self.recipients if notice.addressed_to is None else notice.addressed_to
        letter = compose(
            notice.kind,
            notice.facts,
            language=notice.language,
            sender=self.mailer.sender,
            recipients=list(addressed_to),
            message_id=notice.message_id,
            date=notice.written_at,
            draw=self.draw,
        )
        return self.mailer.send(letter, recipients)

    def check(self) -> str:
        """A sentence that says how the mail server was reached."""
        return self.mailer.check()


@dataclass(frozen=True)
class ShortMessages:
    """Short messages to one address of NOTIFY_URLS, for urgent notices."""

    notifier: Notifier

    @property
    def name(self) -> str:
        """The name of the service."""
        return self.notifier.name

    @property
    def recipients(self) -> Sequence[str]:
        """The service itself; only the service knows who reads there."""
        return [self.notifier.name]

    def carries(self, kind: str, facts: Mapping[str, Any]) -> bool:
        """True for failures, recoveries, given-up days, empty days and alarms."""
        return is_worth_a_message(kind, facts)

    def hand_over(self, notice: Notice, recipients: Sequence[str]) -> dict[str, Refusal | None]:
        """The message has been worded in its language and handed to the service."""
        message = short_message(
            notice.kind, notice.facts, language=notice.language, today=notice.written_at.date()
        )
        self.notifier.send(message)
        return dict.fromkeys(recipients)

    def check(self) -> str:
        """The service's name, if its address is valid."""
        return self.notifier.check()
