"""Short messages reach a service or are known not to have; Apprise's json:// on loopback."""

from pathlib import Path

import pytest

from lms_assets.faults import AnswerLost, PermanentFault, TemporaryFault
from lms_assets.faults.masking import Mask
from lms_assets.resources.notify import Notifier
from lms_assets.settings import Settings
from lms_assets_tests.chat_service import chat, silent
from lms_assets_tests.smtp_server import free_port


def test_a_message_arrives_as_it_was_written() -> None:
    with chat() as service:
        Notifier(service.url).send("Упал день <b>2025-07-24</b> & *всё*")
    assert service.messages == ["Упал день <b>2025-07-24</b> & *всё*"]


def test_netrc_signs_nobody_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("default login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with chat() as service:
        Notifier(service.url).send("text")
    assert service.logins == [None]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_service_that_refuses_is_not_asked_again(status: int) -> None:
    with chat(status) as service, pytest.raises(PermanentFault) as fault:
        Notifier(service.url).send("text")
    assert fault.value.code == "notify.refused"
    assert fault.value.facts["status"] == status


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_service_that_is_busy_is_asked_later(status: int) -> None:
    with chat(status) as service, pytest.raises(TemporaryFault) as fault:
        Notifier(service.url).send("text")
    assert fault.value.code == "notify.busy"


def test_a_service_that_is_down_has_not_got_the_message() -> None:
    with pytest.raises(TemporaryFault) as fault:
        Notifier(f"json://127.0.0.1:{free_port()}/x").send("text")
    assert fault.value.code == "notify.unreachable"
    assert not isinstance(fault.value, AnswerLost)


@pytest.mark.parametrize("closes", [True, False])
def test_a_service_that_does_not_answer_may_have_got_the_message(closes: bool) -> None:
    with silent(closes=closes) as port, pytest.raises(AnswerLost):
        Notifier(f"json://127.0.0.1:{port}/x?rto=1", total_s=3).send("text")


def test_an_address_that_apprise_cannot_read_is_named_without_its_token() -> None:
    notifier = Notifier("nosuch://a-secret-token")
    with pytest.raises(PermanentFault) as fault:
        notifier.check()
    assert "nosuch-" in str(fault.value)
    assert "secret" not in f"{fault.value} {notifier!r} {notifier.name}"


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("tgram://123456789:abcdefg_hijklmnop/12315544/", "abcdefg_hijklmnop"),
        ("slack://TokenAAAA/TokenBBBB/TokenCCCC/channel", "TokenAAAA"),
        ("slack://TokenAAAA/TokenBBBB/TokenCCCC/channel", "TokenCCCC"),
        ("json://user:a-passw0rd@127.0.0.1/path", "a-passw0rd"),
    ],
)
def test_the_tokens_of_an_address_are_secrets(url: str, token: str) -> None:
    settings = Settings(
        notify_urls=f"json://x.example,{url}",
        api_url="https://api.example.org",
        api_client="c",
        api_client_key="k" * 20,
        _env_file=None,
    )
    assert token not in Mask(settings.secret_values).mask(f"cannot reach {token} now")
    assert token not in repr(settings)
