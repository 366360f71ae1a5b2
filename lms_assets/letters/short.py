"""Short messages: what someone must know now, in 500 characters; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from lms_assets.faults.causes import one_line
from lms_assets.letters.alarms import alarm_sentence
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
    """A message before it is cut.

    Attributes:
        lines: The most important first.
    """

    lines: list[str]

    def __str__(self) -> str:
        text = "\n".join(line for line in self.lines if line)
        return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1].rstrip() + "…"


def is_worth_a_message(kind: str, facts: Mapping[str, Any]) -> bool:
    """Whether someone should hear of it at once: not of a day that is simply good."""
    if facts.get("alarms"):
        return kind != "course"
    return kind in ("failure", "recovered", "given_up", "empty") or bool(facts.get("failures"))


def short_message(kind: str, facts: Mapping[str, Any], *, language: str, today: date) -> str:
    """The subject of the letter, then why and what to do, or the alarms.

    Args:
        facts: Masked, as those of a letter.
    """
    texts, known = Texts(language), from_json(kind, facts)
    lines = [subject(kind, facts, language=language, today=today)]
    match known:
        case FailureFacts() | GivenUpFacts():
            lines.append(str(known.cause.explained(language)))
        case HistoryFacts() if known.failures:
            lines.append(str(known.failures[0].cause.explained(language)))
        case EmptyFacts():
            lines.append(texts.text("letters.sentence.empty"))
        case RecoveredFacts() if known.cause:
            cause = known.cause.explained(language).cause
            lines.append(texts.text("letters.sentence.recovered_cause", cause=cause))
    if isinstance(known, SuccessFacts | HistoryFacts):
        lines += [alarm_sentence(alarm, texts) for alarm in known.alarms]
    return str(ShortMessage([one_line(line) for line in lines]))
