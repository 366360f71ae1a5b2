"""Short messages by Apprise: Telegram, Slack, Teams and a hundred other services, by one address.

Apprise says only whether a message went out. Why one did not stands in its log alone, so the log
of each try is read: whether to try again depends on it, and whether the message may have arrived.
"""

import hashlib
import queue
import re
import threading
from dataclasses import dataclass, field
from typing import Any, NoReturn

from lms_assets.faults import AnswerLost, Fault, PermanentFault, TemporaryFault

LONGEST_TEXT = 500
TRY_AGAIN_STATUSES = (408, 425, 429)
_STATUS = re.compile(r"\berror[=:] ?(\d{3})\b", re.IGNORECASE)
_NOT_CONNECTED = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|Connection refused|SSLError"
    r"|Max retries exceeded with url.*(?:refused|resolve|unreachable|certificate)"
)


@dataclass(frozen=True)
class Notifier:
    """One address of NOTIFY_URLS.

    Attributes:
        url: As Apprise reads it; it holds the service's token, so nothing ever shows it.
    """

    url: str = field(repr=False)
    total_s: float = 30.0

    @property
    def name(self) -> str:
        """``tgram-3fa9c1``: the service, and what tells two addresses of it apart."""
        service = re.sub(r"[^a-z0-9]", "", self.url.partition("://")[0].lower()) or "address"
        return f"{service}-{hashlib.sha256(self.url.encode()).hexdigest()[:6]}"

    def send(self, text: str) -> None:
        """The service has taken the message.

        Args:
            text: At most ``LONGEST_TEXT`` characters, masked.

        Raises:
            TemporaryFault: It did not get there, and a later try may do better.
            AnswerLost: It may have got there.
            PermanentFault: The address is wrong, or the service refuses.
        """
        answer: queue.Queue[Fault | None] = queue.Queue()
        # A service that sends a byte a second would hold a read's own time limit off for ever.
        threading.Thread(target=lambda: answer.put(self._tried(text)), daemon=True).start()
        try:
            fault = answer.get(timeout=self.total_s)
        except queue.Empty:
            raise AnswerLost("notify.answer_lost", service=self.name) from None
        if fault is not None:
            raise fault

    def check(self) -> str:
        """The service's name, when Apprise can read the address; nothing is sent.

        Raises:
            PermanentFault: It cannot.
        """
        import apprise

        if not apprise.Apprise().add(self.url):
            self._raise_unreadable()
        return self.name

    def _tried(self, text: str) -> Fault | None:
        # Needed where short messages are set, which few installations do; it takes 0.2 s.
        import apprise

        service = apprise.Apprise()
        capture: Any = apprise.LogCapture
        with capture(level=apprise.logging.DEBUG, fmt="%(message)s") as log:
            if not service.add(self.url):
                return PermanentFault("notify.address_unreadable", service=self.name)
            # Plain text: no service reads a record's text as its own markup.
            is_sent = service.notify(body=text, body_format=apprise.NotifyFormat.TEXT)
            return None if is_sent else self._fault(log.getvalue())

    def _fault(self, log: str) -> Fault:
        """Why the message did not go out, by Apprise's log, of which nothing is kept."""
        status = next((int(found) for found in _STATUS.findall(log)), None)
        if status is not None:
            passes = status >= 500 or status in TRY_AGAIN_STATUSES
            kind, code = (TemporaryFault, "busy") if passes else (PermanentFault, "refused")
            return kind(f"notify.{code}", service=self.name, status=status)
        if _NOT_CONNECTED.search(log):
            return TemporaryFault("notify.unreachable", service=self.name)
        return AnswerLost("notify.answer_lost", service=self.name)

    def _raise_unreadable(self) -> NoReturn:
        raise PermanentFault("notify.address_unreadable", service=self.name)
