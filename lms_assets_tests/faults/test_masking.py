"""No form of a secret survives; a text without one is left as it is."""

import base64
import json
import logging
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lms_assets.faults.masking import Mask, MaskingFilter

secrets = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="*"), min_size=4, max_size=40
).filter(lambda text: len(text.strip()) >= 4)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)

KEY = "p@ss/w+rd &=ключ"
PEM_LINES = [
    ("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/" * n)[n:][:64]
    for n in (2, 3, 4)
]
PEM = "-----BEGIN PRIVATE KEY-----\n" + "\n".join(PEM_LINES) + "\n-----END PRIVATE KEY-----\n"
ACCOUNT = {
    "type": "service_account",
    "private_key_id": "0f1e2d3c4b5a69788796a5b4c3d2e1f001234567",
    "private_key": PEM,
    "client_email": "robot@project.iam.gserviceaccount.com",
}
CREDENTIALS = base64.b64encode(json.dumps(ACCOUNT).encode()).decode()


def forms(secret: str) -> list[str]:
    raw = secret.encode()
    return [
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote_plus(secret),
        base64.b64encode(raw).decode(),
        base64.urlsafe_b64encode(raw).decode(),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
    ]


@given(secret=secrets, before=texts, after=texts, which=st.integers(0, 8))
@example(secret="x***", before="x", after="***", which=0)
def test_no_form_of_a_secret_survives(secret: str, before: str, after: str, which: int) -> None:
    masked = Mask([secret]).mask(before + forms(secret)[which] + after)
    assert [form for form in forms(secret) if len(form) >= 4 and form in masked] == []


@given(
    secret=st.text(st.characters(codec="ascii"), min_size=16, max_size=40).filter(str.strip),
    before=st.binary(max_size=9),
    after=st.binary(max_size=9),
)
def test_a_secret_inside_something_longer_in_base64_is_cut_out(
    secret: str, before: bytes, after: bytes
) -> None:
    assume(set(secret) != {"\0"})
    shown = base64.b64encode(before + secret.encode() + after).decode()
    masked = Mask([secret]).mask(shown)
    assert "***" in masked
    left = masked.replace("*", "").rstrip("=")
    assert len(left) <= -(-len(before) * 8 // 6) + -(-len(after) * 8 // 6) + 2


@given(secrets=st.lists(st.text(max_size=20), max_size=4), text=st.text(max_size=80))
@example(secrets=["*"], text="a * b")
@example(secrets=["a*"], text="a** a*")
@example(secrets=["****"], text="*********")
def test_masking_twice_is_masking_once(secrets: list[str], text: str) -> None:
    once = Mask(secrets).mask(text)
    assert Mask(secrets).mask(once) == once


@given(text=st.text(st.sampled_from("abc def\n:/@=&%?"), max_size=80))
def test_a_text_without_a_secret_is_left_alone(text: str) -> None:
    assume("://" not in text)
    assert Mask(["XYZ-0123"]).mask(text) == text


def test_a_longer_secret_is_not_left_half_shown_by_a_shorter_one() -> None:
    assert Mask(["hunter", "hunter2-long"]).mask("is hunter2-long") == "is ***"


@pytest.mark.parametrize("short", ["a", "ab", "abc"])
def test_a_short_secret_is_masked_only_as_a_word(short: str) -> None:
    masked = Mask([short]).mask(f"database {short} cab {short}. abcd")
    assert masked == "database *** cab ***. abcd"


@pytest.mark.parametrize("blank", ["", " ", "\n", "    "])
def test_a_blank_secret_changes_nothing(blank: str) -> None:
    assert Mask([blank]).mask("    indented\n    text") == "    indented\n    text"


@pytest.mark.parametrize(
    "shown",
    [CREDENTIALS, PEM, json.dumps(PEM), *PEM_LINES, "".join(PEM_LINES), ACCOUNT["private_key_id"]],
)
def test_the_private_key_of_the_service_account_is_masked(shown: str) -> None:
    masked = Mask([CREDENTIALS]).mask(f"before {shown} after")
    assert not any(line in masked for line in (*PEM_LINES, ACCOUNT["private_key_id"]))
    assert masked.startswith("before ")
    assert masked.endswith(" after")


def test_the_address_to_share_the_sheet_with_is_no_secret() -> None:
    text = "share it with robot@project.iam.gserviceaccount.com"
    assert Mask([CREDENTIALS]).mask(text) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("GET /?client=x&client_key=S3&start=1", "GET /?client=x&client_key=***&start=1"),
        ("client_key%3DS3cret", "client_key%3D***"),
        ("postgresql://lms:pa:ss@db/x", "postgresql://lms:***@db/x"),
        ("postgresql://lms:p@ss@db:5432/x", "postgresql://lms:***@db:5432/x"),
        ("host=db password=tiger user=x", "host=db password=*** user=x"),
        ("Authorization: Bearer ya29.a0AfH6SMBx-x_3yT", "Authorization: Bearer ***"),
        ("http://localhost:3000/runs/a@b", "http://localhost:3000/runs/a@b"),
        (PEM, "-----BEGIN PRIVATE KEY-----***-----END PRIVATE KEY-----\n"),
    ],
)
def test_the_usual_places_of_secrets_are_masked_without_knowing_them(
    text: str, masked: str
) -> None:
    assert Mask([]).mask(text) == masked


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("DETAIL:  Failing row contains (1, anna, (x)).", "DETAIL:  Failing row contains (***)."),
        (
            "DETAIL:  Key (user_id)=(anna) already exists.",
            "DETAIL:  Key (user_id)=(***) already exists.",
        ),
        (
            'CONTEXT:  COPY load, line 3, column user_id: "anna"',
            'CONTEXT:  COPY load, line 3, column user_id: "***"',
        ),
        ("[parameters: {'user_id': 'anna'}]", "[parameters: ***]"),
    ],
)
def test_a_row_that_postgresql_quotes_is_not_shown(text: str, masked: str) -> None:
    assert Mask([]).mask(text) == masked


def test_a_secret_url_is_masked_by_its_path_too() -> None:
    mask = Mask(["https://hc-ping.example/5c1ff3a7-6d1e-4a33-9c0b-0d8a1b7c1a11"])
    text = "HTTPSConnectionPool(host='hc-ping.example'): url: /5c1ff3a7-6d1e-4a33-9c0b-0d8a1b7c1a11"
    assert mask.mask(text) == "HTTPSConnectionPool(host='hc-ping.example'): url: ***"


def test_a_login_as_it_travels_is_masked() -> None:
    sent = base64.b64encode(f"\0robot@example.org\0{KEY}".encode()).decode()
    assert base64.b64encode(KEY.encode()).decode()[4:-6] not in Mask([KEY]).mask(
        f"AUTH PLAIN {sent}"
    )


def test_a_log_record_loses_its_secret_in_message_arguments_and_traceback() -> None:
    try:
        raise ValueError(f"url was https://api.example/?key={quote(KEY)}")
    except ValueError as error:
        record = logging.LogRecord(
            "x", logging.ERROR, __file__, 1, "with %s", (KEY,), (type(error), error, None)
        )
    assert MaskingFilter(Mask([KEY])).filter(record)
    written = logging.Formatter().format(record)
    assert KEY not in written
    assert quote(KEY) not in written
    assert "ValueError" in written
