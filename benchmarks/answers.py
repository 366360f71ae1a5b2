"""An API on loopback that answers from a file, or from a file for each day, at the disk's speed."""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO
from urllib.parse import parse_qs, urlsplit


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    answer: Path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        answer = self._answer()
        if not answer.exists():
            return self._send(io.BytesIO(b"[]"), 2)
        with answer.open("rb") as file:
            return self._send(file, answer.stat().st_size)

    def _answer(self) -> Path:
        if self.server.answer.is_file():
            return self.server.answer
        start = parse_qs(urlsplit(self.path).query)["start"][0]
        return self.server.answer / f"{start[:10]}.json"

    def _send(self, body: BinaryIO, size: int) -> None:
        with suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            self.wfile.flush()
            self.connection.sendfile(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def answering(answer: Path) -> Iterator[str]:
    """The address of an API.

    Args:
        answer: The file that is every answer, which may be replaced meanwhile; or a folder with
            a file for each day, such as ``2025-07-24.json``; other days have no attempts.
    """
    server = _Server(("127.0.0.1", 0), _Handler)
    server.answer = answer
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/attempts"
    finally:
        server.shutdown()
        server.server_close()
