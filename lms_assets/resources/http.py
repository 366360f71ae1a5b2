"""The common parts of our HTTP clients: no login from ``~/.netrc``, one parser of Retry-After.

``trust_env`` of requests stays on, because proxies and certificate bundles in the environment are
meant for every program. But it also reads ``~/.netrc``, whose default entry would replace our
tokens. Only that is switched off.
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
    """The same session, which takes no login from ``~/.netrc``, not even after a redirect."""
    # Any value of `auth` keeps requests from reading the file.
    session.auth = _unchanged
    session.rebuild_auth = lambda *_: None  # type: ignore[method-assign]
    return session


def forget_netrc() -> None:
    """From here on no library in this process takes a login from ``~/.netrc``.

    For libraries whose sessions are not made here: requests reads only the file of this variable.
    """
    os.environ["NETRC"] = os.devnull


def _unchanged(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def retry_after_s(response: requests.Response) -> float | None:
    """The seconds in ``Retry-After``; None where the header is missing or unreadable.

    If it holds a date, the seconds are counted from the answer's ``Date``, because the server's
    clock may differ from ours. urllib3's parser counts from our clock, and raises an error for an
    unreadable value.
    """
    value = response.headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdecimal():
        return float(value)
    until = _moment(value)
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
    """The environment variable of the proxy whose address made a request fail; None if none did.

    requests raises the same ``InvalidSchema`` for a proxy's address as for the request's own.
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
