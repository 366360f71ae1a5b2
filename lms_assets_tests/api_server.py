"""A real HTTP server on loopback that does what a test tells it, request by request.

    with ApiServer(answer(status=503), answer([])) as api:
        GraderApi(url=api.url, client="c", client_key="k").attempts_between(…)
    assert len(api.requests) == 2

The last behaviour goes on for ever.
"""

import json
import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import parse_qs, urlsplit

Behaviour = Callable[["_Handler"], None]


@dataclass(frozen=True)
class Asked:
    """A request as it came; ``at_s`` is monotonic."""

    path: str
    params: dict[str, str]
    headers: dict[str, str]
    at_s: float


class ApiServer:
    """Answers each request by the next behaviour; keeps every request in ``requests``."""

    def __init__(
        self, *behaviours: Behaviour, port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        self.behaviours = list(behaviours) or [answer([])]
        self.requests: list[Asked] = []
        self.closing = threading.Event()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _Handler, bind_and_activate=False)
        self._server.allow_reuse_address = True
        self._server.daemon_threads = True
        self._server.owner = self  # type: ignore[attr-defined]
        self._server.server_bind()
        self._server.server_activate()
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/attempts"

    def next_behaviour(self, asked: Asked) -> Behaviour:
        with self._lock:
            self.requests.append(asked)
            return self.behaviours.pop(0) if len(self.behaviours) > 1 else self.behaviours[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def owner(self) -> ApiServer:
        return self.server.owner  # type: ignore[attr-defined]

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        params = {name: values[0] for name, values in query.items()}
        asked = Asked(self.path, params, dict(self.headers.items()), time.monotonic())
        self.close_connection = True
        with suppress(OSError):
            self.owner.next_behaviour(asked)(self)

    def log_message(self, format: str, *args: object) -> None:
        pass


def free_port() -> int:
    """A port of loopback on which nothing listens now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def as_bytes(body: object) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def answer(body: object = b"", *, status: int = 200, **headers: str) -> Behaviour:
    """``body``, bytes or what JSON can say, with its length; ``Retry_After="2"`` is a header."""

    def behave(handler: _Handler) -> None:
        content = as_bytes(body)
        handler.send_response_only(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if status != 204:
            handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return behave


def cut(body: object, *, sent: int, framing: str) -> Behaviour:
    """The first ``sent`` bytes of ``body``, then the connection ends.

    ``framing``: ``length`` (announced whole), ``chunked`` (no last chunk), ``none`` (until closed).
    """

    def behave(handler: _Handler) -> None:
        content = as_bytes(body)
        handler.send_response(200)
        if framing == "length":
            handler.send_header("Content-Length", str(len(content)))
        elif framing == "chunked":
            handler.send_header("Transfer-Encoding", "chunked")
        handler.send_header("Connection", "close")
        handler.end_headers()
        part = content[:sent]
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part) if framing == "chunked" else part)

    return behave


def reset() -> Behaviour:
    """The connection ends before any answer."""
    return lambda handler: handler.connection.shutdown(socket.SHUT_RDWR)


def hang() -> Behaviour:
    """Nothing, until the server is closed."""
    return lambda handler: void(handler.owner.closing.wait(30))


def drip(*, every_s: float, inside: str) -> Behaviour:
    """A byte every ``every_s`` seconds, ``inside`` the ``body`` or the ``headers``."""

    def behave(handler: _Handler) -> None:
        start = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n"
        handler.wfile.write(start + (b"\r\n[" if inside == "body" else b"X-Slow: "))
        while not handler.owner.closing.wait(every_s):
            handler.wfile.write(b" ")

    return behave


def void(_: object) -> None:
    """Nothing."""
