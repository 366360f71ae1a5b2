"""A recorded failure as people read it: its cause and its remedy; pure.

The letter, the short message, the command line and `lms run --json` all take the two sentences
from here. Dagster's page shows the text of the fault itself, made of the same two sentences.
"""

import re
from dataclasses import dataclass, field
from typing import Any, Self

from lms_assets.faults import Fault
from lms_assets.texts import Texts

_UNPRINTABLE = re.compile(
    r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]"
)


@dataclass(frozen=True)
class Explanation:
    """A failure in words.

    Attributes:
        cause: Why it failed, in one plain sentence.
        remedy: What a person can do; empty where nothing is known.
    """

    cause: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"{self.cause} {self.remedy}".strip()


@dataclass(frozen=True, kw_only=True)
class Cause:
    """A failure as the outbox and Dagster's events keep it.

    Attributes:
        stage: A key of ``letters.stage`` in the texts.
        code: The fault's code, if the failure was a fault. Its sentences exist in every language;
            ``facts`` fill their braces.
        message: Masked text that stands for the cause where there is no code.
    """

    stage: str = "other"
    code: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    message: str = ""

    @classmethod
    def of(cls, code: str, facts: dict[str, Any]) -> Self:
        """The cause of the fault ``code``; another version's fault may have no sentences here."""
        try:
            message = Fault(code, **facts).cause()
        except (KeyError, IndexError, ValueError):
            message = code
        return cls(stage=code.partition(".")[0], code=code, facts=facts, message=message)

    def explained(self, language: str = "en") -> Explanation:
        """The cause and the remedy in ``language``; the message where the code has no sentences."""
        facts = {name: _in_a_sentence(value) for name, value in self.facts.items()}
        texts = Texts(language)
        try:
            return Explanation(
                texts.text(f"faults.{self.code}.cause", **facts),
                texts.text(f"faults.{self.code}.remedy", **facts),
            )
        except (KeyError, IndexError, ValueError):
            return Explanation(one_line(self.message))


def one_line(text: str) -> str:
    """The text in one line without control characters, so that it cannot begin a line or header.

    For text that comes from an outside system.
    """
    flat = re.sub(r"[\r\n\t]+", " ", text)
    flat = _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", flat)
    return re.sub(r"\s+", " ", flat).strip()


def _in_a_sentence(fact: object) -> int | float | str:
    """The fact for a sentence's braces; numbers stay numbers, because some sentences round them."""
    return fact if isinstance(fact, int | float) else one_line(str(fact))
