"""Letters go out over SMTP, encrypted to a server that proved its name, within a total time.

smtplib's own time limit is for one operation on the socket: a server that sends a byte a
second, or a name with five addresses, would hold a delivery for as long as it likes. Here one
deadline stands over the whole, from the look-up of the name to the last answer.
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
    """Why one recipient gets no letter.

    Attributes:
        code: Of SMTP: 4xx may pass by itself, 5xx will not.
        reply: The server's own words, without a secret, on one line.
        cause: A plain sentence, in English.
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

    Port 465 is TLS from the start; on any other port STARTTLS; without either nothing is sent but
    to a server on this machine, and never a password. Certificate and name are verified, by the
    machine's authorities or those of ``SSL_CERT_FILE``.
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
        """The letter is with the server for each recipient that the server took.

        Args:
            letter: Complete, with its Message-ID.
            recipients: Those who still lack it; everybody if left out.

        Returns:
            Each recipient, with None where the letter was taken for it.

        Raises:
            TemporaryFault: Nobody got it, and a later try may do better.
            AnswerLost: Whether it arrived is not known.
            PermanentFault: Nobody got it, and a person must act first.
        """
        wanted = list(dict.fromkeys(self.recipients if recipients is None else recipients))
        if not wanted:
            raise PermanentFault("mail.no_recipients")
        with self._conversation() as line:
            return self._hand_over(line, letter, wanted)

    def check(self) -> str:
        """How the server was reached: ``TLS``, ``STARTTLS`` or ``plain``; no letter is sent.

        Raises:
            TemporaryFault: It may work later.
            PermanentFault: A setting or the server must be changed.
        """
        with self._conversation() as line:
            line.noop()
            return line.encryption

    @contextmanager
    def _conversation(self) -> Iterator["_Line"]:
        """A server that was greeted, encrypted and logged in to, and is left when all is done."""
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
        """Logged in; an error's text never holds the password, which an encoding error would."""
        user = parseaddr(self.sender)[1] or self.sender
        if not (user + self.password).isascii():
            raise PermanentFault("mail.password_not_ascii")
        try:
            line.login(user, self.password)
        except smtplib.SMTPAuthenticationError as error:
            reply = self._told(error.smtp_code, error.smtp_error)
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
        self, line: "_Line", letter: EmailMessage, wanted: Sequence[str]
    ) -> dict[str, Refusal | None]:
        data = letter.as_bytes(policy=letter.policy.clone(linesep="\r\n", cte_type="7bit"))
        sender = on_the_envelope(self.sender)
        code, reply = line.mail(sender) if sender else NOT_AN_ADDRESS
        if code != 250:
            self._raise_refused(code, reply, "mail.sender_refused", sender=_one_line(self.sender))
        answers = {recipient: self._offer(line, recipient) for recipient in wanted}
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
        """What the server says to the whole letter.

        Once it has all of it, a lost answer is another fault than a lost line: it may have been
        delivered.
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
        told = self._told(code, reply)
        facts = {"server": self.server, "recipient": _one_line(recipient), "reply": told}
        return Refusal(code, told, PermanentFault("mail.recipient_refused", **facts).cause())

    def _told(self, code: int, reply: bytes | str) -> str:
        """The server's words, with the password out of them: some servers repeat what they got."""
        words = _one_line(_as_bytes(reply).decode("utf-8", "replace"))
        return f"{code} {Mask([self.password]).mask(words)}"[:LONGEST_REPLY].strip()

    def _raise_refused(
        self, code: int, reply: bytes, permanent: str = "mail.refused", **facts: str
    ) -> NoReturn:
        told = self._told(code, reply)
        if code >= 500:
            raise PermanentFault(permanent, server=self.server, reply=told, **facts)
        raise TemporaryFault("mail.busy", server=self.server, reply=told)

    def _raise_fault(self, error: Exception, line: "_Line", deadline: Deadline) -> NoReturn:
        """What went wrong on the line, by its name; ``from None``: the texts are not all ours."""
        where = {"server": self.server}
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = _one_line(error.verify_message)
            raise PermanentFault("mail.certificate_refused", **where, reason=reason) from None
        if deadline.has_passed or isinstance(error, TimeoutError):
            raise TemporaryFault("mail.too_slow", **where, seconds=f"{self.total_s:g}") from None
        if isinstance(error, socket.gaierror):
            raise TemporaryFault("mail.name_not_found", **where) from None
        if isinstance(error, ssl.SSLError):
            reason = _one_line(error.reason or type(error).__name__)
            raise TemporaryFault("mail.tls_failed", **where, reason=reason) from None
        if not line.is_connected and isinstance(error, OSError):
            reason = os.strerror(error.errno) if error.errno else type(error).__name__
            facts = {"port": self.port, "reason": reason}
            raise TemporaryFault("mail.unreachable", **where, **facts) from None
        if isinstance(error, smtplib.SMTPResponseException):
            self._raise_refused(error.smtp_code, _as_bytes(error.smtp_error))
        raise TemporaryFault("mail.dropped", **where) from None


class _Line(smtplib.SMTP):
    """smtplib's client over a socket of ours: looked up, connected and cut by the deadline.

    Attributes:
        encryption: ``TLS``, ``STARTTLS`` or ``plain``.
        peer: The server's IP address, once connected.
        has_sent_the_letter: Whether the server has the letter whole, up to its closing dot.
    """

    def __init__(self, server: str, port: int, deadline: Deadline) -> None:
        # Given a name, smtplib does not ask the network for this machine's own, without a limit.
        super().__init__(local_hostname="localhost")
        # What smtplib's starttls() verifies the certificate against; connect() does not set it.
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
        """The server's answer, unless the deadline cut it short: half an answer looks like one."""
        reply = super().getreply()
        self._deadline.left_s()
        return reply


def verifying_context() -> ssl.SSLContext:
    """TLS that refuses a certificate which is not from a known authority or has another name.

    Some builds of Python bring no authorities of their own; those get certifi's.
    """
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath or context.cert_store_stats()["x509_ca"]):
        from requests.utils import DEFAULT_CA_BUNDLE_PATH

        context.load_verify_locations(DEFAULT_CA_BUNDLE_PATH)
    return context


def is_this_machine(address: str) -> bool:
    """Whether what is sent to this IP address stays on this machine."""
    ip = ip_address(address.partition("%")[0])
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    return ip.is_loopback


def _addresses(host: str, port: int, within_s: float) -> list[tuple[int, tuple[object, ...]]]:
    """Family and address of each place where the name leads.

    The system's resolver knows no time limit, so it is asked from a thread that nobody waits for.

    Raises:
        socket.gaierror: The name is not known.
        TimeoutError: No answer in time.
    """
    answer: queue.Queue[list[tuple[int, tuple[object, ...]]] | OSError] = queue.Queue()

    def ask() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.put([(family, address) for family, _, _, _, address in found])
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
    """A connection to the first address that takes one; each gets its share of what is left."""
    failure: OSError = OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))
    for tried, (family, address) in enumerate(addresses):
        left = deadline.left_s()
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(left / (len(addresses) - tried))
            connection.connect(address)
            connection.settimeout(left)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _leave(line: _Line) -> None:
    """The server is bid farewell; what it makes of that changes nothing."""
    with suppress(OSError, smtplib.SMTPException):
        if line.sock is not None:
            line.sock.settimeout(QUIT_WITHIN_S)
            line.quit()


def on_the_envelope(address: str) -> str | None:
    """The address as SMTP writes it: without a name and in ASCII. None if that is impossible."""
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
