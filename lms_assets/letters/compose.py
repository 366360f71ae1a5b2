"""What the letters say: facts of a run or a batch in, a complete letter out.

Pure: no clock, no network, no Dagster. A letter is a list of blocks, and one template each draws
them as HTML and as plain text, so that neither part says what the other does not.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from functools import cache
from typing import Any, cast

import jinja2

from lms_assets.faults.causes import Cause, one_line
from lms_assets.letters.blocks import Content, Picture
from lms_assets.letters.content import content_of, outcome
from lms_assets.letters.facts import (
    KINDS,
    CourseFacts,
    DayFailure,
    DayFigures,
    EmptyFacts,
    Facts,
    FailureFacts,
    GivenUpFacts,
    HistoryFacts,
    Links,
    Pulled,
    RecoveredFacts,
    SuccessFacts,
    from_json,
    to_json,
)
from lms_assets.letters.words import stage_name
from lms_assets.texts import Texts

__all__ = [
    "KINDS",
    "Cause",
    "DayFailure",
    "DayFigures",
    "EmptyFacts",
    "Facts",
    "FailureFacts",
    "GivenUpFacts",
    "HistoryFacts",
    "Links",
    "Pulled",
    "RecoveredFacts",
    "SuccessFacts",
    "compose",
    "from_json",
    "message_id",
    "subject",
    "to_json",
]

HOST = "lms-assets.local"
POLICY = SMTP.clone(cte_type="7bit")


def message_id(kind: str, key: str, home_id: str) -> str:
    """The same for the same letter of the same installation, in the form of a Message-ID.

    Args:
        kind: A key of :data:`KINDS`.
        key: The batch or the run that the letter is about.
        home_id: What tells this installation from others.
    """
    digest = hashlib.sha256(json.dumps([kind, key, home_id]).encode()).hexdigest()
    return f"<{kind}.{digest[:32]}@{HOST}>"


def subject(kind: str, facts: Mapping[str, Any], *, language: str, today: date) -> str:
    """One line that sorts and filters well: system, day, outcome.

    Args:
        kind: A key of :data:`KINDS`.
        facts: As :func:`from_json` takes them.
        language: Of :data:`lms_assets.texts.LANGUAGES`.
        today: Stands in for the day of a failure that has none.
    """
    texts = Texts(language)
    known = from_json(kind, facts)
    words = {"system": texts.text("letters.system")}
    if isinstance(known, HistoryFacts):
        words |= {"first": f"{known.first_day}", "last": f"{known.last_day}"}
        words |= {"outcome": outcome(known, texts)}
    else:
        words |= {"day": f"{known.day or today}"}
    if isinstance(known, CourseFacts):
        words |= {"course": known.course}
    if isinstance(known, SuccessFacts):
        words |= {"received": texts.number(known.counts.received)}
    if isinstance(known, FailureFacts | GivenUpFacts):
        words |= {"stage": stage_name(known.cause, texts)}
    alarms = getattr(known, "alarms", [])
    if alarms:
        count = len(alarms)
        alarmed = texts.plural("letters.subject.alarms", count)
        words = {name: f"{text}" for name, text in words.items()} | {"alarms": alarmed}
    is_without_a_day = isinstance(known, FailureFacts) and known.day is None
    key = "failure_without_a_day" if is_without_a_day else kind
    line = texts.text(f"letters.subject.{key}", **words)
    return one_line(f"{line}, {words['alarms']}" if alarms else line)


def compose(
    kind: str,
    facts: Mapping[str, Any],
    *,
    language: str,
    sender: str,
    recipients: Sequence[str],
    message_id: str,
    date: datetime,
) -> EmailMessage:
    """A letter that is ready to be sent: plain text, HTML, the chart inline, every header.

    Args:
        kind: A key of :data:`KINDS`.
        facts: As :func:`from_json` takes them; masked, without a student's data.
        language: Of :data:`lms_assets.texts.LANGUAGES`.
        sender: The address it comes from.
        recipients: All of them stand in To.
        message_id: As :func:`message_id` makes it.
        date: When it was written; aware.
    """
    known = from_json(kind, facts)
    letter = _envelope(kind, known, sender=sender, recipients=recipients)
    letter["Date"] = format_datetime(date)
    letter["Message-ID"] = message_id
    letter["Subject"] = subject(kind, facts, language=language, today=date.date())
    content = content_of(known, Texts(language))
    letter.set_content(_drawn("letter.txt.jinja", content), charset="utf-8")
    letter.add_alternative(_drawn("letter.html.jinja", content), subtype="html", charset="utf-8")
    _, html = cast("list[MIMEPart]", letter.get_payload())
    for picture in (block for block in content.blocks if isinstance(block, Picture)):
        html.add_related(
            picture.png,
            maintype="image",
            subtype="png",
            cid=f"<{picture.cid}>",
            filename="attempts-by-day.png",
            disposition="inline",
        )
    return letter


def _envelope(kind: str, facts: Facts, *, sender: str, recipients: Sequence[str]) -> EmailMessage:
    letter = EmailMessage(policy=POLICY)
    system = Texts("en").text("letters.system")
    letter["From"] = sender if "<" in sender else formataddr((system, sender))
    letter["To"] = ", ".join(recipients) or "undisclosed-recipients:;"
    letter["Auto-Submitted"] = "auto-generated"
    letter["X-Auto-Response-Suppress"] = "All"
    letter["List-Id"] = f"{system} <attempts.{HOST}>"
    letter["X-LMS-Kind"] = kind
    answered = getattr(facts, "failure_message_id", None)
    if answered:
        letter["In-Reply-To"] = letter["References"] = one_line(answered)
    return letter


@cache
def _templates(is_html: bool) -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("lms_assets.letters", "templates"),
        autoescape=is_html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _drawn(template: str, content: Content) -> str:
    drawn = _templates(is_html=".html." in template).get_template(template)
    return drawn.render(letter=content).strip() + "\n"
