"""The double of a mail server: letters as ``.eml`` files in a folder.

It has the methods of ``Mailer``. Any mail program opens the files.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import NoReturn

from lms_assets.faults import PermanentFault
from lms_assets.files import write_whole
from lms_assets.resources.mail import Refusal

KIND_HEADER = "X-LMS-Kind"


@dataclass(frozen=True)
class Outbox:
    """A folder with a file per letter, which only its owner may read."""

    folder: Path
    sender: str
    recipients: tuple[str, ...] = ()

    def send(
        self, letter: EmailMessage, recipients: Sequence[str] | None = None
    ) -> dict[str, Refusal | None]:
        """The letter is a file in the folder; a letter that is sent again replaces its file.

        A file is named ``20250725T070012Z-success-0f1e2d3c4b5a.eml``: the letter's date (UTC), its
        kind, and a hash of its Message-ID.

        Raises:
            PermanentFault: The folder cannot be written.
        """
        data = letter.as_bytes(policy=letter.policy.clone(linesep="\r\n"))
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            written = self.folder / _file_name(letter)
            write_whole(written, data)
            for earlier in self.folder.glob(f"*-{_mark(letter)}.eml"):
                if earlier != written:
                    earlier.unlink(missing_ok=True)
        except OSError as error:
            self._raise_unwritable(error)
        return dict.fromkeys(self.recipients if recipients is None else recipients)

    def check(self) -> str:
        """``outbox``; the folder exists and can be written.

        Raises:
            PermanentFault: The folder cannot be made or written.
        """
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                return "outbox"
        except OSError as error:
            self._raise_unwritable(error)

    def _raise_unwritable(self, error: OSError) -> NoReturn:
        reason = os.strerror(error.errno) if error.errno else type(error).__name__
        raise PermanentFault(
            "mail.outbox_unwritable", folder=str(self.folder), reason=reason
        ) from None


def _file_name(letter: EmailMessage) -> str:
    kind = re.sub(r"[^a-z_]", "", str(letter.get(KIND_HEADER, ""))) or "letter"
    return f"{_moment(letter)}-{kind}-{_mark(letter)}.eml"


def _moment(letter: EmailMessage) -> str:
    moment = parsedate_to_datetime(letter["Date"])
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _mark(letter: EmailMessage) -> str:
    return hashlib.sha256(str(letter["Message-ID"]).encode()).hexdigest()[:12]
