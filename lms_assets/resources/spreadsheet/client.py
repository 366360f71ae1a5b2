"""The real gspread client: where it sends, how long it tries, and what its errors mean.

Imported only when a sheet is read or written: gspread and google-auth take
longer to import than the rest of the code location.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn, TypeVar

import gspread
import requests
import tenacity
from google.auth.exceptions import GoogleAuthError, RefreshError
from google.auth.transport.requests import AuthorizedSession, Request
from gspread.exceptions import APIError
from gspread.http_client import HTTPClient
from gspread.utils import absolute_range_name
from requests import RequestException, Response
from requests.adapters import HTTPAdapter

from lms_assets.faults import PermanentFault, TemporaryFault
from lms_assets.resources.http import retry_after_s, unusable_proxy, without_netrc
from lms_assets.resources.spreadsheet.tabs import Grid

GOOGLE_ROOT = "https://sheets.googleapis.com"
SCOPES = ("https://www.googleapis.com/auth/spreadsheets",)
LONGEST_WAIT_S = 32
VALUES = {"valueRenderOption": "UNFORMATTED_VALUE", "dateTimeRenderOption": "SERIAL_NUMBER"}

Answer = TypeVar("Answer")


class WriteRefusedError(Exception):
    """Google will not carry out these requests as the spreadsheet stands now."""


class RoutedHttpClient(HTTPClient):
    """gspread's client for another root than Google's, which gspread has as a constant."""

    def __init__(self, auth: Any, session: Any = None, *, api_url: str) -> None:  # noqa: ANN401
        super().__init__(auth, session or _session(auth))
        self.api_url = api_url.rstrip("/")

    def request(self, method: str, endpoint: str, *given: Any, **named: Any) -> Response:  # noqa: ANN401
        """The answer to a request that gspread made for Google's root."""
        return super().request(
            method, endpoint.replace(GOOGLE_ROOT, self.api_url, 1), *given, **named
        )


def _session(credentials: Any) -> AuthorizedSession:  # noqa: ANN401
    """A session that signs in by the credentials alone, as google-auth makes one otherwise."""
    signing_in = without_netrc(requests.Session())
    signing_in.mount("https://", HTTPAdapter(max_retries=3))
    asking = AuthorizedSession(credentials, auth_request=Request(session=signing_in))  # type: ignore[no-untyped-call]
    return without_netrc(asking)


def service_account(credentials_base64: str) -> dict[str, Any]:
    """The service account's key file, which the setting holds in base64.

    Raises:
        PermanentFault: ``sheet.credentials_unreadable``, without any of its text.
    """
    try:
        info = json.loads(base64.b64decode("".join(credentials_base64.split()), validate=True))
    except (binascii.Error, ValueError):
        raise PermanentFault("sheet.credentials_unreadable") from None
    if not isinstance(info, dict) or "client_email" not in info:
        raise PermanentFault("sheet.credentials_unreadable")
    return info


class SpreadsheetClient:
    """One spreadsheet through gspread; every error is a fault with a name.

    Args:
        info: The service account's key file.
        spreadsheet_id: As in the address of the spreadsheet.
        api_url: The root that stands for Google's.
        timeout_s: For one request, until its connection and each part of its answer.
    """

    def __init__(
        self, info: Mapping[str, Any], spreadsheet_id: str, *, api_url: str, timeout_s: float
    ) -> None:
        self.address = str(info["client_email"])
        self.spreadsheet_id = spreadsheet_id
        self._root = api_url
        routed = partial(RoutedHttpClient, api_url=api_url)
        try:
            client = gspread.service_account_from_dict(info, SCOPES, routed)  # type: ignore[arg-type]
        except ValueError:
            raise PermanentFault("sheet.credentials_unreadable") from None
        client.set_timeout(timeout_s)
        self._http = client.http_client

    def worksheets(self) -> list[dict[str, Any]]:
        """Each worksheet's properties, charts and filter; no cells."""
        params: dict[str, Any] = {"includeGridData": "false"}
        metadata = self._asked(lambda: self._http.fetch_sheet_metadata(self.spreadsheet_id, params))
        return list(metadata.get("sheets", []))

    def grids(self, titles: Sequence[str]) -> dict[str, Grid]:
        """All that the worksheets hold, each from its first cell; dates are numbers."""
        if not titles:
            return {}
        ranges = [absolute_range_name(title) for title in titles]
        answer = self._asked(
            lambda: self._http.values_batch_get(self.spreadsheet_id, ranges, dict(VALUES))
        )
        found = [part.get("values", []) for part in answer["valueRanges"]]
        return dict(zip(titles, found, strict=True))

    def write(self, requests: Sequence[Mapping[str, Any]]) -> None:
        """All of the requests are carried out, or none.

        Raises:
            WriteRefusedError: With Google's reason; the spreadsheet may have changed meanwhile.
        """
        body = {"requests": list(requests)}
        self._asked(lambda: self._http.batch_update(self.spreadsheet_id, body))

    def _asked(self, ask: Callable[[], Answer]) -> Answer:
        """The answer, or what went wrong under its name.

        ``from None`` throughout: the chain would carry Google's answers into
        tracebacks, and these can quote what was sent.
        """
        try:
            return ask()
        except APIError as error:
            answer = error.response, str(error.error.get("message", ""))
        except RefreshError as error:
            _raise_token_fault(error, self.address)
        except (RequestException, GoogleAuthError) as error:
            proxy = unusable_proxy(error, self._root)
            if proxy is not None:
                raise PermanentFault("sheet.proxy_unusable", variable=proxy) from None
            raise TemporaryFault("sheet.unreachable", reason=type(error).__name__) from None
        self._raise_fault(*answer)

    def _raise_fault(self, response: Response, message: str) -> NoReturn:
        status = response.status_code
        if status == 429:
            raise TemporaryFault("sheet.busy", wait_s=retry_after_s(response) or 0)
        if status >= 500 or status == 408:
            raise TemporaryFault(
                "sheet.failing", status=status, wait_s=retry_after_s(response) or 0
            )
        if status == 401:
            raise PermanentFault("sheet.credentials_refused", address=self.address)
        if status == 403 and "has not been used in project" in message:
            raise PermanentFault("sheet.api_disabled", address=self.address)
        if status == 403:
            raise PermanentFault("sheet.not_shared", address=self.address)
        if status == 404:
            raise PermanentFault("sheet.not_found", spreadsheet_id=self.spreadsheet_id)
        raise WriteRefusedError(message[:300])


def _raise_token_fault(error: RefreshError, address: str) -> NoReturn:
    """What the token endpoint's refusal means.

    Google says a clock that is off in words only. An answer that is no JSON
    came from something in between, which google-auth does not try again.
    """
    answer = next((part for part in error.args if isinstance(part, dict)), None)
    if error.retryable or answer is None:
        raise TemporaryFault("sheet.unreachable", reason="RefreshError") from None
    if "iat" in str(answer.get("error_description", "")):
        raise PermanentFault("sheet.clock") from None
    raise PermanentFault("sheet.credentials_refused", address=address) from None


def patiently(work: Callable[[], Answer], *, budget_s: float, first_wait_s: float) -> Answer:
    """The work's answer, after as many tries as the budget allows.

    The whole of the work is tried again, not the request that failed: after an
    answer that was lost, the spreadsheet must be read before it is written.

    Raises:
        TemporaryFault: The last one, before the budget would be exceeded.
    """
    backoff = tenacity.wait_exponential(multiplier=first_wait_s, max=LONGEST_WAIT_S)
    jitter = tenacity.wait_random(0, first_wait_s)

    def wait(state: tenacity.RetryCallState) -> float:
        fault = state.outcome.exception() if state.outcome else None
        asked = fault.facts.get("wait_s", 0) if isinstance(fault, TemporaryFault) else 0
        return max(float(str(asked)), backoff(state)) + jitter(state)

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TemporaryFault),
        wait=wait,
        stop=tenacity.stop_before_delay(budget_s),
        reraise=True,
    )(work)
