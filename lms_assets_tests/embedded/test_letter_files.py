"""A letter of the outbox is a private file that any mail program opens."""

import os
import stat
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import SMTP, default
from email.utils import format_datetime
from pathlib import Path

import pytest

from lms_assets.embedded.letter_files import Outbox
from lms_assets.faults import PermanentFault

MORNING = datetime(2025, 7, 25, 10, 0, 12, tzinfo=timezone(timedelta(hours=3)))
BOTH = ("anna@example.org", "boris@example.org")


def letter(
    message_id: str = "<1@x>", *, text: str = "привет 🎉\n", date: datetime = MORNING
) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"] = "robot@example.org", ", ".join(BOTH)
    message["Message-ID"], message["Date"] = message_id, format_datetime(date)
    message["X-LMS-Kind"] = "success"
    message.set_content(text)
    return message


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox", "robot@example.org", BOTH)


def files(outbox: Outbox) -> list[str]:
    return sorted(path.name for path in outbox.folder.iterdir())


def test_a_letter_is_a_file_named_by_time_kind_and_message_id(outbox: Outbox) -> None:
    assert outbox.send(letter()) == dict.fromkeys(BOTH)
    (name,) = files(outbox)
    assert name.startswith("20250725T070012Z-success-")
    assert name.endswith(".eml")
    read = message_from_bytes((outbox.folder / name).read_bytes(), policy=default)
    assert read["To"] == "anna@example.org, boris@example.org"
    assert read.get_content().split() == ["привет", "🎉"]


def test_the_same_letter_again_replaces_its_file(outbox: Outbox) -> None:
    outbox.send(letter())
    outbox.send(letter(text="later\n", date=datetime(2025, 7, 26, tzinfo=UTC)))
    (name,) = files(outbox)
    assert name.startswith("20250726T000000Z-success-")
    assert b"later" in (outbox.folder / name).read_bytes()


def test_two_letters_of_one_moment_are_two_files(outbox: Outbox) -> None:
    outbox.send(letter("<1@x>"))
    outbox.send(letter("<2@x>"))
    assert len(files(outbox)) == 2


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_the_owner_may_read_a_letter(outbox: Outbox) -> None:
    outbox.send(letter())
    (name,) = files(outbox)
    assert stat.S_IMODE((outbox.folder / name).stat().st_mode) == 0o600
    assert stat.S_IMODE(outbox.folder.stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "a_file").touch()
    outbox = Outbox(tmp_path / "a_file" / "outbox", "robot@example.org", BOTH)
    with pytest.raises(PermanentFault, match="a_file/outbox cannot be written"):
        outbox.send(letter())
    with pytest.raises(PermanentFault, match="cannot be written"):
        outbox.check()


def test_checking_leaves_nothing_behind(outbox: Outbox) -> None:
    assert outbox.check() == "outbox"
    assert files(outbox) == []
