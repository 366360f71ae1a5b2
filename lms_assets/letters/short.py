"""Short messages: urgent news in at most 500 characters; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from lms_assets.faults.causes import one_line
from lms_assets.letters.alarm_lines import alarm_sentence
from lms_assets.letters.compose import subject
from lms_assets.letters.facts import (
    EmptyFacts,
    FailureFacts,
    GivenUpFacts,
    HistoryFacts,
    RecoveredFacts,
    SuccessFacts,
    from_json,
)
from lms_assets.resources.notify import LONGEST_TEXT
from lms_assets.texts import Texts


@dataclass(frozen=True)
class ShortMessage:
    """A message; as a string it is cut to LONGEST_TEXT characters.

    Attributes:
        lines: The most important line comes first.
    """

    lines: list[str]

    def __str__(self) -> str:
        text = "\n".join(line for line in self.lines if line)
        return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1].rstrip() + "…"


def is_worth_a_message(kind: str, facts: Mapping[str, Any]) -> bool:
    """Whether the notice is urgent; a plain success is not."""
    if facts.get("alarms"):
        return kind != "course"
    return kind in ("failure", "recovered", "given_up", "empty") or bool(facts.get("failures"))


def short_message(kind: str, facts: Mapping[str, Any], *, language: str, today: date) -> str:
    """The letter's subject, then the cause and the remedy of a failure, or the alarms.

    Args:
        kind: A key of ``lms_assets.letters.facts.KINDS``.
        facts: The letter's facts, masked.
        language: One of :data:`lms_assets.texts.LANGUAGES`.
        today: Stands for the day of a failure that has none.
    """
    texts, typed = Texts(language), from_json(kind, facts)
    lines = [subject(kind, facts, language=language, today=today)]
    match typed:
        case FailureFacts() | GivenUpFacts():
            lines.append(str(typed.cause.explained(language)))
        case HistoryFacts() if typed.failures:
            lines.append(str(typed.failures[0].cause.explained(language)))
        case EmptyFacts():
            lines.append(texts.text("letters.sentence.empty"))
        case RecoveredFacts() if typed.cause:
            cause = typed.cause.explained(language).cause
            lines.append(texts.text("letters.sentence.recovered_cause", cause=cause))
    if isinstance(typed, SuccessFacts | HistoryFacts):
        lines += [alarm_sentence(alarm, texts) for alarm in typed.alarms]
    return str(ShortMessage([one_line(line) for line in lines]))
