"""An API on loopback that answers every question with the same file, at the disk's speed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    answer: Path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        with self.server.answer.open("rb") as file, suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Length", str(self.server.answer.stat().st_size))
            self.end_headers()
            self.wfile.flush()
            self.connection.sendfile(file)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


@contextmanager
def answering(answer: Path) -> Iterator[str]:
    """The address of an API whose every answer is the file; it may be replaced meanwhile."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.answer = answer
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/attempts"
    finally:
        server.shutdown()
        server.server_close()
