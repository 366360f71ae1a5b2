"""What can go wrong outside, told apart once: what passes by itself and what a person must mend.

    Fault
    ├── TemporaryFault   the same call may succeed later
    │   └── AnswerLost   the call may even have succeeded: one more try at most
    └── PermanentFault   someone must act first: no retry at any level

The type alone decides about retries, at each level that has some:

- a client's own tries (the API, the sheet, a transaction) repeat a ``TemporaryFault``;
- Dagster's retries of a step see ``Failure(allow_retries=False)`` for a permanent one;
- the catch-up, which is the retry of a whole run, does not ask for a day whose last run ended
  with a permanent one until a person has acted (``runs/endings.py: needs_a_person``). Dagster's
  own retries of runs stay off: they look at tags and would repeat a permanent one;
- the outbox gives a letter up at once for a permanent one.

A fault is a code and its facts; what people read of it, the cause and the
remedy, stands in ``texts/<language>/faults.toml`` under that code. The part of
the code before the dot is the stage: ``api``, ``lake``, ``cleaning``,
``database``, ``sheet``, ``mail``.
"""

from lms_assets.texts import Texts


class Fault(Exception):  # noqa: N818 - the field's word
    """A stage could not do its work, for a reason that has a name.

    Args:
        code: ``stage.reason``, a key of ``texts/<language>/faults.toml``.
        facts: What the sentence needs; never a secret, never a student's record.
    """

    def __init__(self, code: str, **facts: object) -> None:
        self.code = code
        self.facts = facts
        super().__init__(f"{self.cause()} {self.remedy()}".strip())

    @property
    def stage(self) -> str:
        """Where it happened: the part of the code before the dot."""
        return self.code.partition(".")[0]

    def cause(self, language: str = "en") -> str:
        """Why it failed, in one plain sentence."""
        return Texts(language).text(f"faults.{self.code}.cause", **self.facts)

    def remedy(self, language: str = "en") -> str:
        """What a person can do about it."""
        return Texts(language).text(f"faults.{self.code}.remedy", **self.facts)


class TemporaryFault(Fault):
    """The same call may succeed later."""


class AnswerLost(TemporaryFault):
    """All was handed over, but no answer came: whether it arrived is not known."""


class PermanentFault(Fault):
    """Someone must act first; trying again changes nothing."""
