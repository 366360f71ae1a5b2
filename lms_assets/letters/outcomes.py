"""What a run came to: how it ended, and what it committed."""

from dataclasses import dataclass
from typing import Any

import dagster as dg

from lms_assets.attempts.ledger import COUNTERS, Load, load_of_run
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.endings import Ending, ending_of


@dataclass(frozen=True)
class Outcome(Ending):
    """How a run ended, with what it committed, if it came so far."""

    load: Load | None = None

    @property
    def status(self) -> str:
        """``success``, ``empty`` or ``failed``."""
        if not self.succeeded:
            return "failed"
        return "empty" if self.load and self.load.is_empty else "success"

    @property
    def summary(self) -> str:
        """One line for a person."""
        if self.cause:
            return f"failed: {self.cause.explained()}"
        if self.load is None:
            return "done"
        if self.load.is_empty:
            return "empty: the API had nothing"
        load = self.load
        return (
            f"{load.received:,} received, {load.inserted:,} inserted, {load.updated:,} updated, "
            f"{load.unchanged:,} unchanged, {sum(load.rejected.values()):,} rejected"
        )

    def as_json(self) -> dict[str, Any]:
        """What `lms run --json` prints."""
        counters = self.load.counters() if self.load else {}
        none: dict[str, Any] = dict.fromkeys(COUNTERS, 0) | {"rejected": {}}
        return {
            "day": str(self.day),
            "status": self.status,
            "run_id": self.run_id,
            **none,
            **counters,
            "duration_s": self.duration_s,
            **(self._failure_as_json() if self.cause else {}),
        }

    def _failure_as_json(self) -> dict[str, str]:
        explanation = self.cause.explained() if self.cause else None
        return {"error": explanation.cause, "remedy": explanation.remedy} if explanation else {}


def outcome_of(instance: dg.DagsterInstance, warehouse: Warehouse, run_id: str) -> Outcome:
    """The outcome of a run that has ended.

    Raises:
        LookupError: Dagster does not know the run.
    """
    ending = ending_of(instance, run_id)
    with warehouse.begin() as connection:
        load = load_of_run(connection, run_id)
    return Outcome(**vars(ending), load=load)
