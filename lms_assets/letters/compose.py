"""A complete letter from the facts of a run or a batch; pure.

A letter is a list of blocks. One template draws them as HTML, another as plain text, so both
parts say the same.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from email.message import EmailMessage, MIMEPart
from email.policy import SMTP
from email.utils import format_datetime, formataddr
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from lms_assets.faults.causes import Cause, one_line
from lms_assets.letters.blocks import Content, Picture
from lms_assets.letters.chart import Draw, png_of
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

if TYPE_CHECKING:
    from jinja2 import Environment

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
    """The Message-ID of a letter: always the same for the same letter of the same installation.

    Args:
        kind: A key of :data:`KINDS`.
        key: The batch or the run that the letter is about.
        home_id: Differs between installations.
    """
    digest = hashlib.sha256(json.dumps([kind, key, home_id]).encode()).hexdigest()
    return f"<{kind}.{digest[:32]}@{HOST}>"


def subject(kind: str, facts: Mapping[str, Any], *, language: str, today: date) -> str:
    """The subject line: system, day, outcome, so that mailboxes can sort and filter it.

    Args:
        kind: A key of :data:`KINDS`.
        facts: JSON as :func:`from_json` takes it.
        language: One of :data:`lms_assets.texts.LANGUAGES`.
        today: Stands for the day of a failure that has none.
    """
    texts = Texts(language)
    typed = from_json(kind, facts)
    words = {"system": texts.text("letters.system")}
    if isinstance(typed, HistoryFacts):
        words |= {"first": f"{typed.first_day}", "last": f"{typed.last_day}"}
        words |= {"outcome": outcome(typed, texts)}
    else:
        words |= {"day": f"{typed.day or today}"}
    if isinstance(typed, CourseFacts):
        words |= {"course": typed.course}
    if isinstance(typed, SuccessFacts):
        words |= {"received": texts.number(typed.counts.received)}
    if isinstance(typed, FailureFacts | GivenUpFacts):
        words |= {"stage": stage_name(typed.cause, texts)}
    alarms = getattr(typed, "alarms", [])
    if alarms:
        count = len(alarms)
        alarmed = texts.plural("letters.subject.alarms", count)
        words = {name: f"{text}" for name, text in words.items()} | {"alarms": alarmed}
    is_without_a_day = isinstance(typed, FailureFacts) and typed.day is None
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
    draw: Draw = png_of,
) -> EmailMessage:
    """A letter that is ready to be sent: plain text, HTML, the inline chart and all headers.

    Args:
        kind: A key of :data:`KINDS`.
        facts: JSON as :func:`from_json` takes it; masked, without a student's data.
        language: One of :data:`lms_assets.texts.LANGUAGES`.
        sender: The address in From.
        recipients: The addresses in To.
        message_id: From :func:`message_id`.
        date: The time of writing; aware.
        draw: Makes a PNG of the chart.
    """
    typed = from_json(kind, facts)
    letter = _envelope(kind, typed, sender=sender, recipients=recipients)
    letter["Date"] = format_datetime(date)
    letter["Message-ID"] = message_id
    letter["Subject"] = subject(kind, facts, language=language, today=date.date())
    content = content_of(typed, Texts(language))
    letter.set_content(_drawn("letter.txt.jinja", content), charset="utf-8")
    letter.add_alternative(_drawn("letter.html.jinja", content), subtype="html", charset="utf-8")
    _, html = cast("list[MIMEPart]", letter.get_payload())
    for picture in (block for block in content.blocks if isinstance(block, Picture)):
        html.add_related(
            draw(picture.drawing),
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
def _templates(is_html: bool) -> "Environment":
    import jinja2

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
