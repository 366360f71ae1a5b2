"""A letter arrives whole, or a fault says why it did not; the password travels encrypted or not."""

import base64
import ssl
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest
import trustme

from lms_assets.faults import Fault, PermanentFault, TemporaryFault
from lms_assets.resources import mail
from lms_assets.resources.mail import Mailer, is_this_machine, on_the_envelope
from lms_assets_tests.smtp_server import (
    LOGIN,
    dialogue,
    dripping,
    free_port,
    greeting,
    hangs_up,
    own_address,
    post_office,
    silent,
    talking,
)

SENDER, PASSWORD = LOGIN
THREE = ["anna@example.org", "boris@example.org", "vera@example.org"]


def letter(text: str = "Получено: 1 640 🎉\n") -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"] = SENDER, ", ".join(THREE)
    message["Subject"] = "Отчёт 🎉"
    message["Message-ID"] = "<1@example.org>"
    message.set_content(text)
    return message


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def tls(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def trusted(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))


def mailer(
    port: int, *, server: str = "localhost", password: str = "", total_s: float = 20
) -> Mailer:
    return Mailer(
        server=server,
        port=port,
        sender=SENDER,
        password=password,
        recipients=THREE,
        total_s=total_s,
    )


@pytest.mark.usefixtures("trusted")
def test_a_letter_reaches_every_recipient_after_starttls_and_login(tls: ssl.SSLContext) -> None:
    with post_office(starttls=tls) as office:
        taken = mailer(office.port, password=PASSWORD).send(letter())
    assert taken == dict.fromkeys(THREE)
    (delivery,) = office.deliveries
    assert delivery.sender == SENDER
    assert delivery.recipients == THREE
    assert delivery.was_encrypted
    assert delivery.was_logged_in
    assert delivery.letter["Subject"] == "Отчёт 🎉"
    assert delivery.letter["Message-ID"] == "<1@example.org>"
    assert delivery.letter.get_content() == "Получено: 1 640 🎉\n"


@pytest.mark.usefixtures("trusted")
def test_on_its_port_tls_begins_with_the_first_byte(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    with post_office(tls=tls) as office:
        monkeypatch.setattr(mail, "TLS_FROM_THE_START_PORT", office.port)
        assert mailer(office.port, password=PASSWORD).check() == "TLS"
        mailer(office.port, password=PASSWORD).send(letter())
    assert office.received_in_clear == b""
    assert [d.was_logged_in for d in office.deliveries] == [True]


def test_without_a_password_nobody_logs_in() -> None:
    with post_office() as office:
        mailer(office.port).send(letter())
    assert office.logins == []
    assert len(office.deliveries) == 1


def test_a_server_on_this_machine_gets_letters_in_clear_but_no_password() -> None:
    with post_office() as office:
        assert mailer(office.port, password=PASSWORD).check() == "plain"
        mailer(office.port, password=PASSWORD).send(letter())
    assert len(office.deliveries) == 1
    assert b"AUTH" not in office.received_in_clear.upper()


def test_another_host_without_starttls_gets_nothing() -> None:
    address = own_address()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    with post_office(host=address) as office, pytest.raises(PermanentFault) as caught:
        mailer(office.port, server=address, password=PASSWORD).send(letter())
    assert caught.value.code == "mail.starttls_not_offered"
    assert office.deliveries == []
    assert office.received_in_clear.upper().split()[0::2] == [b"EHLO"]


@pytest.mark.parametrize(
    ("address", "is_ours"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("10.0.0.1", False),
        ("192.168.1.1", False),
        ("::ffff:10.0.0.1", False),
        ("fe80::1%eth0", False),
        ("0.0.0.0", False),
    ],
)
def test_only_loopback_is_this_machine(address: str, is_ours: bool) -> None:
    assert is_this_machine(address) is is_ours


@pytest.mark.parametrize("from_the_start", [True, False])
def test_a_certificate_of_an_unknown_authority_is_refused(
    tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch, from_the_start: bool
) -> None:
    with post_office(**{"tls" if from_the_start else "starttls": tls}) as office:
        if from_the_start:
            monkeypatch.setattr(mail, "TLS_FROM_THE_START_PORT", office.port)
        with pytest.raises(PermanentFault) as caught:
            mailer(office.port, password=PASSWORD).send(letter())
    assert caught.value.code == "mail.certificate_refused"
    assert (office.deliveries, office.logins) == ([], [])


@pytest.mark.usefixtures("trusted")
def test_a_certificate_of_another_name_is_refused(tls: ssl.SSLContext) -> None:
    with post_office(starttls=tls) as office, pytest.raises(PermanentFault) as caught:
        mailer(office.port, server="127.0.0.1", password=PASSWORD).send(letter())
    assert caught.value.code == "mail.certificate_refused"
    assert (office.deliveries, office.logins) == ([], [])


@pytest.mark.usefixtures("trusted")
def test_a_wrong_password_is_refused_and_not_shown(tls: ssl.SSLContext) -> None:
    with post_office(starttls=tls) as office, pytest.raises(PermanentFault) as caught:
        mailer(office.port, password="wr0ng-pass").send(letter())
    assert caught.value.code == "mail.credentials_refused"
    assert "535" in caught.value.cause()
    assert "wr0ng-pass" not in str(caught.value)
    assert office.deliveries == []


@pytest.mark.usefixtures("trusted")
def test_a_server_that_repeats_the_password_does_not_bring_it_into_the_fault(
    tls: ssl.SSLContext,
) -> None:
    sent = base64.b64encode(PASSWORD.encode()).decode()
    answer = f"554 you sent {PASSWORD} {sent}"
    with (
        post_office(starttls=tls, data_answer=answer) as office,
        pytest.raises(PermanentFault) as caught,
    ):
        mailer(office.port, password=PASSWORD).send(letter())
    assert caught.value.facts["reply"] == "554 you sent *** ***"


@pytest.mark.usefixtures("trusted")
def test_a_server_without_a_login_is_named(tls: ssl.SSLContext) -> None:
    with (
        post_office(starttls=tls, offers_login=False) as office,
        pytest.raises(PermanentFault) as caught,
    ):
        mailer(office.port, password=PASSWORD).check()
    assert caught.value.code == "mail.login_not_offered"


@pytest.mark.usefixtures("trusted")
def test_a_password_that_no_login_can_carry_is_not_shown(tls: ssl.SSLContext) -> None:
    with post_office(starttls=tls) as office, pytest.raises(PermanentFault) as caught:
        mailer(office.port, password="пароль").check()
    assert caught.value.code == "mail.password_not_ascii"
    assert caught.value.__context__ is None


def test_a_refused_recipient_does_not_keep_the_letter_from_the_others() -> None:
    with post_office(answers={THREE[1]: "550 5.1.1 no such user"}) as office:
        taken = mailer(office.port).send(letter())
    assert office.deliveries[0].recipients == [THREE[0], THREE[2]]
    assert taken[THREE[0]] is None
    assert taken[THREE[2]] is None
    refusal = taken[THREE[1]]
    assert refusal is not None
    assert (refusal.code, refusal.reply) == (550, "550 5.1.1 no such user")
    assert refusal.is_permanent
    assert refusal.cause.startswith("The mail server localhost refuses the recipient boris@")


def test_a_greylisted_recipient_is_refused_for_now_only() -> None:
    with post_office(answers={THREE[1]: "451 4.7.1 later"}) as office:
        refusal = mailer(office.port).send(letter())[THREE[1]]
    assert refusal is not None
    assert not refusal.is_permanent


def test_when_every_recipient_is_refused_no_letter_is_handed_over() -> None:
    with post_office(answers=dict.fromkeys(THREE, "550 no")) as office:
        taken = mailer(office.port).send(letter())
    assert office.deliveries == []
    assert all(taken.values())


def test_only_those_who_lack_the_letter_get_it() -> None:
    with post_office() as office:
        assert mailer(office.port).send(letter(), [THREE[2]]) == {THREE[2]: None}
    assert office.deliveries[0].recipients == [THREE[2]]


@pytest.mark.parametrize("address", ["без@example.org", "a\r\nRCPT TO:<x@y>@example.org", "nobody"])
def test_an_address_that_cannot_be_written_is_refused_alone(address: str) -> None:
    with post_office() as office:
        taken = mailer(office.port).send(letter(), [address, THREE[0]])
    assert office.deliveries[0].recipients == [THREE[0]]
    refusal = taken[address]
    assert refusal is not None
    assert refusal.is_permanent


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("anna@example.org", "anna@example.org"),
        ("Anna <anna@example.org>", "anna@example.org"),
        ("anna@почта.рф", "anna@xn--80a1acny.xn--p1ai"),
        ("анна@example.org", None),
        ("anna@", None),
        ("", None),
    ],
)
def test_an_address_on_the_envelope_is_ascii(address: str, written: str | None) -> None:
    assert on_the_envelope(address) == written


def test_missing_recipients_are_a_permanent_fault() -> None:
    with pytest.raises(PermanentFault, match="nobody to write to"):
        mailer(free_port()).send(letter(), [])


@pytest.mark.parametrize(
    ("answers", "kind", "code"),
    [
        ({"sender_answer": "550 not you"}, PermanentFault, "mail.sender_refused"),
        ({"sender_answer": "451 later"}, TemporaryFault, "mail.busy"),
        ({"data_answer": "554 spam"}, PermanentFault, "mail.letter_refused"),
        ({"data_answer": "452 full"}, TemporaryFault, "mail.busy"),
        ({"answers": {THREE[0]: "421 closing"}}, TemporaryFault, "mail.busy"),
    ],
)
def test_a_refusal_is_permanent_or_temporary_by_its_code(
    answers: dict[str, object], kind: type[Fault], code: str
) -> None:
    with post_office(**answers) as office, pytest.raises(kind) as caught:
        mailer(office.port).send(letter())
    assert caught.value.code == code
    assert office.deliveries == []


@pytest.mark.parametrize(
    ("talk", "code"),
    [
        (silent, "mail.too_slow"),
        (dripping, "mail.too_slow"),
        (hangs_up, "mail.dropped"),
        (greeting(b"554 go away\r\n"), "mail.refused"),
        (greeting(b"421 busy\r\n"), "mail.busy"),
        (greeting(b"x" * 9000), "mail.refused"),
        (dialogue(then="hang_at_data"), "mail.too_slow"),
        (dialogue(then="hang"), "mail.answer_lost"),
        (dialogue(then="drop"), "mail.answer_lost"),
    ],
)
def test_a_server_that_misbehaves_is_left_in_time(talk: object, code: str) -> None:
    with talking(talk) as port, pytest.raises(Fault) as caught:  # type: ignore[arg-type]
        mailer(port, server="127.0.0.1", total_s=0.7).send(letter())
    assert caught.value.code == code


@pytest.mark.parametrize("talk", [silent, dripping])
def test_a_server_that_hangs_in_the_handshake_is_left_in_time(
    talk: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    with talking(talk) as port:  # type: ignore[arg-type]
        monkeypatch.setattr(mail, "TLS_FROM_THE_START_PORT", port)
        with pytest.raises(TemporaryFault) as caught:
            mailer(port, password=PASSWORD, total_s=0.7).send(letter())
    assert caught.value.code in ("mail.too_slow", "mail.tls_failed")


def test_a_server_that_speaks_no_tls_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with post_office() as office:
        monkeypatch.setattr(mail, "TLS_FROM_THE_START_PORT", office.port)
        with pytest.raises(TemporaryFault) as caught:
            mailer(office.port, password=PASSWORD, total_s=5).send(letter())
    assert caught.value.code == "mail.tls_failed"
    assert PASSWORD.encode() not in office.received_in_clear


def test_a_server_that_is_down_is_tried_again_later() -> None:
    with pytest.raises(TemporaryFault) as caught:
        mailer(free_port()).send(letter())
    assert caught.value.code == "mail.unreachable"
    assert "Connection refused" in caught.value.cause()


@pytest.mark.parametrize("name", ["nowhere.invalid", "no..where", "x" * 300])
def test_a_name_that_is_not_known_is_tried_again_later(name: str) -> None:
    with pytest.raises(TemporaryFault) as caught:
        mailer(25, server=name).send(letter())
    assert caught.value.code == "mail.name_not_found"


def test_a_letter_of_megabytes_arrives_whole() -> None:
    with post_office() as office:
        mailer(office.port).send(letter("строка . \n.\n..\n" * 100_000))
    assert office.deliveries[0].letter.get_content() == "строка . \n.\n..\n" * 100_000


def test_the_password_is_in_no_picture_of_the_mailer() -> None:
    assert PASSWORD not in repr(mailer(465, password=PASSWORD))
    assert PASSWORD not in str(mailer(465, password=PASSWORD))
