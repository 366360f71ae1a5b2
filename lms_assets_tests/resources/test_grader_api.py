import gzip
import hashlib
import json
import logging
import socket
import ssl
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
import trustme

from lms_assets.faults import Fault, PermanentFault, TemporaryFault
from lms_assets.resources.attempt_source import Answer
from lms_assets.resources.grader_api import GraderApi
from lms_assets_tests.api_server import (
    ApiServer,
    Behaviour,
    answer,
    cut,
    drip,
    free_port,
    hang,
    reset,
)

KEY = "Zq7/wé+secret key"
KEY_FORMS = (KEY, "Zq7%2Fw", "Zq7/w", "secret key", "secret+key", "secret%20key")
START, END = (datetime.fromisoformat(day) for day in ("2025-07-24", "2025-07-25"))
RECORD = {
    "lti_user_id": "3583bf109f8b458e13ae1ac9d85c396a",
    "passback_params": "{'oauth_consumer_key': ''}",
    "is_correct": None,
    "attempt_type": "run",
    "created_at": "2025-07-24 09:16:11.313646",
}


def client(url: str, **given: object) -> GraderApi:
    quick = {"timeout_s": 5, "first_wait_s": 0.01}
    return GraderApi(url=url, client="school", client_key=KEY, **(quick | given))


def pull(api: ApiServer, to: Path, **given: object) -> Answer:
    return client(api.url, **given).attempts_between(START, END, to=to)


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "answer.json"


@pytest.fixture(autouse=True)
def the_key_is_in_no_log_record(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    caplog.set_level(logging.DEBUG)
    yield
    told = [record.getMessage() for record in caplog.records] + [caplog.text]
    assert not [form for form in (*KEY_FORMS, "client_key=") for line in told if form in line]


def fault_of(ask: Callable[[], object], kind: type[Fault] = Fault) -> Fault:
    """The fault that ``ask`` ends in; the key is nowhere in it or in what it came from."""
    with pytest.raises(kind) as raised:
        ask()
    fault = raised.value
    told = "".join(traceback.format_exception(fault, chain=True)) + repr(fault.facts)
    for language in ("en", "ru"):
        told += fault.cause(language) + fault.remedy(language)
    assert not [form for form in KEY_FORMS if form in told]
    assert fault.__cause__ is None
    assert fault.__context__ is None or "http" not in repr(fault.__context__)
    return fault


# The answer


def test_the_file_holds_the_bytes_that_the_api_sent(to: Path) -> None:
    body = b' [ {"a": 1e400 , "b": "\\ud800"},\n{}, NaN ]\r\n'
    with ApiServer(answer(body)) as api:
        got = pull(api, to)
    assert to.read_bytes() == body
    assert (got.path, got.size, got.records, got.tries) == (to, len(body), 3, 1)
    assert got.sha256 == hashlib.sha256(body).hexdigest()
    assert got.duration_s > 0


def test_a_large_answer_with_one_odd_record_is_kept_whole(to: Path) -> None:
    """What the strict reader refuses in the midst of the body is read again by the lenient one."""
    records = [json.dumps(RECORD)] * 60_000
    body = f"[{','.join([*records[:30_000], 'NaN', *records[30_000:]])}]".encode()
    with ApiServer(answer(body)) as api:
        got = pull(api, to)
    assert to.read_bytes() == body
    assert (got.records, got.sha256) == (60_001, hashlib.sha256(body).hexdigest())


def test_a_compressed_answer_is_kept_as_what_was_compressed(to: Path) -> None:
    body = json.dumps([RECORD] * 100).encode()
    with ApiServer(answer(gzip.compress(body), Content_Encoding="gzip")) as api:
        assert pull(api, to).records == 100
    assert to.read_bytes() == body


def test_an_empty_array_is_an_answer(to: Path) -> None:
    with ApiServer(answer([])) as api:
        assert pull(api, to).records == 0
    assert to.read_bytes() == b"[]"


def test_the_window_is_asked_for_in_the_documented_form(to: Path) -> None:
    with ApiServer() as api:
        end = datetime.fromisoformat("2025-07-24T12:30:01.000005")
        client(api.url).attempts_between(START, end, to=to)
    assert api.requests[0].params == {
        "client": "school",
        "client_key": KEY,
        "start": "2025-07-24 00:00:00.000000",
        "end": "2025-07-24 12:30:01.000005",
    }


def test_a_moment_with_a_zone_is_refused_before_anything_is_asked(to: Path) -> None:
    with ApiServer() as api, pytest.raises(ValueError, match="naive"):
        client(api.url).attempts_between(START.replace(tzinfo=UTC), END, to=to)
    assert api.requests == []


def test_a_query_in_the_url_is_kept(to: Path) -> None:
    with ApiServer() as api:
        client(f"{api.url}?school=7").attempts_between(START, END, to=to)
    assert api.requests[0].params["school"] == "7"


def test_netrc_adds_no_credentials(
    to: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with ApiServer() as api:
        pull(api, to)
    assert "Authorization" not in api.requests[0].headers


def test_a_proxy_that_cannot_be_used_is_named_by_its_variable(
    to: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R39: the API's own address was blamed."""
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:9")
    api = client("http://api.example/attempts")
    fault = fault_of(lambda: api.attempts_between(START, END, to=to), PermanentFault)
    assert (fault.code, fault.facts) == ("api.proxy_unusable", {"variable": "ALL_PROXY"})


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(
    to: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with ApiServer() as api:
        assert pull(api, to).records == 0


# A1, A2: nobody there


class _StartsAfterTheFirstFailure(logging.Handler):
    def __init__(self, server: Callable[[], ApiServer]) -> None:
        super().__init__()
        self._make, self.server = server, None

    def emit(self, record: logging.LogRecord) -> None:
        if self.server is None and record.levelno >= logging.WARNING:
            self.server = self._make().__enter__()


def test_an_api_that_comes_back_between_two_tries_is_asked_again(to: Path) -> None:
    port = free_port()
    starter = _StartsAfterTheFirstFailure(lambda: ApiServer(answer([RECORD]), port=port))
    logging.getLogger("lms.api").addHandler(starter)
    try:
        api = client(f"http://127.0.0.1:{port}/attempts", tries=3)
        got = api.attempts_between(START, END, to=to)
    finally:
        logging.getLogger("lms.api").removeHandler(starter)
        if starter.server:
            starter.server.__exit__()
    assert (got.tries, got.records) == (2, 1)


def test_a_refused_connection_is_a_temporary_fault_that_names_the_host(to: Path) -> None:
    api = client(f"http://127.0.0.1:{free_port()}/attempts")
    fault = fault_of(lambda: api.attempts_between(START, END, to=to), TemporaryFault)
    assert fault.code == "api.connection_refused"
    assert "127.0.0.1" in fault.cause()
    assert not list(to.parent.iterdir())


def test_an_unknown_host_name_has_a_fault_of_its_own(to: Path) -> None:
    api = client("http://grader.invalid/attempts")
    fault = fault_of(lambda: api.attempts_between(START, END, to=to), TemporaryFault)
    assert fault.code == "api.name_not_found"
    assert "grader.invalid" in fault.cause()


def test_a_connection_that_ends_before_the_answer_is_tried_again(to: Path) -> None:
    with ApiServer(reset(), reset(), answer([RECORD])) as api:
        assert pull(api, to).tries == 3


def test_a_connection_that_always_ends_before_the_answer_is_a_temporary_fault(to: Path) -> None:
    with ApiServer(reset()) as api:
        fault = fault_of(lambda: pull(api, to), TemporaryFault)
    assert (fault.code, len(api.requests)) == ("api.connection_lost", 3)


@pytest.mark.parametrize("url", ["grader.example.org/x", "ftp://h/x", "http://", "http://[::1/x"])
def test_an_invalid_address_is_a_permanent_fault(to: Path, url: str) -> None:
    api = client(url)
    fault = fault_of(lambda: api.attempts_between(START, END, to=to), PermanentFault)
    assert fault.code == "api.url_invalid"


# A3: asked too often


@pytest.mark.parametrize("status", [429, 503])
def test_a_retry_after_in_seconds_is_waited_for(to: Path, status: int) -> None:
    with ApiServer(answer(status=status, Retry_After="2"), answer([RECORD])) as api:
        assert pull(api, to).tries == 2
    first, second = api.requests
    assert second.at_s - first.at_s >= 2


def test_a_retry_after_that_is_a_date_is_counted_from_the_clock_of_the_api(to: Path) -> None:
    now = datetime(2030, 1, 1, 12, tzinfo=UTC)
    until = format_datetime(now + timedelta(seconds=1), usegmt=True)
    busy = answer(status=429, Retry_After=until, Date=format_datetime(now, usegmt=True))
    with ApiServer(busy, answer([RECORD])) as api:
        assert pull(api, to).tries == 2
    first, second = api.requests
    assert second.at_s - first.at_s >= 1


def test_a_retry_after_date_that_is_past_is_no_wait(to: Path) -> None:
    busy = answer(status=429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")
    with ApiServer(busy, answer([RECORD])) as api:
        assert pull(api, to, first_wait_s=60).tries == 2


def test_a_retry_after_date_a_little_ahead_is_waited_for(to: Path) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=3), usegmt=True)
    with ApiServer(answer(status=503, Retry_After=until), answer([RECORD])) as api:
        assert pull(api, to).tries == 2
    first, second = api.requests
    assert second.at_s - first.at_s >= 1


@pytest.mark.parametrize("told", ["3600", "9" * 5000, "Fri, 31 Dec 2199 23:59:59 GMT"])
def test_a_retry_after_over_the_cap_fails_at_once_as_temporary(to: Path, told: str) -> None:
    with ApiServer(answer(status=429, Retry_After=told), answer([RECORD])) as api:
        fault = fault_of(lambda: pull(api, to), TemporaryFault)
    assert (fault.code, len(api.requests)) == ("api.wait_too_long", 1)
    assert "120" in fault.cause()


@pytest.mark.parametrize("told", ["abc", "-5", "2.5.1", "٣", "Fri, 99 Foo 2199", ""])
def test_a_retry_after_that_says_nothing_is_ignored(to: Path, told: str) -> None:
    said = told.encode().decode("latin-1")
    with ApiServer(answer(status=429, Retry_After=said), answer([RECORD])) as api:
        assert pull(api, to).tries == 2


def test_an_api_that_is_always_busy_is_a_temporary_fault(to: Path) -> None:
    with ApiServer(answer(status=429, Retry_After="abc")) as api:
        fault = fault_of(lambda: pull(api, to), TemporaryFault)
    assert (fault.code, len(api.requests)) == ("api.rate_limited", 3)


# A4: trouble of its own


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_two_server_errors_and_then_an_answer_succeed(to: Path, status: int) -> None:
    trouble = answer(b"<html>down</html>", status=status)
    with ApiServer(trouble, trouble, answer([RECORD])) as api:
        assert pull(api, to).tries == 3


def test_server_errors_for_good_are_a_temporary_fault(to: Path) -> None:
    with ApiServer(answer(status=502)) as api:
        fault = fault_of(lambda: pull(api, to), TemporaryFault)
    assert (fault.code, len(api.requests)) == ("api.server_error", 3)
    assert "502" in fault.cause()


def test_the_waits_between_tries_grow(to: Path) -> None:
    with ApiServer(answer(status=500)) as api:
        fault_of(lambda: pull(api, to, first_wait_s=0.1))
    first, second, third = (asked.at_s for asked in api.requests)
    assert second - first >= 0.1
    assert third - second >= 0.3


# A5: credentials


@pytest.mark.parametrize("status", [401, 403])
def test_refused_credentials_are_asked_once_and_named_by_their_variable(
    to: Path, status: int
) -> None:
    with ApiServer(answer({"errors": [f"bad key {KEY}"]}, status=status)) as api:
        fault = fault_of(lambda: pull(api, to), PermanentFault)
    assert (fault.code, len(api.requests)) == ("api.credentials_refused", 1)
    assert "API_CLIENT_KEY" in fault.remedy()


def test_another_refusal_is_asked_once_and_quoted(to: Path) -> None:
    quoted = f"no such page: /x?client=school&client_key={KEY}"
    with ApiServer(answer(quoted.encode(), status=404)) as api:
        fault = fault_of(lambda: pull(api, to), PermanentFault)
    assert (fault.code, len(api.requests)) == ("api.request_refused", 1)
    assert "no such page" in fault.cause()


# A6: a 200 that is none


@pytest.mark.parametrize(
    ("bad", "shown"),
    [
        (answer(b"<html><body>Maintenance</body></html>"), "<html><body>Maintenance"),
        (answer(status=204), '""'),
        (answer(b""), '""'),
        (answer({"errors": ["bad window"]}), '{"errors": ["bad window"]}'),
        (answer(None), "null"),
        (answer(7), "7"),
        (answer([], status=206), "206"),
        (answer("Ошибка\n\x00"), "u041e"),
    ],
)
def test_an_answer_that_is_no_array_is_tried_again_and_then_quoted(
    to: Path, bad: Behaviour, shown: str
) -> None:
    with ApiServer(bad, bad, answer([RECORD])) as api:
        assert pull(api, to).tries == 3
    with ApiServer(bad) as api:
        fault = fault_of(lambda: pull(api, to), TemporaryFault)
    assert (fault.code, len(api.requests)) == ("api.not_an_array", 3)
    assert "not a JSON array" in fault.cause()
    assert shown in fault.cause()
    assert fault.cause().isprintable()


def test_no_more_than_the_first_characters_are_quoted(to: Path) -> None:
    with ApiServer(answer(b"x" * 100_000)) as api:
        assert len(str(fault_of(lambda: pull(api, to)).facts["beginning"])) == 80


@pytest.mark.parametrize(
    "body",
    [
        RECORD,
        {"errors": "in record of 3583bf109f8b458e13ae1ac9d85c396a"},
        {"lti_user_id": "ivan", "x": 1},
    ],
)
def test_a_student_is_never_quoted(to: Path, body: object) -> None:
    with ApiServer(answer(body)) as api:
        told = str(fault_of(lambda: pull(api, to)))
    assert "3583bf10" not in told
    assert "ivan" not in told


@pytest.mark.parametrize("echo", [KEY, "Zq7%2Fw%C3%A9%2Bsecret+key"])
def test_a_key_that_the_api_echoes_is_not_quoted(to: Path, echo: str) -> None:
    with ApiServer(answer({"errors": f"unknown {echo}"})) as api:
        assert "unknown" in fault_of(lambda: pull(api, to)).cause()


# A7: cut short

WHOLE = json.dumps([RECORD] * 50).encode()


@pytest.mark.parametrize("framing", ["length", "chunked", "none"])
@pytest.mark.parametrize("sent", [0, 1, 300, len(WHOLE) - 1])
def test_a_cut_answer_is_tried_again_and_never_kept(to: Path, framing: str, sent: int) -> None:
    short = cut(WHOLE, sent=sent, framing=framing)
    with ApiServer(short, answer(WHOLE)) as api:
        assert pull(api, to).tries == 2
    assert to.read_bytes() == WHOLE
    to.write_bytes(b"[]")
    with ApiServer(short) as api:
        fault = fault_of(lambda: pull(api, to), TemporaryFault)
    assert fault.code in ("api.cut_short", "api.not_an_array")
    assert "3583bf10" not in str(fault)
    assert (to.read_bytes(), [to]) == (b"[]", list(to.parent.iterdir()))


def test_a_cut_between_two_records_is_noticed_too(to: Path) -> None:
    sent = WHOLE.rindex(b", {")
    with ApiServer(cut(WHOLE, sent=sent, framing="none")) as api:
        assert fault_of(lambda: pull(api, to)).code == "api.cut_short"


@pytest.mark.parametrize(
    "element", [b"01", b"{1: 2}", b'{"a": 1,}', b'["\\x41"]', b'{"a": tru}', b'{"a" 1}']
)
def test_an_element_that_cleaning_could_not_read_is_tried_again_and_never_kept(
    to: Path, element: bytes
) -> None:
    damaged = WHOLE[:-1] + b", " + element + b"]"
    with ApiServer(answer(damaged), answer(WHOLE)) as api:
        assert pull(api, to).tries == 2
    assert to.read_bytes() == WHOLE
    with ApiServer(answer(damaged)) as api:
        assert fault_of(lambda: pull(api, to), TemporaryFault).code == "api.cut_short"
    assert to.read_bytes() == WHOLE


def test_a_cut_compressed_answer_is_noticed(to: Path) -> None:
    packed = gzip.compress(WHOLE)[:60]
    with ApiServer(answer(packed, Content_Encoding="gzip")) as api:
        assert fault_of(lambda: pull(api, to), TemporaryFault).code in (
            "api.cut_short",
            "api.not_an_array",
        )


# A8: slow


@pytest.mark.parametrize(
    "slow", [hang(), drip(every_s=0.05, inside="body"), drip(every_s=0.05, inside="headers")]
)
def test_a_total_deadline_ends_what_never_ends(to: Path, slow: Behaviour) -> None:
    with ApiServer(slow) as api:
        fault = fault_of(lambda: pull(api, to, timeout_s=0.4, tries=2), TemporaryFault)
    assert (fault.code, len(api.requests)) == ("api.too_slow", 2)
    assert not list(to.parent.iterdir())


def test_a_slow_try_is_followed_by_a_quick_one(to: Path) -> None:
    with ApiServer(drip(every_s=0.05, inside="body"), answer([RECORD])) as api:
        assert pull(api, to, timeout_s=0.5).tries == 2


# A9: large


def test_an_answer_over_the_size_that_is_kept_is_refused(to: Path) -> None:
    with ApiServer(answer([RECORD] * 1000)) as api:
        fault = fault_of(lambda: pull(api, to, max_bytes=100_000), PermanentFault)
    assert (fault.code, len(api.requests)) == ("api.answer_too_large", 1)
    assert not list(to.parent.iterdir())


def test_a_folder_that_is_not_there_is_a_fault_of_this_machine(tmp_path: Path) -> None:
    with ApiServer(answer([])) as api:
        fault = fault_of(lambda: pull(api, tmp_path / "gone" / "answer.json"), PermanentFault)
    assert fault.code == "host.folder_unusable"


# A13: redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_refused_and_the_key_stays(to: Path, status: int) -> None:
    with ApiServer() as other:
        elsewhere = f"http://localhost:{other.port}/?client_key={KEY[:3]}"
        with ApiServer(answer(status=status, Location=elsewhere)) as api:
            fault = fault_of(lambda: pull(api, to), PermanentFault)
    assert (fault.code, len(api.requests), other.requests) == ("api.redirected", 1, [])
    assert "localhost" in fault.cause()


@pytest.mark.parametrize("location", ["", "//[", "http://[::1", "/elsewhere"])
def test_a_redirect_to_nowhere_is_refused_as_well(to: Path, location: str) -> None:
    with ApiServer(answer(status=302, Location=location)) as api:
        assert fault_of(lambda: pull(api, to), PermanentFault).code == "api.redirected"


# TLS


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def tls_server(authority: trustme.CA, *behaviours: Behaviour, name: str = "127.0.0.1") -> ApiServer:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return ApiServer(*behaviours, tls=context)


def trust(authority: trustme.CA, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority.cert_pem.write_to_path(folder / "authority.pem")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(folder / "authority.pem"))


def test_a_certificate_that_nobody_vouches_for_is_refused_at_once(
    to: Path, authority: trustme.CA
) -> None:
    with tls_server(authority, answer([])) as api:
        fault = fault_of(lambda: pull(api, to), PermanentFault)
    assert (fault.code, api.requests) == ("api.certificate_refused", [])


def test_a_certificate_of_another_host_is_refused_at_once(
    to: Path, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(authority, tmp_path, monkeypatch)
    with tls_server(authority, answer([]), name="grader.example.org") as api:
        fault = fault_of(lambda: pull(api, to), PermanentFault)
    assert (fault.code, api.requests) == ("api.certificate_refused", [])


def test_an_authority_that_the_environment_names_is_trusted(
    to: Path, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trust(authority, tmp_path, monkeypatch)
    with tls_server(authority, answer([RECORD])) as api:
        assert pull(api, to).records == 1


@pytest.mark.parametrize("inside", ["headers", "body"])
def test_a_total_deadline_ends_a_slow_answer_over_tls_too(
    to: Path, authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    trust(authority, tmp_path, monkeypatch)
    with tls_server(authority, drip(every_s=0.05, inside=inside)) as api:
        fault = fault_of(lambda: pull(api, to, timeout_s=0.5, tries=1), TemporaryFault)
    assert fault.code == "api.too_slow"


def test_a_total_deadline_ends_a_handshake_that_is_never_finished(to: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        api = client(f"https://127.0.0.1:{silent.getsockname()[1]}/", timeout_s=0.3, tries=1)
        fault = fault_of(lambda: api.attempts_between(START, END, to=to), TemporaryFault)
    assert fault.code == "api.too_slow"


# The doctor, and what the resource shows of itself


def test_the_check_asks_for_one_second(to: Path) -> None:
    with ApiServer(answer([])) as api:
        assert client(api.url).check() > 0
    params = api.requests[0].params
    start, end = (datetime.fromisoformat(params[name]) for name in ("start", "end"))
    assert end - start == timedelta(seconds=1)


def test_the_check_says_what_is_wrong() -> None:
    with ApiServer(answer(status=403)) as api:
        assert fault_of(client(api.url).check).code == "api.credentials_refused"


def test_the_key_is_in_no_text_of_the_resource() -> None:
    assert "Zq7" not in repr(client("http://h/x")) + str(client("http://h/x"))
    with pytest.raises(ValueError, match="client") as raised:
        GraderApi(url="http://h", client_key=KEY)
    assert "Zq7" not in str(raised.value)
