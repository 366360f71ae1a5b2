"""What every HTTP client of ours does alike: no login of others, one reading of Retry-After.

``trust_env`` of requests stays on, since proxies and certificate bundles of the environment are
meant for every program. It also looks for a login in ``~/.netrc``, whose default entry would
replace a token of ours; that alone is switched off.
"""

import os
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import requests
from requests.exceptions import InvalidProxyURL, InvalidSchema
from requests.utils import get_environ_proxies, select_proxy

AnySession = TypeVar("AnySession", bound=requests.Session)


def without_netrc(session: AnySession) -> AnySession:
    """The same session; it takes no login from ``~/.netrc`` and follows no redirect with one."""
    # Any value keeps requests from looking for the host in the file.
    session.auth = _as_it_is
    session.rebuild_auth = lambda *_: None  # type: ignore[method-assign]
    return session


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def retry_after_s(response: requests.Response) -> float | None:
    """How long the server wants to be left alone; None where it says nothing that can be read.

    A date is counted from the answer's own ``Date``: the server's clock may be off ours.
    urllib3's reader of this header counts from our clock and raises where it cannot read.
    """
    told = response.headers.get("Retry-After", "").strip()
    if told.isascii() and told.isdecimal():
        return float(told)
    until = _moment(told)
    if until is None:
        return None
    now = _moment(response.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def unusable_proxy(error: BaseException, url: str) -> str | None:
    """The variable of the proxy that made a request fail before it was sent; None if none did.

    requests says "invalid schema" of a proxy's address as of the address that was asked.
    """
    if not isinstance(error, InvalidSchema | InvalidProxyURL) or not url.startswith("http"):
        return None
    proxy = select_proxy(url, get_environ_proxies(url))
    named = [
        name
        for name, value in os.environ.items()
        if name.lower().endswith("_proxy") and proxy and value.strip() in (proxy, proxy.strip())
    ]
    return named[0] if named else None
