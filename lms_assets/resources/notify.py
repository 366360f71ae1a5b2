"""Short messages through Apprise: Telegram, Slack, Teams and a hundred other services.

Apprise returns only whether a message was sent. The reason of a failure stands in its log. So the
log of each try is read: it decides whether to try again, and whether the message may have arrived.
"""

import hashlib
import queue
import re
import threading
from dataclasses import dataclass, field
from typing import Any, NoReturn

from lms_assets.faults import AnswerLost, Fault, PermanentFault, TemporaryFault
from lms_assets.resources.http import forget_netrc

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
        url: The Apprise address. It holds the service's token, so it is never shown.
        total_s: The time limit of one message, in seconds.
    """

    url: str = field(repr=False)
    total_s: float = 30.0

    @property
    def name(self) -> str:
        """The service and a hash of the address, such as ``tgram-3fa9c1``; distinct per address."""
        service = re.sub(r"[^a-z0-9]", "", self.url.partition("://")[0].lower()) or "address"
        return f"{service}-{hashlib.sha256(self.url.encode()).hexdigest()[:6]}"

    def send(self, text: str) -> None:
        """The service has accepted the message.

        Args:
            text: At most ``LONGEST_TEXT`` characters, masked.

        Raises:
            TemporaryFault: The message was not sent; a later try may succeed.
            AnswerLost: The message may have arrived.
            PermanentFault: The address is wrong, or the service refuses.
        """
        answer: queue.Queue[Fault | None] = queue.Queue()
        # A read timeout alone would not stop a service that sends one byte a second.
        threading.Thread(target=lambda: answer.put(self._tried(text)), daemon=True).start()
        try:
            fault = answer.get(timeout=self.total_s)
        except queue.Empty:
            raise AnswerLost("notify.answer_lost", service=self.name) from None
        if fault is not None:
            raise fault

    def check(self) -> str:
        """The service's name, if Apprise understands the address; nothing is sent.

        Raises:
            PermanentFault: Apprise does not understand the address.
        """
        import apprise

        if not apprise.Apprise().add(self.url):
            self._raise_unreadable()
        return self.name

    def _tried(self, text: str) -> Fault | None:
        import apprise

        forget_netrc()
        service = apprise.Apprise()
        capture: Any = apprise.LogCapture
        with capture(level=apprise.logging.DEBUG, fmt="%(message)s") as log:
            if not service.add(self.url):
                return PermanentFault("notify.address_unreadable", service=self.name)
            # As plain text, no service takes characters of the message for markup.
            is_sent = service.notify(body=text, body_format=apprise.NotifyFormat.TEXT)
            return None if is_sent else self._fault(log.getvalue())

    def _fault(self, log: str) -> Fault:
        """The reason of a failed message, read from Apprise's log; the log is not kept."""
        status = next((int(digits) for digits in _STATUS.findall(log)), None)
        if status is not None:
            passes = status >= 500 or status in TRY_AGAIN_STATUSES
            kind, code = (TemporaryFault, "busy") if passes else (PermanentFault, "refused")
            return kind(f"notify.{code}", service=self.name, status=status)
        if _NOT_CONNECTED.search(log):
            return TemporaryFault("notify.unreachable", service=self.name)
        return AnswerLost("notify.answer_lost", service=self.name)

    def _raise_unreadable(self) -> NoReturn:
        raise PermanentFault("notify.address_unreadable", service=self.name)
