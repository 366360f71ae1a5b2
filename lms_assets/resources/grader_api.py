"""The grader's API: the attempts of a window, as one whole JSON array in a file.

The client's key travels in the URL, and requests puts the URL into the text of
most of its exceptions. So nothing that requests raises leaves this module: what
went wrong becomes a :class:`~lms_assets.faults.Fault`, raised when the other
exception is already forgotten, without cause and without context.

Three levels could try again, and only one does: neither the session nor its
adapter knows a cut body or a total time limit, so this client counts the tries.
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
from typing import NamedTuple, cast
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

from lms_assets.faults import Fault, PermanentFault, TemporaryFault
from lms_assets.faults.folders import folder_fault
from lms_assets.faults.masking import Mask
from lms_assets.files import scratch_folder
from lms_assets.resources.attempt_source import Answer
from lms_assets.resources.deadline import Deadline, DeadlineAdapter
from lms_assets.resources.http import retry_after_s, unusable_proxy, without_netrc
from lms_assets.resources.records import BYTE_ORDER_MARK, NotAnArray, count_records

log = logging.getLogger("lms.api")

_CHUNK = 1 << 16
_SHOWN_CHARACTERS = 80
_LONGEST_CONNECT_S = 30
_BUSY = (408, 425, 429)
_FACTOR_BETWEEN_WAITS = 3
_ANY_SECOND = datetime(2024, 1, 1)  # noqa: DTZ001 - naive as the API's own, UTC
# An error text may quote the record that it stumbled over.
_STUDENT = re.compile(r"""(?i)\b[0-9a-f]{16,}|(?<=lti_user_id)["']?\s*[:=]\s*["']?[^"',&}\s]*""")


class _Content(NamedTuple):
    """What one try brought: bytes, their checksum, and how many records they hold."""

    size: int
    sha256: str
    records: int


class GraderApi(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The grader's attempts, asked for window by window.

    Gives up within ``tries * timeout_s`` and the waits between: at most
    ``retry_after_cap_s`` each where the API names one, else a few times
    ``first_wait_s``, growing threefold, with jitter.

    Args:
        url: Where the attempts are; a name and password inside it are used as HTTP's own.
        client: Who asks.
        client_key: Its secret.
        timeout_s: The total time of one try, from the connection to the last byte.
        tries: How often to ask before giving up.
        retry_after_cap_s: A longer ``Retry-After`` ends the asking at once.
        first_wait_s: The least wait after the first failed try that names none.
        max_bytes: An answer above this is refused instead of filling the disk.
    """

    model_config = ConfigDict(hide_input_in_errors=True)

    # It may hold a name and a password.
    url: str = Field(json_schema_extra={"dagster__is_secret": True})
    client: str
    client_key: str = Field(repr=False, json_schema_extra={"dagster__is_secret": True})
    timeout_s: float = 300
    tries: int = 3
    retry_after_cap_s: float = 120
    first_wait_s: float = 2
    max_bytes: int = 8_000_000_000

    def attempts_between(self, start: datetime, end: datetime, *, to: Path) -> Answer:
        """The file ``to`` holds every attempt that the API knows of [``start``, ``end``).

        The API may add others, the instant ``end`` for one, and give one twice:
        that is for whoever reads the file. On a fault ``to`` is as it was before.

        Args:
            start: Naive, UTC, included.
            end: Naive, UTC, excluded.
            to: In a folder that exists; replaced.

        Raises:
            TemporaryFault: The API could not answer now, ``tries`` times.
            PermanentFault: It refuses the credentials or the question, or points elsewhere.
        """
        asked = {
            "client": self.client,
            "client_key": self.client_key,
            "start": _as_the_api_reads_it(start),
            "end": _as_the_api_reads_it(end),
        }
        began = time.monotonic()
        trying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.tries),
            wait=self._wait_s,
            retry=tenacity.retry_if_exception(_is_worth_another_try),
            before_sleep=_say_that_it_is_asked_again,
            reraise=True,
        )
        for attempt in trying:
            number = attempt.retry_state.attempt_number
            with attempt:
                content = self._try(number, asked, to)
        return Answer(to, *content, tries=number, duration_s=time.monotonic() - began)

    def check(self) -> float:
        """The API answers and accepts the credentials: the seconds that it took for one second.

        Raises:
            Fault: As :meth:`attempts_between`.
        """
        with scratch_folder() as folder:
            to = folder / "answer.json"
            answer = self.attempts_between(_ANY_SECOND, _ANY_SECOND + timedelta(seconds=1), to=to)
        return answer.duration_s

    def _try(self, number: int, asked: dict[str, str], to: Path) -> _Content:
        """One question, told in the log; ``to`` is replaced only by a whole answer.

        Raised here, where no other exception is being handled: a fault raised
        while one is would carry that one, with its URL, as its context.
        """
        began = time.monotonic()
        outcome = self._outcome(asked, to)
        duration_s = time.monotonic() - began
        said = f"try {number} of {self.tries}, {duration_s:.1f} s:"
        if isinstance(outcome, Fault):
            log.warning("%s %s, status %s", said, outcome.code, outcome.facts.get("status", "none"))
            raise outcome
        log.info("%s status 200, %d bytes, %d records", said, outcome.size, outcome.records)
        return outcome

    def _outcome(self, asked: dict[str, str], to: Path) -> _Content | Fault:
        part = to.with_name(f"{to.name}.part")
        deadline = Deadline(self.timeout_s)
        try:
            with deadline, self._session(deadline) as session:
                size, sha256 = self._receive(session, asked, part)
            content = _Content(size, sha256, self._records(part))
            if not deadline.has_passed:
                part.replace(to)
                return content
        except Fault as fault:
            outcome = fault
        except (requests.RequestException, HTTPError, OSError, ValueError) as error:
            outcome = self._fault_of(error, part)
        finally:
            part.unlink(missing_ok=True)
        # A shut socket looks like a lost connection, or like an answer's end.
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
        self, session: requests.Session, asked: dict[str, str], part: Path
    ) -> tuple[int, str]:
        """Size and checksum of the body, which is now in ``part``."""
        timeouts = (min(self.timeout_s, _LONGEST_CONNECT_S), self.timeout_s)
        # A proxy of the environment cannot know this machine's own loopback.
        host = _host_of(self.url)
        direct = {"no_proxy": host} if _is_loopback(host) else None
        with session.get(
            self.url,
            params=asked,
            stream=True,
            allow_redirects=False,
            timeout=timeouts,
            proxies=direct,
        ) as response:
            refusal = self._refusal(response)
            if refusal is not None:
                raise refusal
            return self._store(response, part)

    def _store(self, response: requests.Response, part: Path) -> tuple[int, str]:
        checksum, size = hashlib.sha256(), 0
        with part.open("wb") as file:
            for chunk in response.iter_content(_CHUNK):
                size += file.write(chunk)
                checksum.update(chunk)
                if size > self.max_bytes:
                    raise PermanentFault("api.answer_too_large", max_bytes=self.max_bytes)
        return size, checksum.hexdigest()

    def _records(self, part: Path) -> int:
        """How many records the body has, once it is known that cleaning can read it."""
        with part.open("rb") as body:
            beginning = body.read(4096)
            if not beginning.removeprefix(BYTE_ORDER_MARK).lstrip().startswith(b"["):
                shown = self._shown(beginning)
                raise TemporaryFault("api.not_an_array", status=200, beginning=shown)
            body.seek(0)
            try:
                return count_records(body)
            except NotAnArray:
                raise TemporaryFault("api.cut_short") from None

    def _refusal(self, response: requests.Response) -> Fault | None:
        """Why the answer is none, by its status alone; None where its body must tell."""
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
        told = fault.facts.get("wait_s")
        if isinstance(told, float):
            return told
        grown = tenacity.wait_exponential(self.first_wait_s, exp_base=_FACTOR_BETWEEN_WAITS)
        return (grown + tenacity.wait_random(0, self.first_wait_s))(state)

    def _fault_of(self, error: Exception, part: Path) -> Fault:
        """What a failed connection or a cut body means, without a word of the exception's own."""
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
        """The first characters of a body that is no array: in ASCII, no key, no student."""
        text = self._mask.mask(beginning.decode("utf-8-sig", "replace").strip())
        if text.startswith("["):
            return ""
        return ascii(_STUDENT.sub("***", text)[:_SHOWN_CHARACTERS])[1:-1]


class _Session(requests.Session):
    """A session that follows no redirect, and never reads what one says."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """No target: requests would read a redirect's body whole before it asks whether to go."""


class _WithoutQueries(logging.Filter):
    """urllib3's own lines, which show each URL at the level DEBUG, without its query."""

    def filter(self, record: logging.LogRecord) -> bool:
        """True: the record goes on."""
        if isinstance(record.args, tuple):
            record.args = tuple(
                arg if isinstance(arg, int | float) else str(arg).partition("?")[0]
                for arg in record.args
            )
        return True


_WITHOUT_QUERIES = _WithoutQueries()

# The first row that any exception of the chain belongs to; whatever is left is the disk's.
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


def _as_the_api_reads_it(moment: datetime) -> str:
    """The documented form: naive, UTC, always with six decimals."""
    if moment.tzinfo is not None:
        raise ValueError("a window is naive UTC")
    return moment.isoformat(sep=" ", timespec="microseconds")


def _is_worth_another_try(error: BaseException) -> bool:
    return isinstance(error, TemporaryFault) and error.code != "api.wait_too_long"


def _say_that_it_is_asked_again(state: tenacity.RetryCallState) -> None:
    log.info("asked again in %.1f s", state.upcoming_sleep)


def _start_of(response: requests.Response) -> bytes:
    return next(response.iter_content(4096), b"")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, and those that it wraps: urllib3 in its ``reason``, requests in ``args``."""
    while error is not None:
        yield error
        inside = (getattr(error, "reason", None), *error.args, error.__cause__)
        error = next((one for one in inside if isinstance(one, BaseException)), None)


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
