"""Days, moments, durations and codes in the words of a letter; pure."""

import re
from collections.abc import Iterable
from datetime import date, datetime

from babel.dates import format_date, get_timezone_gmt
from babel.dates import format_datetime as format_moment

from lms_assets import days as calendar
from lms_assets.faults.causes import Cause, one_line
from lms_assets.texts import Texts, catalogue


def duration(seconds: float, texts: Texts) -> str:
    """A duration as ``27.8 s``, ``14 min 7 s`` or ``2 h 5 min``."""
    if seconds < 60:
        return texts.text("letters.unit.seconds", count=texts.number(seconds, 1))
    minutes, seconds_over = divmod(round(seconds), 60)
    if minutes < 60:
        return texts.text("letters.unit.minutes", minutes=minutes, seconds=seconds_over)
    hours, minutes = divmod(minutes, 60)
    return texts.text("letters.unit.hours", hours=hours, minutes=minutes)


def spans(days: Iterable[date]) -> str:
    """The days as ``2025-03-01, 2025-03-04..2025-03-09``: consecutive days are one span."""
    stretches = calendar.spans(days)
    return ", ".join(f"{a}" if a == b else f"{a}..{b}" for a, b in stretches)


def stage_name(cause: Cause, texts: Texts) -> str:
    """The stage that failed, in words."""
    return words("stage", cause.stage, texts)


def named(group: str, code: str, texts: Texts) -> str:
    """The code in words, with the code itself in parentheses, because commands take the code."""
    code = one_line(code)
    words = catalogue(texts.language).get(f"letters.{group}.{code}")
    return f"{words} ({code})" if words else code


def words(group: str, name: str, texts: Texts) -> str:
    """The code in words; the code itself where there are none."""
    return catalogue(texts.language).get(f"letters.{group}.{name}", one_line(name))


def command(day: date | None) -> str:
    """The command that runs the day again."""
    return f"./lms run {day}" if day else "./lms run"


def moment_words(moment: datetime, texts: Texts) -> str:
    """``26 July 2025, 07:00 (UTC+03:00)``; the offset helps readers in other zones."""
    words = format_moment(moment, "d MMMM y, HH:mm", locale=texts.language)
    if moment.utcoffset() is None:
        return words
    offset = get_timezone_gmt(moment, "long", locale="en").replace("GMT", "UTC")
    return f"{words} ({offset})"


def short_day(day: date, texts: Texts) -> str:
    """A day as ``24 Jul``."""
    return str(format_date(day, "d MMM", locale=texts.language))


def printable(text: str) -> str:
    """The text without control characters, surrogates, or marks that reorder text on screen."""
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    return re.sub(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]",
        "\N{REPLACEMENT CHARACTER}",
        text,
    )
