"""The client of Google Sheets through gspread: its address, its retries, its errors as faults.

The module is imported only when a sheet is read or written, because gspread and google-auth take
longer to import than all other code.
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
# The code in Google's answer where the Sheets API is not switched on.
SERVICE_DISABLED = "SERVICE_DISABLED"
VALUES = {"valueRenderOption": "UNFORMATTED_VALUE", "dateTimeRenderOption": "SERIAL_NUMBER"}

Answer = TypeVar("Answer")


class WriteRefusedError(Exception):
    """Google refuses the requests because of the spreadsheet's present state."""


class RoutedHttpClient(HTTPClient):
    """gspread's client with a configurable root; in gspread Google's root is a constant."""

    def __init__(self, auth: Any, session: Any = None, *, api_url: str) -> None:  # noqa: ANN401
        super().__init__(auth, session or _session(auth))
        self.api_url = api_url.rstrip("/")

    def request(self, method: str, endpoint: str, *args: Any, **kwargs: Any) -> Response:  # noqa: ANN401
        """The answer to a gspread request, sent to ``api_url`` instead of Google's root."""
        return super().request(
            method, endpoint.replace(GOOGLE_ROOT, self.api_url, 1), *args, **kwargs
        )


def _session(credentials: Any) -> AuthorizedSession:  # noqa: ANN401
    """An authorized session as google-auth makes it, but without logins from ``~/.netrc``."""
    signing_in = without_netrc(requests.Session())
    signing_in.mount("https://", HTTPAdapter(max_retries=3))
    asking = AuthorizedSession(credentials, auth_request=Request(session=signing_in))  # type: ignore[no-untyped-call]
    return without_netrc(asking)


def service_account(credentials_base64: str) -> dict[str, Any]:
    """The service account's key file, decoded from the setting's base64.

    Raises:
        PermanentFault: ``sheet.credentials_unreadable``, without any text of the key file.
    """
    try:
        info = json.loads(base64.b64decode("".join(credentials_base64.split()), validate=True))
    except (binascii.Error, ValueError):
        raise PermanentFault("sheet.credentials_unreadable") from None
    if not isinstance(info, dict) or "client_email" not in info:
        raise PermanentFault("sheet.credentials_unreadable")
    return info


class SpreadsheetClient:
    """One spreadsheet through gspread; every error becomes a fault.

    Args:
        info: The service account's key file.
        spreadsheet_id: The id in the spreadsheet's address.
        api_url: The root that replaces Google's.
        timeout_s: The timeout of a request: for the connection, and for each read.
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
        """The properties, charts and filter of each worksheet, without cells."""
        params: dict[str, Any] = {"includeGridData": "false"}
        sheets: list[dict[str, Any]] = self._answer_of(
            lambda: self._http.fetch_sheet_metadata(self.spreadsheet_id, params)["sheets"]
        )
        return sheets

    def grids(self, titles: Sequence[str]) -> dict[str, Grid]:
        """Title → all cells of that worksheet; dates are numbers."""
        if not titles:
            return {}
        ranges = [absolute_range_name(title) for title in titles]
        parts = self._answer_of(
            lambda: self._http.values_batch_get(self.spreadsheet_id, ranges, dict(VALUES))[
                "valueRanges"
            ]
        )
        values = [part.get("values", []) for part in parts]
        return dict(zip(titles, values, strict=True))

    def write(self, requests: Sequence[Mapping[str, Any]]) -> None:
        """Google has carried out all requests; after an error it has carried out none.

        Raises:
            WriteRefusedError: Google refuses, with its reason; perhaps the spreadsheet has
                changed since it was read.
        """
        body = {"requests": list(requests)}
        self._answer_of(lambda: self._http.batch_update(self.spreadsheet_id, body))

    def _answer_of(self, ask: Callable[[], Answer]) -> Answer:
        """The answer; an error becomes a fault.

        All faults are raised ``from None``: Google's answers may quote cells, and with the chain
        of exceptions they would get into tracebacks.
        """
        try:
            return ask()
        except APIError as error:
            answer = error.response, error.error
        except RefreshError as error:
            _raise_token_fault(error, self.address)
        except (RequestException, GoogleAuthError) as error:
            proxy = unusable_proxy(error, self._root)
            if proxy is not None:
                raise PermanentFault("sheet.proxy_unusable", variable=proxy) from None
            raise TemporaryFault("sheet.unreachable", reason=type(error).__name__) from None
        except (KeyError, TypeError):
            # gspread takes for granted what Google's answers hold; a gateway's JSON lacks it.
            raise TemporaryFault("sheet.unreachable", reason="an answer not of Google") from None
        self._raise_fault(*answer)

    def _raise_fault(self, response: Response, said: Mapping[str, Any]) -> NoReturn:
        status = response.status_code
        if status == 429:
            raise TemporaryFault("sheet.busy", wait_s=retry_after_s(response) or 0)
        if status >= 500 or status == 408:
            raise TemporaryFault(
                "sheet.failing", status=status, wait_s=retry_after_s(response) or 0
            )
        if status == 401:
            raise PermanentFault("sheet.credentials_refused", address=self.address)
        if status == 403 and SERVICE_DISABLED in _reasons(said):
            raise PermanentFault("sheet.api_disabled", address=self.address)
        if status == 403:
            raise PermanentFault("sheet.not_shared", address=self.address)
        if status == 404:
            raise PermanentFault("sheet.not_found", spreadsheet_id=self.spreadsheet_id)
        raise WriteRefusedError(str(said.get("message", ""))[:300])


def _reasons(said: Mapping[str, Any]) -> set[str]:
    """The codes in Google's answer; its sentences are for people and change."""
    details = said.get("details") or ()
    return {str(one.get("reason")) for one in details if isinstance(one, Mapping)}


def _raise_token_fault(error: RefreshError, address: str) -> NoReturn:
    """The fault behind a refusal of the token endpoint.

    Only the description's words say that this machine's clock is wrong. An answer that is no JSON
    comes from a machine in between; google-auth does not retry after it.
    """
    answer = next((part for part in error.args if isinstance(part, dict)), None)
    if error.retryable or answer is None:
        raise TemporaryFault("sheet.unreachable", reason="RefreshError") from None
    if "iat" in str(answer.get("error_description", "")):
        raise PermanentFault("sheet.clock") from None
    raise PermanentFault("sheet.credentials_refused", address=address) from None


def patiently(work: Callable[[], Answer], *, budget_s: float, first_wait_s: float) -> Answer:
    """The result of ``work``, which is repeated after a temporary fault within the budget.

    The whole work is repeated, not only the failed request: after a lost answer the spreadsheet
    must be read again before it is written.

    Raises:
        TemporaryFault: The last fault before the budget would be exceeded.
    """
    backoff = tenacity.wait_exponential(multiplier=first_wait_s, max=LONGEST_WAIT_S)
    jitter = tenacity.wait_random(0, first_wait_s)

    def wait(state: tenacity.RetryCallState) -> float:
        fault = state.outcome.exception() if state.outcome else None
        named_s = fault.facts.get("wait_s", 0) if isinstance(fault, TemporaryFault) else 0
        return max(float(str(named_s)), backoff(state)) + jitter(state)

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(TemporaryFault),
        wait=wait,
        stop=tenacity.stop_before_delay(budget_s),
        reraise=True,
    )(work)
