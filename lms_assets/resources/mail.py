"""The mailer: letters over SMTP, with verified TLS and a total time limit.

smtplib's timeout applies to one operation on the socket. A server that sends one byte a second,
or a name with five addresses, could hold a delivery for ever. Here one deadline covers the whole
conversation, from the name's look-up to the last answer.
"""

import errno
import os
import queue
import re
import smtplib
import socket
import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import parseaddr
from ipaddress import IPv6Address, ip_address
from typing import NoReturn

import dagster as dg
from pydantic import Field

from lms_assets.faults import AnswerLost, Fault, PermanentFault, TemporaryFault
from lms_assets.faults.masking import Mask
from lms_assets.resources.deadline import Deadline

TLS_FROM_THE_START_PORT = 465
QUIT_WITHIN_S = 2.0
LONGEST_REPLY = 300
NOT_AN_ADDRESS = (553, b"not an address that mail can be sent to")
SERVICE_ENDS = 421


@dataclass(frozen=True)
class Refusal:
    """The server's refusal of one recipient.

    Attributes:
        code: The SMTP code: 4xx is temporary, 5xx is permanent.
        reply: The server's reply in one line, without secrets.
        cause: The cause as an English sentence.
    """

    code: int
    reply: str
    cause: str

    @property
    def is_permanent(self) -> bool:
        """Whether the same address would be refused again."""
        return self.code >= 500


class Mailer(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Letters over SMTP.

    Port 465 means TLS from the start, any other port STARTTLS. Without encryption a letter goes
    only to a server on this machine, and a password is never sent. The server's certificate and
    name are verified with the machine's authorities or those in ``SSL_CERT_FILE``.
    """

    server: str
    port: int = TLS_FROM_THE_START_PORT
    sender: str
    password: str = Field("", repr=False, json_schema_extra={"dagster__is_secret": True})
    recipients: list[str] = Field(default_factory=list)
    total_s: float = 45.0

    def send(
        self, letter: EmailMessage, recipients: Sequence[str] | None = None
    ) -> dict[str, Refusal | None]:
        """The server has the letter for each recipient that it accepted.

        Args:
            letter: A complete letter, with its Message-ID.
            recipients: The recipients who lack it; None means all.

        Returns:
            Recipient → None, or the refusal.

        Raises:
            TemporaryFault: Nobody got it; a later try may succeed.
            AnswerLost: Nobody knows whether it arrived.
            PermanentFault: Nobody got it; a person must act first.
        """
        distinct = list(dict.fromkeys(self.recipients if recipients is None else recipients))
        if not distinct:
            raise PermanentFault("mail.no_recipients")
        with self._conversation() as line:
            return self._hand_over(line, letter, distinct)

    def check(self) -> str:
        """The connection's encryption: ``TLS``, ``STARTTLS`` or ``plain``; no letter is sent.

        Raises:
            TemporaryFault: A later try may succeed.
            PermanentFault: A setting or the server must be changed.
        """
        with self._conversation() as line:
            line.noop()
            return line.encryption

    @contextmanager
    def _conversation(self) -> Iterator["_Line"]:
        """A conversation with the server, encrypted and logged in; it ends with the block."""
        deadline = Deadline(self.total_s)
        line = _Line(self.server, self.port, deadline)
        try:
            with deadline:
                self._greet(line)
                yield line
                _leave(line)
        except Fault:
            raise
        except (OSError, smtplib.SMTPException, EOFError) as error:
            self._raise_fault(error, line, deadline)
        finally:
            line.close()

    def _greet(self, line: "_Line") -> None:
        code, reply = line.connect(self.server, self.port)
        if code != 220:
            self._raise_refused(code, reply)
        self._encrypt(line)
        if self.password and line.encryption != "plain":
            self._log_in(line)

    def _encrypt(self, line: "_Line") -> None:
        line.ehlo_or_helo_if_needed()
        if line.encryption == "TLS":
            return
        if line.has_extn("starttls"):
            line.starttls(context=verifying_context())
            line.encryption = "STARTTLS"
            line.ehlo_or_helo_if_needed()
        elif not is_this_machine(line.peer):
            raise PermanentFault("mail.starttls_not_offered", server=self.server, port=self.port)

    def _log_in(self, line: "_Line") -> None:
        """The client is logged in. No error's text holds the password.

        A password that is not ASCII is refused first: Python's encoding error would quote it.
        """
        user = parseaddr(self.sender)[1] or self.sender
        if not (user + self.password).isascii():
            raise PermanentFault("mail.password_not_ascii")
        try:
            line.login(user, self.password)
        except smtplib.SMTPAuthenticationError as error:
            reply = self._reply(error.smtp_code, error.smtp_error)
            if error.smtp_code < 500:
                raise TemporaryFault("mail.busy", server=self.server, reply=reply) from None
            raise PermanentFault(
                "mail.credentials_refused", server=self.server, reply=reply
            ) from None
        except smtplib.SMTPServerDisconnected:
            raise
        except smtplib.SMTPException:
            raise PermanentFault("mail.login_not_offered", server=self.server) from None

    def _hand_over(
        self, line: "_Line", letter: EmailMessage, recipients: Sequence[str]
    ) -> dict[str, Refusal | None]:
        data = letter.as_bytes(policy=letter.policy.clone(linesep="\r\n", cte_type="7bit"))
        sender = on_the_envelope(self.sender)
        code, reply = line.mail(sender) if sender else NOT_AN_ADDRESS
        if code != 250:
            self._raise_refused(code, reply, "mail.sender_refused", sender=_one_line(self.sender))
        answers = {recipient: self._offer(line, recipient) for recipient in recipients}
        if all(answers.values()):
            line.rset()
            return answers
        code, reply = self._data(line, data)
        if code != 250:
            self._raise_refused(code, reply, "mail.letter_refused")
        return answers

    def _offer(self, line: "_Line", recipient: str) -> Refusal | None:
        address = on_the_envelope(recipient)
        code, reply = line.rcpt(address) if address else NOT_AN_ADDRESS
        if code == SERVICE_ENDS:
            self._raise_refused(code, reply)
        return None if code in (250, 251) else self._refusal(recipient, code, reply)

    def _data(self, line: "_Line", data: bytes) -> tuple[int, bytes]:
        """The server's answer to the whole letter.

        If the connection is lost after the last byte, the letter may have been delivered. That is
        another fault than a connection lost before.
        """
        try:
            return line.data(data)
        except smtplib.SMTPDataError as error:
            return error.smtp_code, _as_bytes(error.smtp_error)
        except (OSError, smtplib.SMTPServerDisconnected):
            if line.has_sent_the_letter:
                raise AnswerLost("mail.answer_lost", server=self.server) from None
            raise

    def _refusal(self, recipient: str, code: int, reply: bytes) -> Refusal:
        shown = self._reply(code, reply)
        facts = {"server": self.server, "recipient": _one_line(recipient), "reply": shown}
        return Refusal(code, shown, PermanentFault("mail.recipient_refused", **facts).cause())

    def _reply(self, code: int, reply: bytes | str) -> str:
        """The server's reply without the password, because some servers repeat their input."""
        words = _one_line(_as_bytes(reply).decode("utf-8", "replace"))
        return f"{code} {Mask([self.password]).mask(words)}"[:LONGEST_REPLY].strip()

    def _raise_refused(
        self, code: int, reply: bytes, permanent: str = "mail.refused", **facts: str
    ) -> NoReturn:
        shown = self._reply(code, reply)
        if code >= 500:
            raise PermanentFault(permanent, server=self.server, reply=shown, **facts)
        raise TemporaryFault("mail.busy", server=self.server, reply=shown)

    def _raise_fault(self, error: Exception, line: "_Line", deadline: Deadline) -> NoReturn:
        """The fault behind an error of the conversation; ``from None`` hides the error's text."""
        server = {"server": self.server}
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = _one_line(error.verify_message)
            raise PermanentFault("mail.certificate_refused", **server, reason=reason) from None
        if deadline.has_passed or isinstance(error, TimeoutError):
            raise TemporaryFault("mail.too_slow", **server, seconds=f"{self.total_s:g}") from None
        if isinstance(error, socket.gaierror):
            raise TemporaryFault("mail.name_not_found", **server) from None
        if isinstance(error, ssl.SSLError):
            reason = _one_line(error.reason or type(error).__name__)
            raise TemporaryFault("mail.tls_failed", **server, reason=reason) from None
        if not line.is_connected and isinstance(error, OSError):
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            facts = {"port": self.port, "reason": reason}
            raise TemporaryFault("mail.unreachable", **server, **facts) from None
        if isinstance(error, smtplib.SMTPResponseException):
            self._raise_refused(error.smtp_code, _as_bytes(error.smtp_error))
        raise TemporaryFault("mail.dropped", **server) from None


class _Line(smtplib.SMTP):
    """smtplib's client with a socket that the deadline watches.

    Attributes:
        encryption: ``TLS``, ``STARTTLS`` or ``plain``.
        peer: The server's IP address, once connected.
        has_sent_the_letter: Whether the whole letter was sent, up to its closing dot.
    """

    def __init__(self, server: str, port: int, deadline: Deadline) -> None:
        # With a name, smtplib does not look this machine's own name up, which has no time limit.
        super().__init__(local_hostname="localhost")
        # starttls() verifies the certificate against this name; connect() does not set it.
        self._host = server
        self._deadline = deadline
        self.encryption = "TLS" if port == TLS_FROM_THE_START_PORT else "plain"
        self.peer = ""
        self.has_sent_the_letter = False

    @property
    def is_connected(self) -> bool:
        return bool(self.peer)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:  # noqa: ARG002
        connection = _connected(_addresses(host, port, self._deadline.left_s()), self._deadline)
        raw = self._deadline.watch(connection)
        self.peer, mine = raw.getpeername()[0], raw.getsockname()[0]
        self.local_hostname = f"[IPv6:{mine}]" if ":" in mine else f"[{mine}]"
        if self.encryption != "TLS":
            return raw
        return verifying_context().wrap_socket(raw, server_hostname=host)

    def send(self, s: bytes | str) -> None:  # type: ignore[override]
        super().send(s)
        if isinstance(s, bytes) and s.endswith(b"\r\n.\r\n"):
            self.has_sent_the_letter = True

    def getreply(self) -> tuple[int, bytes]:
        """The server's reply; a reply that the deadline cut short raises TimeoutError."""
        reply = super().getreply()
        self._deadline.left_s()
        return reply


def verifying_context() -> ssl.SSLContext:
    """A TLS context that verifies the certificate and its name.

    Some builds of Python find no authorities on the machine; these get certifi's.
    """
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath or context.cert_store_stats()["x509_ca"]):
        from requests.utils import DEFAULT_CA_BUNDLE_PATH

        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context


def is_this_machine(address: str) -> bool:
    """Whether the IP address is a loopback address."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return ip.is_loopback


def _addresses(host: str, port: int, within_s: float) -> list[tuple[int, tuple[object, ...]]]:
    """Family and address of each IP address of the host.

    The system's resolver has no time limit, so it runs in a thread that is abandoned on a timeout.

    Raises:
        socket.gaierror: The name is unknown.
        TimeoutError: The resolver did not answer in time.
    """
    answer: queue.Queue[list[tuple[int, tuple[object, ...]]] | OSError] = queue.Queue()

    def ask() -> None:
        try:
            places = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.put([(family, address) for family, _, _, _, address in places])
        except OSError as error:
            answer.put(error)
        except UnicodeError:
            answer.put(socket.gaierror(socket.EAI_NONAME, "not a host name"))

    threading.Thread(target=ask, daemon=True).start()
    try:
        result = answer.get(timeout=within_s)
    except queue.Empty:
        raise TimeoutError from None
    if isinstance(result, OSError):
        raise result
    return result


def _connected(
    addresses: Sequence[tuple[int, tuple[object, ...]]], deadline: Deadline
) -> socket.socket:
    """A connection to the first address that accepts one; the addresses share the time left."""
    failure: OSError = OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
    for tried, (family, address) in enumerate(addresses):
        seconds = deadline.left_s()
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(seconds / (len(addresses) - tried))
            connection.connect(address)
            connection.settimeout(seconds)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _leave(line: _Line) -> None:
    """QUIT has been sent; errors are ignored."""
    with suppress(OSError, smtplib.SMTPException):
        if line.sock is not None:
            line.sock.settimeout(QUIT_WITHIN_S)
            line.quit()


def on_the_envelope(address: str) -> str | None:
    """The address for the SMTP envelope: ASCII, without a person's name; None if impossible."""
    alone = parseaddr(address)[1] if address.isprintable() else ""
    name, _, host = alone.rpartition("@")
    if not re.fullmatch(r"[!-~]+", name) or not re.fullmatch(r"[^\s<>]+", host):
        return None
    try:
        return f"{name}@{host.encode('idna').decode()}"
    except UnicodeError:
        return None


def _one_line(text: str) -> str:
    return re.sub(r"[\s\x00-\x1f\x7f]+", " ", text).strip()


def _as_bytes(reply: bytes | str) -> bytes:
    return reply if isinstance(reply, bytes) else reply.encode("utf-8", "replace")
