"""An S3 server on loopback (moto's), that can be slow, answer 503, cut a write and list late."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "attempts"
KEYS = {"AWS_ACCESS_KEY_ID": "k3y", "AWS_SECRET_ACCESS_KEY": "s3cret", "AWS_REGION": "us-east-1"}

Answer = Callable[..., Any]


class S3Server:
    """The application with its faults; each is set by a test and wears off.

    Attributes:
        refusing: How many of the next requests are answered with 503.
        cutting: How many of the next writes are cut short: the connection ends.
        latency_s: How long each answer is held back.
        lists_late: Whether lists show what was there when this was set.
    """

    def __init__(self) -> None:
        self._app = DomainDispatcherApplication(create_backend_app)
        self.refusing = self.cutting = 0
        self.latency_s = 0.0
        self.lists_late = False
        self._lists: dict[str, tuple[Any, list[bytes]]] = {}

    def __call__(self, environ: dict[str, Any], start_response: Answer) -> Any:  # noqa: ANN401
        time.sleep(self.latency_s)
        if self.refusing:
            self.refusing -= 1
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            body = b"<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"
            start_response("503 Slow Down", [("Content-Length", str(len(body)))])
            return [body]
        if environ["REQUEST_METHOD"] == "PUT" and self.cutting:
            self.cutting -= 1
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            return []
        if "list-type" in parse_qs(environ.get("QUERY_STRING", "")):
            return self._listed(environ, start_response)
        return self._app(environ, start_response)

    def _listed(self, environ: dict[str, Any], start_response: Answer) -> Any:  # noqa: ANN401
        question = environ["PATH_INFO"] + "?" + environ["QUERY_STRING"]
        if not self.lists_late or question not in self._lists:
            head: list[Any] = []
            body = list(self._app(environ, lambda *given: head.append(given)))
            self._lists[question] = (head[0], body)
        head, body = self._lists[question]
        start_response(*head)
        return body


@contextmanager
def s3_server() -> Iterator[tuple[S3Server, str]]:
    """A server with an empty bucket, and its address."""
    app = S3Server()
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    client = boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        region_name=KEYS["AWS_REGION"],
    )
    client.create_bucket(Bucket=BUCKET)
    try:
        yield app, address
    finally:
        server.shutdown()
