"""Secrets and students' rows in a text are replaced by ``***``, in every form; pure.

The caller passes the secrets. Besides them the mask knows the usual places of a secret (a
query's ``client_key``, a password in a URL, a private key, a bearer token) and the places where
PostgreSQL quotes a row, which may be a student's.
"""

import base64
import binascii
import html
import json
import logging
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus, unquote, urlsplit

SHOWN_INSTEAD = "***"
SHORTEST_FOUND_INSIDE_WORDS = 4
SHORTEST_FRAGMENT = 8

_SCHEMES_WITH_A_HOST = ("http", "json", "xml", "form", "mailto", "redi", "s3", "postgresql")

_VALUE = r"(?=[^&\s\"'<>]*[^&\s\"'<>*])[^&\s\"'<>]+"
_GENERAL = (
    re.compile(rf"(?i)((?:client_key|access_token|assertion)(?:=|%3D)){_VALUE}"),
    re.compile(rf"(?i)(\bpassword=){_VALUE}"),
    re.compile(r"(://[^\s:/@]*:)(?=[^\s/]*[^\s/*][^\s/]*@)[^\s/]+(?=@)"),
    re.compile(r"(\bBearer )[\w.~+/=-]{16,}"),
    re.compile(
        r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(?:(?!\*{3}-----END).)+?"
        r"(?=-----END [A-Z ]*PRIVATE KEY-----)",
        re.DOTALL,
    ),
)
_QUOTED_ROWS = (
    re.compile(r"(Failing row contains )\((?!\*{3}\)).*\)"),
    re.compile(r"(Key \([^)\n]*\)=)\((?!\*{3}\)).*\)"),
    re.compile(r"(COPY [^\n:]*, line \d+[^\n:]*: )\"(?!\*{3}\").*\""),
    re.compile(r"(\[parameters: )(?!\*{3}\]).*\]"),
)


class Mask:
    """Removes the given secrets from texts.

    A secret shorter than four characters is replaced only where it stands as a whole word;
    inside words it would destroy the text. A blank secret, or one made of asterisks, is ignored.

    Args:
        secrets: As the settings hold them, among them the base64 text of a service account.
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        long: set[str] = set()
        short: set[str] = set()
        for secret in (part for whole in secrets for part in _parts(whole)):
            is_short = len(secret) < SHORTEST_FOUND_INSIDE_WORDS
            (short if is_short else long).update(_forms(secret))
        words = {form for form in short | long if len(form) < SHORTEST_FOUND_INSIDE_WORDS}
        self._patterns = [
            pattern
            for pattern in (
                _any_of(long - words, r"{}"),
                _any_of(short | words, r"(?<!\w){}(?!\w)"),
            )
            if pattern is not None
        ]

    def mask(self, text: str) -> str:
        """``text`` with every secret replaced, so that masking it again changes nothing.

        The asterisks may form another secret with the text around them, so the replacement is
        repeated until nothing changes. It ends, because each round leaves fewer characters that
        are no asterisks, or less text.
        """
        while (masked := self._once(text)) != text:
            text = masked
        return text

    def _once(self, text: str) -> str:
        for pattern in self._patterns:
            text = pattern.sub(SHOWN_INSTEAD, text)
        for pattern in _GENERAL:
            text = pattern.sub(rf"\g<1>{SHOWN_INSTEAD}", text)
        for pattern in _QUOTED_ROWS:
            text = pattern.sub(_without_the_row, text)
        return text


def _without_the_row(match: re.Match[str]) -> str:
    before, row = match[1], match[0][len(match[1]) :]
    first = row[0] if row[0] in '("' else ""
    return f"{before}{first}{SHOWN_INSTEAD}{row[-1]}"


class MaskingFilter(logging.Filter):
    """A record that has passed this filter holds no secret, its traceback included."""

    def __init__(self, mask: Mask) -> None:
        super().__init__()
        self._mask = mask

    def filter(self, record: logging.LogRecord) -> bool:
        """True, after the record's message and traceback have been masked."""
        record.msg, record.args = self._mask.mask(record.getMessage()), ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self._mask.mask(record.exc_text)
        return True


def _any_of(forms: set[str], around: str) -> re.Pattern[str] | None:
    useful = {form for form in forms if form not in SHOWN_INSTEAD and form.strip()}
    longest_first = sorted(useful, key=lambda form: (-len(form), form))
    either = "|".join(map(re.escape, longest_first))
    return re.compile(around.format(f"(?:{either})")) if either else None


def _parts(secret: str) -> Iterator[str]:
    """The secret itself, and each secret that it carries inside."""
    yield secret
    yield from _inside_a_service_account(secret)
    yield from _inside_a_url(secret)


def _inside_a_service_account(secret: str) -> Iterator[str]:
    """The private key of a service account: whole, line by line, and its id."""
    try:
        account = json.loads(base64.b64decode("".join(secret.split()), validate=True))
    except (binascii.Error, ValueError):
        return
    if not isinstance(account, dict):
        return
    for name in ("private_key", "private_key_id"):
        if isinstance(account.get(name), str):
            yield account[name]
    lines = [line.strip() for line in str(account.get("private_key", "")).splitlines()]
    body = [line for line in lines if line and not line.startswith("-----")]
    yield "".join(body)
    yield from (line for line in body if len(line) >= SHORTEST_FRAGMENT)


def _inside_a_url(secret: str) -> Iterator[str]:
    """The secret parts of a URL that is a secret: its password, its path and its query.

    A client's error text names host and path separately, not the whole URL.
    """
    if "://" not in secret:
        return
    try:
        url = urlsplit(secret)
        password = url.password
    except ValueError:
        return
    if password:
        yield password
        yield unquote(password)
    target = url.path + (f"?{url.query}" if url.query else "")
    pieces = {target, url.path, url.query, *url.path.split("/")}
    if url.scheme.rstrip("s") not in _SCHEMES_WITH_A_HOST:
        # In an Apprise address a service's token often stands in the place of the host.
        pieces |= set(re.split("[:@]", url.netloc))
    yield from (piece for piece in pieces if len(piece) >= SHORTEST_FRAGMENT)


def _forms(secret: str) -> set[str]:
    """Every form in which the secret may stand in a text: plain, escaped, quoted, base64."""
    forms = {secret, html.escape(secret), repr(secret)[1:-1]}
    for as_ascii in (True, False):
        escaped = json.dumps(secret, ensure_ascii=as_ascii)[1:-1]
        forms |= {escaped, escaped.replace("/", "\\/")}
    as_bytes = secret.encode("utf-8", "surrogatepass")
    forms |= _url_forms(as_bytes) | _base64_forms(as_bytes)
    return {form for form in forms if form.strip()}


def _url_forms(secret: bytes) -> set[str]:
    once = {quote(secret), quote(secret, safe=""), quote_plus(secret)}
    twice = {quote(form, safe="") for form in once}
    lower = {re.sub("%[0-9A-F]{2}", lambda hit: hit[0].lower(), form) for form in once}
    return once | twice | lower


def _base64_forms(secret: bytes) -> set[str]:
    """The secret in base64, and the middle of that where the secret is a part of a longer text."""
    forms: set[str] = set()
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        whole = encode(secret).decode()
        forms |= {whole, whole.rstrip("=")}
        for before in range(3):
            bits_end = (before + len(secret)) * 8
            first, last = -(-before * 8 // 6), bits_end // 6
            middle = encode(bytes(before) + secret).decode()[first:last]
            if len(middle) >= SHORTEST_FRAGMENT:
                forms.add(middle)
    return forms
