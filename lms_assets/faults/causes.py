"""Why something failed, as it is recorded and as people read it; pure.

The one place that turns a recorded failure into a cause and a remedy: the letter, the short
message, the command line and `lms run --json` all ask here, and Dagster's page shows the text of
the fault itself, which is made of the same two sentences.
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
        code: Of the fault, where it has one; its sentences are then found in any language, with
            ``facts`` in them.
        message: What is said where there is no code; masked.
    """

    stage: str = "other"
    code: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    message: str = ""

    @classmethod
    def of(cls, code: str, facts: dict[str, Any]) -> Self:
        """The cause of a named fault, also one of another version that has no sentences here."""
        try:
            message = Fault(code, **facts).cause()
        except (KeyError, IndexError, ValueError):
            message = code
        return cls(stage=code.partition(".")[0], code=code, facts=facts, message=message)

    def explained(self, language: str = "en") -> Explanation:
        """The cause and the remedy in ``language``; the bare message where there are no words."""
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
    """Text from outside that cannot begin a line, nor a header, of its own."""
    flat = re.sub(r"[\r\n\t]+", " ", text)
    flat = _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", flat)
    return re.sub(r"\s+", " ", flat).strip()


def _in_a_sentence(fact: object) -> int | float | str:
    """The fact as a sentence can hold it: some sentences round their numbers."""
    return fact if isinstance(fact, int | float) else one_line(str(fact))
