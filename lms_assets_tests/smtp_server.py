"""Mail servers on loopback: a real one (aiosmtpd), and those that break off, hang or drip."""
# ruff: noqa: ARG002 (the signatures are aiosmtpd's)

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

LOGIN = ("robot@example.org", "sup3r s3cret")


@dataclass
class Delivery:
    sender: str
    recipients: list[str]
    letter: EmailMessage
    was_encrypted: bool
    was_logged_in: bool


@dataclass
class PostOffice:
    """What the server was given, and the answers that it gives out of turn.

    ``answers``: reply to RCPT by address; ``sender_answer``, ``data_answer``: to MAIL and DATA.
    """

    answers: dict[str, str] = field(default_factory=dict)
    sender_answer: str = "250 OK"
    data_answer: str = "250 OK"
    deliveries: list[Delivery] = field(default_factory=list)
    received_in_clear: bytes = b""
    logins: list[tuple[str, str]] = field(default_factory=list)
    port: int = 0

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.sender_answer.startswith("250"):
            envelope.mail_from = address
        return self.sender_answer

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if self.data_answer.startswith("250"):
            self.deliveries.append(
                Delivery(
                    sender=envelope.mail_from or "",
                    recipients=list(envelope.rcpt_tos),
                    letter=message_from_bytes(envelope.content, policy=default),
                    was_encrypted=is_encrypted(server),
                    was_logged_in=bool(session.authenticated),
                )
            )
        return self.data_answer

    def authenticate(
        self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, given: object
    ) -> AuthResult:
        assert isinstance(given, LoginPassword)
        login = (given.login.decode(), given.password.decode())
        self.logins.append(login)
        return AuthResult(success=login == LOGIN, handled=False)


def is_encrypted(server: SMTP) -> bool:
    return bool(server.transport and server.transport.get_extra_info("sslcontext"))


class RecordingSMTP(SMTP):
    def data_received(self, data: bytes) -> None:
        if not is_encrypted(self):
            self.event_handler.received_in_clear += data
        super().data_received(data)


@contextmanager
def post_office(
    *,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
    starttls: ssl.SSLContext | None = None,
    offers_login: bool = True,
    **answers: object,
) -> Iterator[PostOffice]:
    """A real SMTP server; ``tls`` from the start, or offered by STARTTLS, or neither."""
    office = PostOffice(**answers)  # type: ignore[arg-type]
    loop = asyncio.new_event_loop()

    def protocol() -> SMTP:
        return RecordingSMTP(
            office,
            hostname="mail.example.org",
            tls_context=starttls,
            authenticator=office.authenticate if offers_login else None,
            auth_require_tls=False,
            auth_exclude_mechanism=() if offers_login else ("LOGIN", "PLAIN"),
            enable_SMTPUTF8=True,
            data_size_limit=20_000_000,
            loop=loop,
        )

    server = loop.run_until_complete(loop.create_server(protocol, host, 0, ssl=tls))
    office.port = server.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield office
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


Talk = Callable[[socket.socket, threading.Event], None]


@contextmanager
def talking(talk: Talk) -> Iterator[int]:
    """A server that does what ``talk`` does with each connection; its port."""
    over = threading.Event()
    threads: list[threading.Thread] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            talk(connection, over)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threads.append(threading.Thread(target=serve, args=(connection,), daemon=True))
                threads[-1].start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for thread in threads:
            thread.join(5)


def silent(connection: socket.socket, over: threading.Event) -> None:
    over.wait()


def hangs_up(connection: socket.socket, over: threading.Event) -> None:
    connection.close()


def dripping(connection: socket.socket, over: threading.Event) -> None:
    """A byte at a time of a greeting without an end: no single wait is long."""
    while not over.wait(0.02):
        connection.sendall(b"2")


def dialogue(*, then: str) -> Talk:
    """Polite up to the letter's last dot, then ``hang`` or ``drop``; or it hangs at DATA itself."""

    def talk(connection: socket.socket, over: threading.Event) -> None:
        lines = connection.makefile("rb")
        connection.sendall(b"220 hello\r\n")
        while line := lines.readline():
            if line.strip().upper() != b"DATA":
                connection.sendall(b"250 OK\r\n")
                continue
            if then == "hang_at_data":
                over.wait()
                return
            connection.sendall(b"354 go on\r\n")
            while lines.readline() != b".\r\n":
                pass
            if then == "hang":
                over.wait()
            return

    return talk


def greeting(text: bytes) -> Talk:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(text)
        connection.recv(1000)

    return talk


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def own_address() -> str | None:
    """An address of this machine that is not loopback, if it has one. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = str(probe.getsockname()[0])
    return None if address.startswith(("127.", "0.")) else address
