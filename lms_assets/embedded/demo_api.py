"""The demo API: the grader's API on loopback, with made-up students or a recorded answer.

It follows the known contract of the real API, with its oddities. The client is the same as for
the real API.
"""

import json
import logging
import os
import re
import secrets
import threading
from collections.abc import Iterator
from datetime import MAXYEAR, MINYEAR, UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import parse_qs, urlsplit
from zoneinfo import ZoneInfo

import dagster as dg

from lms_assets.days import day_of
from lms_assets.embedded.demo_students import DemoStudents
from lms_assets.faults import PermanentFault
from lms_assets.resources.attempt_source import Answer
from lms_assets.resources.grader_api import GraderApi
from lms_assets.resources.records import NotAnArray, record_chunks

log = logging.getLogger("lms.api")

_CLIENT = "demo"
# The forms of `start` and `end` that working programs send.
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[ T]\d\d:\d\d:\d\d(?:\.\d{1,6})?)?")


class _Attempts(Protocol):
    def between(self, start: datetime, end: datetime) -> Iterator[bytes]:
        """The records of [``start``, ``end``], naive UTC, each as JSON."""


class RecordedAttempts:
    """The records of a file, byte for byte, in the file's order.

    A record whose ``created_at`` cannot be read belongs to the same window as the record before
    it, because both came with the same answer.

    Raises:
        PermanentFault: The file is not a JSON array of API records.
    """

    def __init__(self, path: Path) -> None:
        self._attempts = _attempts_in(path)

    def between(self, start: datetime, end: datetime) -> Iterator[bytes]:
        """The records of [``start``, ``end``), naive UTC."""
        return (text for moment, text in self._attempts if start <= moment < end)

    def days(self, zone: ZoneInfo) -> list[date]:
        """The days of ``zone`` with records, in order.

        In the years 1 and 9999 the UTC date is taken, because an offset could leave the calendar.
        Such days cannot be loaded anyway.
        """
        return sorted({_recorded_day(moment, zone) for moment, _ in self._attempts})


def _recorded_day(moment: datetime, zone: ZoneInfo) -> date:
    is_at_calendar_end = moment.year in (MINYEAR, MAXYEAR)
    return moment.date() if is_at_calendar_end else day_of(moment, zone)


def days_in(records: Path, zone: ZoneInfo) -> list[date]:
    """The days of ``zone`` with records in the file, in order.

    Raises:
        PermanentFault: The file is not a JSON array of API records.
    """
    return RecordedAttempts(records).days(zone)


class DemoApi:
    """An API that runs while its context is entered, on a free port of 127.0.0.1.

    Args:
        records: A file with a recorded JSON array to answer from; made-up students if left out.
        seed: The seed of the made-up students.
        faults_from: The moment from which two of their tasks are faulty, naive UTC; never if left
            out.
        client: The name of the client that may ask.
        client_key: The client's secret; a random one if left out.
        latency_s: The delay of each answer.

    Attributes:
        max_seen_concurrency: The largest number of requests that were open at once.
        asked: The number of requests.
    """

    def __init__(
        self,
        *,
        records: Path | None = None,
        seed: int = 1,
        faults_from: datetime | None = None,
        client: str = _CLIENT,
        client_key: str | None = None,
        latency_s: float = 0,
    ) -> None:
        self.client = client
        self.client_key = client_key or secrets.token_urlsafe(16)
        self.latency_s = latency_s
        self.max_seen_concurrency = 0
        self.asked = 0
        self._open = 0
        self._lock = threading.Lock()
        self._closing = threading.Event()
        students = DemoStudents(seed, faults_from=faults_from)
        self._attempts: _Attempts = RecordedAttempts(records) if records else students
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        self._server = _Server(self)
        threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="demo-api", daemon=True
        ).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    @property
    def url(self) -> str:
        """The URL of the API.

        Raises:
            RuntimeError: The context is not entered.
        """
        if self._server is None:
            raise RuntimeError("the demo API was not entered")
        return f"http://127.0.0.1:{self._server.server_address[1]}/attempts"

    def answer(self, params: dict[str, str]) -> tuple[int, bytes]:
        """The status and the body of the answer to a request with these parameters."""
        with self._lock:
            self.asked += 1
            self._open += 1
            self.max_seen_concurrency = max(self.max_seen_concurrency, self._open)
        try:
            self._closing.wait(self.latency_s)
            return self._answer(params)
        finally:
            with self._lock:
                self._open -= 1

    def _answer(self, params: dict[str, str]) -> tuple[int, bytes]:
        given = f"{params.get('client')}\n{params.get('client_key')}".encode()
        if not secrets.compare_digest(given, f"{self.client}\n{self.client_key}".encode()):
            return 401, _errors("client and client_key do not fit")
        start, end = _moment(params.get("start")), _moment(params.get("end"))
        if start is None or end is None:
            # The real API too answers an error with status 200 and an object instead of an array.
            return 200, _errors("start and end must be YYYY-MM-DD HH:MM:SS.ffffff")
        return 200, b"[" + b", ".join(self._attempts.between(start, end)) + b"]"


class DemoGraderApi(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The demo API with the methods of :class:`GraderApi`; the first call of a process starts it.

    Args:
        records: A file with a recorded JSON array to answer from; made-up students if left out.
        seed: The seed of the made-up students.
        faults_from: The moment from which two of their tasks are faulty, naive UTC, ISO; never if
            left out.
        latency_s: The delay of each answer.
    """

    records: str | None = None
    seed: int = 1
    faults_from: str | None = None
    latency_s: float = 0

    def attempts_between(self, start: datetime, end: datetime, *, to: Path) -> Answer:
        """The file ``to`` holds every attempt of [``start``, ``end``), naive UTC.

        Raises:
            PermanentFault: The file of records is not a JSON array of API records.
        """
        return self._client().attempts_between(start, end, to=to)

    def check(self) -> float:
        """The demo API answers; returns the seconds that it took.

        Raises:
            PermanentFault: The file of records is not a JSON array of API records.
        """
        return self._client().check()

    def _client(self) -> GraderApi:
        demo = _running(
            Path(self.records) if self.records else None,
            self.seed,
            datetime.fromisoformat(self.faults_from) if self.faults_from else None,
            self.latency_s,
        )
        return GraderApi(url=demo.url, client=demo.client, client_key=demo.client_key)


# Dagster makes the resource anew for every run, and the server must outlive it. A forked process
# inherits the entry but not the server's thread, so the process id is a part of the key.
_demos: dict[tuple[object, ...], DemoApi] = {}
_demos_lock = threading.Lock()


def _running(
    records: Path | None, seed: int, faults_from: datetime | None, latency_s: float
) -> DemoApi:
    key = (os.getpid(), records, _version_of(records), seed, faults_from, latency_s)
    with _demos_lock:
        if key not in _demos:
            demo = DemoApi(records=records, seed=seed, faults_from=faults_from, latency_s=latency_s)
            _demos[key] = demo.__enter__()
            log.info("the demo API answers on loopback")
        return _demos[key]


def _version_of(records: Path | None) -> tuple[int, int] | None:
    if records is None or not records.exists():
        return None
    stat = records.stat()
    return stat.st_mtime_ns, stat.st_size


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A backfill requests many days at once, more than the default of 5 waiting connections.
    request_queue_size = 128

    def __init__(self, api: DemoApi) -> None:
        self.api = api
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        query = parse_qs(urlsplit(self.path).query, keep_blank_values=True)
        status, body = self.server.api.answer({name: last[-1] for name, last in query.items()})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is logged: the line would show the URL with the client's key."""


def _moment(text: str | None) -> datetime | None:
    if text is None or not _MOMENT.fullmatch(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _errors(message: str) -> bytes:
    return json.dumps({"errors": [message]}).encode()


def _attempts_in(path: Path) -> list[tuple[datetime, bytes]]:
    """The moment and the bytes of each record in the file."""
    try:
        with path.open("rb") as body:
            texts = list(chain.from_iterable(record_chunks(body)))
    except OSError as error:
        raise _unreadable(path, error.strerror or type(error).__name__) from None
    except NotAnArray as error:
        raise _unreadable(path, str(error)) from None
    moments = [_created_at(text) for text in texts]
    latest = next((moment for moment in moments if moment is not None), None)
    if latest is None and texts:
        raise _unreadable(path, "no element has created_at")
    attempts: list[tuple[datetime, bytes]] = []
    for moment, text in zip(moments, texts, strict=True):
        latest = moment or latest
        if latest is not None:
            attempts.append((latest, text))
    return attempts


def _unreadable(path: Path, reason: str) -> PermanentFault:
    return PermanentFault("api.records_unreadable", file=path, reason=reason)


def _created_at(text: bytes) -> datetime | None:
    """The record's ``created_at`` in naive UTC; None if it is missing or unreadable."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    created_at = record.get("created_at") if isinstance(record, dict) else None
    try:
        moment = datetime.fromisoformat(created_at) if isinstance(created_at, str) else None
        if moment is None or moment.tzinfo is None:
            return moment
        return moment.astimezone(UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        return None
