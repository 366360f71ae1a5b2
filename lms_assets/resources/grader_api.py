"""The client of the grader's API: the attempts of a window, as one JSON array in a file.

The client's key is part of the URL, and requests puts the URL into the text of most of its
exceptions. So no exception of requests leaves this module. It becomes a
:class:`~lms_assets.faults.Fault`, which is raised after the exception was handled, without cause
and context.

The session and its adapter do not retry: they cannot see a cut body, nor keep a total time limit.
This client alone retries.
"""

import hashlib
import ipaddress
import logging
import re
import ssl
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast
from urllib.parse import urljoin, urlsplit

import dagster as dg
import requests
import tenacity
from pydantic import ConfigDict, Field
from requests.auth import HTTPBasicAuth
from requests.exceptions import (
    ChunkedEncodingError,
    ContentDecodingError,
    InvalidSchema,
    InvalidURL,
    MissingSchema,
)
from requests.utils import get_auth_from_url
from urllib3.exceptions import (
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ReadTimeoutError,
)

from lms_assets.ahead import ahead
from lms_assets.faults import Fault, PermanentFault, TemporaryFault
from lms_assets.faults.folders import folder_fault
from lms_assets.faults.masking import Mask
from lms_assets.files import scratch_folder
from lms_assets.resources.attempt_source import Answer
from lms_assets.resources.deadline import Deadline, DeadlineAdapter
from lms_assets.resources.http import retry_after_s, unusable_proxy, without_netrc
from lms_assets.resources.records import BYTE_ORDER_MARK, NotAnArray, count_records, count_strictly

log = logging.getLogger("lms.api")

# Of a packed body, too, no more than this is unpacked at once.
_CHUNK = 1 << 18
_SHOWN_CHARACTERS = 80
_LONGEST_CONNECT_S = 30
_BUSY = (408, 425, 429)
_FACTOR_BETWEEN_WAITS = 3
_ANY_SECOND = datetime(2024, 1, 1)  # noqa: DTZ001 - naive as the API's own, UTC
# The API's error text may quote a student's record.
_STUDENT = re.compile(r"""(?i)\b[0-9a-f]{16,}|(?<=lti_user_id)["']?\s*[:=]\s*["']?[^"',&}\s]*""")


class _Content(NamedTuple):
    """The result of one try: the number of bytes, their checksum, the number of records."""

    size: int
    sha256: str
    records: int


class GraderApi(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The client of the grader's API.

    It gives up after ``tries`` tries of at most ``timeout_s`` each, with waits in between. If the
    API sends ``Retry-After``, the wait is that long, at most ``retry_after_cap_s``. Otherwise the
    first wait is ``first_wait_s``, each further one three times as long, plus jitter.

    Args:
        url: The address of the attempts; a name and password in it are sent as HTTP Basic.
        client: The client's name at the API.
        client_key: The client's secret.
        timeout_s: The total time of one try, from the connection to the last byte.
        tries: The number of tries.
        retry_after_cap_s: A longer ``Retry-After`` ends the tries at once.
        first_wait_s: The shortest wait after the first failed try without ``Retry-After``.
        max_bytes: A larger answer is refused, so that it cannot fill the disk.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    # The URL may hold a name and a password.
    url: str = Field(json_schema_extra={"dagster__is_secret": True})
    client: str
    client_key: str = Field(repr=False, json_schema_extra={"dagster__is_secret": True})
    timeout_s: float = 300
    tries: int = 3
    retry_after_cap_s: float = 120
    first_wait_s: float = 2
    max_bytes: int = 8_000_000_000

    def attempts_between(self, start: datetime, end: datetime, *, to: Path) -> Answer:
        """The file ``to`` holds all attempts that the API has for [``start``, ``end``).

        The API may send other attempts too, such as those at the instant ``end``, and some of
        them twice; the reader of the file must handle that. After a fault ``to`` is unchanged.

        Args:
            start: Naive UTC, included.
            end: Naive UTC, excluded.
            to: The file, in a folder that exists; it is replaced.

        Raises:
            TemporaryFault: The API did not answer in any of the tries.
            PermanentFault: The API refuses the credentials or the request, or redirects.
        """
        parameters = {
            "client": self.client,
            "client_key": self.client_key,
            "start": _api_time(start),
            "end": _api_time(end),
        }
        began = time.monotonic()
        trying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.tries),
            wait=self._wait_s,
            retry=tenacity.retry_if_exception(_is_worth_another_try),
            before_sleep=_log_wait,
            reraise=True,
        )
        for attempt in trying:
            number = attempt.retry_state.attempt_number
            with attempt:
                content = self._try(number, parameters, to)
        return Answer(to, *content, tries=number, duration_s=time.monotonic() - began)

    def check(self) -> float:
        """The seconds that the API took to answer for a window of one second.

        Raises:
            Fault: As for :meth:`attempts_between`.
        """
        with scratch_folder() as folder:
            to = folder / "answer.json"
            answer = self.attempts_between(_ANY_SECOND, _ANY_SECOND + timedelta(seconds=1), to=to)
        return answer.duration_s

    def _try(self, number: int, parameters: dict[str, str], to: Path) -> _Content:
        """One request, with a line in the log; only a complete answer replaces ``to``.

        The fault is raised here, where no other exception is being handled. Otherwise Python
        would attach that exception, with its URL, as the fault's context.
        """
        began = time.monotonic()
        outcome = self._outcome(parameters, to)
        duration_s = time.monotonic() - began
        prefix = f"try {number} of {self.tries}, {duration_s:.1f} s:"
        if isinstance(outcome, Fault):
            log.warning(
                "%s %s, status %s", prefix, outcome.code, outcome.facts.get("status", "none")
            )
            raise outcome
        log.info("%s status 200, %d bytes, %d records", prefix, outcome.size, outcome.records)
        return outcome

    def _outcome(self, parameters: dict[str, str], to: Path) -> _Content | Fault:
        part = to.with_name(f"{to.name}.part")
        deadline = Deadline(self.timeout_s)
        try:
            with deadline, self._session(deadline) as session:
                content = self._receive(session, parameters, part)
            if not deadline.has_passed:
                part.replace(to)
                return content
        except Fault as fault:
            outcome = fault
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            outcome = self._fault_of(error, part)
        finally:
            part.unlink(missing_ok=True)
        # A socket that the deadline shut looks like a lost connection or the end of the answer.
        return self._too_slow() if deadline.has_passed else outcome

    def _session(self, deadline: Deadline) -> requests.Session:
        session = without_netrc(_Session())
        for scheme in ("http://", "https://"):
            session.mount(scheme, DeadlineAdapter(deadline))
        name, password = get_auth_from_url(self.url)
        if name:
            session.auth = HTTPBasicAuth(name, password)
        logging.getLogger("urllib3.connectionpool").addFilter(_WITHOUT_QUERIES)
        return session

    def _receive(
        self, session: requests.Session, parameters: dict[str, str], part: Path
    ) -> _Content:
        """The body is in ``part``, and cleaning can read its records."""
        timeouts = (min(self.timeout_s, _LONGEST_CONNECT_S), self.timeout_s)
        # A proxy cannot reach the loopback address of this machine.
        host = _host_of(self.url)
        direct = {"no_proxy": host} if _is_loopback(host) else None
        with session.get(
            self.url,
            params=parameters,
            stream=True,
            allow_redirects=False,
            timeout=timeouts,
            proxies=direct,
        ) as response:
            refusal = self._refusal(response)
            if refusal is not None:
                raise refusal
            return self._store(response, part)

    def _store(self, response: requests.Response, part: Path) -> _Content:
        with part.open("w+b") as file:
            body = _Arriving(response, file, self.max_bytes)
            try:
                # Usually the only pass over the body: what is counted is stored on the way. The
                # lenient reader needs memory and time; a body that is too large never gets there.
                records = count_strictly(body)
                if records is None:
                    body.receive_rest()
                    file.seek(0)
                    records = count_records(file)
            except NotAnArray:
                raise self._not_an_array(file) from None
            return _Content(body.size, body.checksum.hexdigest(), records)

    def _not_an_array(self, body: BinaryIO) -> Fault:
        body.seek(0)
        beginning = body.read(4096)
        if beginning.removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"["):
            return TemporaryFault("api.cut_short")
        return TemporaryFault("api.not_an_array", status=200, beginning=self._shown(beginning))

    def _refusal(self, response: requests.Response) -> Fault | None:
        """The fault in the answer's status; None where the body must be read."""
        status = response.status_code
        if status in (401, 403):
            return PermanentFault("api.credentials_refused", status=status)
        if status in _BUSY or status >= 500:
            return self._busy(response)
        if status >= 400:
            shown = self._shown(_start_of(response))
            return PermanentFault("api.request_refused", status=status, beginning=shown)
        if status >= 300:
            to_host = _host_of(self.url, response.headers.get("Location", ""))
            to_host = self._mask.mask(to_host)
            return PermanentFault("api.redirected", status=status, to_host=to_host)
        if status != 200:
            return TemporaryFault("api.not_an_array", status=status, beginning="")
        return None

    def _busy(self, response: requests.Response) -> Fault:
        wait_s = retry_after_s(response)
        status = response.status_code
        if wait_s is not None and wait_s > self.retry_after_cap_s:
            cap_s = self.retry_after_cap_s
            return TemporaryFault("api.wait_too_long", status=status, wait_s=wait_s, cap_s=cap_s)
        code = "api.rate_limited" if status == 429 else "api.server_error"
        return TemporaryFault(code, status=status, wait_s=wait_s)

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        fault = cast(Fault, state.outcome and state.outcome.exception())
        named_s = fault.facts.get("wait_s")
        if isinstance(named_s, float):
            return named_s
        grown = tenacity.wait_exponential(self.first_wait_s, exp_base=_FACTOR_BETWEEN_WAITS)
        return (grown + tenacity.wait_random(0, self.first_wait_s))(state)

    def _fault_of(self, error: Exception, part: Path) -> Fault:
        """The fault behind a failed connection or a cut body, without the exception's text."""
        proxy = unusable_proxy(error, self.url)
        if proxy is not None:
            return PermanentFault("api.proxy_unusable", variable=proxy)
        causes = tuple(_chain(error))
        for kinds, fault, code in _MEANINGS:
            if any(isinstance(cause, kinds) for cause in causes):
                return fault(code, host=self._host, timeout_s=self.timeout_s)
        return folder_fault(error, part)

    def _too_slow(self) -> Fault:
        return TemporaryFault("api.too_slow", timeout_s=self.timeout_s)

    @property
    def _host(self) -> str:
        return self._mask.mask(_host_of(self.url))

    @property
    def _mask(self) -> Mask:
        return Mask([self.client_key])

    def _shown(self, beginning: bytes) -> str:
        """The first characters of a body that is no array, in ASCII, without key or student."""
        text = self._mask.mask(beginning.decode("utf-8-sig", "replace").strip())
        if text.startswith("["):
            return ""
        return ascii(_STUDENT.sub("***", text)[:_SHOWN_CHARACTERS])[1:-1]


class _Arriving:
    """A response's body as a stream: what is read of it is stored and hashed.

    A thread receives the next bytes while the reader works.

    Args:
        response: The response, whose body was not read.
        file: Holds all bytes that were read.
        max_bytes: A longer body is refused.
    """

    def __init__(self, response: requests.Response, file: BinaryIO, max_bytes: int) -> None:
        self.size = 0
        self.checksum = hashlib.sha256()
        self._chunks = ahead(response.iter_content(_CHUNK))
        self._file = file
        self._max_bytes = max_bytes

    def read(self, _: int, /) -> bytes:
        """The next chunk, whatever number of bytes is asked for; nothing at the end.

        Raises:
            PermanentFault: ``api.answer_too_large``.
        """
        chunk = next(self._chunks, b"")
        self.size += self._file.write(chunk)
        self.checksum.update(chunk)
        if self.size > self._max_bytes:
            raise PermanentFault("api.answer_too_large", max_bytes=self._max_bytes)
        return chunk

    def receive_rest(self) -> None:
        """All bytes are stored and hashed.

        Raises:
            PermanentFault: ``api.answer_too_large``.
        """
        while self.read(_CHUNK):
            pass


class _Session(requests.Session):
    """A session that follows no redirect and does not read its body."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """None: with a target, requests would read the redirect's whole body."""


class _WithoutQueries(logging.Filter):
    """Removes the queries from urllib3's log lines, which show each URL at DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True, after the queries have been removed."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg if isinstance(arg, int | float) else str(arg).partition("?")[0]
                for arg in record.args
            )
        return True


_WITHOUT_QUERIES = _WithoutQueries()

# Exceptions → fault. The first row with an exception of the chain applies; others are disk errors.
_MEANINGS: tuple[tuple[tuple[type[Exception], ...], type[Fault], str], ...] = (
    ((requests.Timeout, ReadTimeoutError), TemporaryFault, "api.too_slow"),
    ((requests.exceptions.ProxyError,), TemporaryFault, "api.proxy_failed"),
    ((ssl.SSLCertVerificationError,), PermanentFault, "api.certificate_refused"),
    ((ChunkedEncodingError, ContentDecodingError), TemporaryFault, "api.cut_short"),
    ((NameResolutionError,), TemporaryFault, "api.name_not_found"),
    ((NewConnectionError,), TemporaryFault, "api.connection_refused"),
    ((InvalidURL, InvalidSchema, MissingSchema), PermanentFault, "api.url_invalid"),
    (
        (requests.RequestException, HTTPError, ConnectionError, TimeoutError, ssl.SSLError),
        TemporaryFault,
        "api.connection_lost",
    ),
    ((ValueError,), PermanentFault, "api.url_invalid"),
)


def _api_time(moment: datetime) -> str:
    """The time in the API's documented form: naive UTC, always with six decimals."""
    if moment.tzinfo is not None:
        raise ValueError("a window is naive UTC")
    return moment.isoformat(sep=" ", timespec="microseconds")


def _is_worth_another_try(error: BaseException) -> bool:
    return isinstance(error, TemporaryFault) and error.code != "api.wait_too_long"


def _log_wait(state: tenacity.RetryCallState) -> None:
    log.info("asked again in %.1f s", state.upcoming_sleep)


def _start_of(response: requests.Response) -> bytes:
    return next(response.iter_content(4096), b"")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception and those inside it: urllib3 keeps them in ``reason``, requests in ``args``."""
    while error is not None:
        yield error
        inside = (getattr(error, "reason", None), *error.args, error.__cause__)
        error = next(
            (candidate for candidate in inside if isinstance(candidate, BaseException)), None
        )


def _host_of(url: str, target: str = "") -> str:
    try:
        return urlsplit(urljoin(url, target)).hostname or "?"
    except ValueError:
        return "?"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
