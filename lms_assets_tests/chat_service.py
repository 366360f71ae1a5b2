"""A service of short messages on loopback: Apprise's json://, also busy, silent or gone."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class ChatService:
    """A service that takes messages as JSON, or answers with another status."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.messages: list[str] = []
        self.logins: list[str | None] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                service.logins.append(self.headers["Authorization"])
                if service.status < 300:
                    service.messages.append(json.loads(body)["message"])
                self.send_response(service.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}/a-secret-token"


@contextmanager
def chat(status: int = 200) -> Iterator[ChatService]:
    service = ChatService(status)
    thread = threading.Thread(target=service.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield service
    service.server.shutdown()
    service.server.server_close()
    thread.join()


@contextmanager
def silent(*, closes: bool) -> Iterator[int]:
    """A server that takes a request and then says nothing, or hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held = []

        def take() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                connection.recv(65536)
                if closes:
                    connection.close()
                held.append(connection)

        threading.Thread(target=take, daemon=True).start()
        yield server.getsockname()[1]
        for connection in held:
            connection.close()
