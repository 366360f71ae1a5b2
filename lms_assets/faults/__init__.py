"""Faults of outside systems: those that pass by themselves and those that a person must mend.

    Fault
    ├── TemporaryFault   the same call may succeed later
    │   └── AnswerLost   the call may even have succeeded: one more try at most
    └── PermanentFault   someone must act first: no retry at any level

The type alone decides about retries, at each level that retries:

- a client's own tries (the API, the sheet, a transaction) repeat a ``TemporaryFault``;
- Dagster does not retry a step that ended with a ``PermanentFault``
  (``Failure(allow_retries=False)``);
- the catch-up, which retries whole runs, does not ask for a day whose last run ended with a
  ``PermanentFault`` until a person has acted (``runs/endings.py: needs_a_person``). Dagster's own
  retries of runs are off: they look only at tags, so they would repeat a ``PermanentFault``;
- the outbox gives a letter up at once after a ``PermanentFault``.

A fault is a code with its facts. The cause and the remedy that people read stand under that
code in ``texts/<language>/faults.toml``. The part of the code before the dot is the stage:
``api``, ``lake``, ``cleaning``, ``database``, ``sheet``, ``mail``.
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
        """The stage that failed: the part of the code before the dot."""
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
    """Everything was sent, but no answer came: nobody knows whether the other side took it."""


class PermanentFault(Fault):
    """Someone must act first; trying again changes nothing."""
