"""The outcome of a run: how it ended, and its row in the ledger."""

from dataclasses import dataclass, replace
from typing import Any

import dagster as dg

from lms_assets.attempts.fates import Fates
from lms_assets.attempts.lag import lagging_days
from lms_assets.attempts.ledger import Load, load_of_run, newest_load
from lms_assets.faults.causes import Cause
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.endings import Ending, ending_of

FIGURES_LAG = "database.figures_lag"


@dataclass(frozen=True)
class Outcome(Ending):
    """How a run ended.

    Attributes:
        load: The ledger's row of the run's day; None if the run committed none.
    """

    load: Load | None = None

    @property
    def status(self) -> str:
        """``success``, ``empty`` or ``failed``."""
        if not self.succeeded:
            return "failed"
        return "empty" if self.load and self.load.is_empty else "success"

    @property
    def summary(self) -> str:
        """The outcome in one line, for a person."""
        if self.cause:
            return f"failed: {self.cause.explained()}"
        if self.load is None:
            return "done"
        if self.load.is_empty:
            return "empty: the API had nothing"
        return _in_one_line(self.load.fates)

    def as_json(self) -> dict[str, Any]:
        """The object that `lms run --json` prints."""
        fates = self.load.fates if self.load else Fates()
        return {
            "day": str(self.day),
            "status": self.status,
            "run_id": self.run_id,
            **fates.counters(),
            "duration_s": self.duration_s,
            **(self._failure_as_json() if self.cause else {}),
        }

    def _failure_as_json(self) -> dict[str, str]:
        explanation = self.cause.explained() if self.cause else None
        return {"error": explanation.cause, "remedy": explanation.remedy} if explanation else {}


def _in_one_line(fates: Fates) -> str:
    """The fates, which add up to those received; of the rare ones only those that occurred."""
    rare = {
        "duplicates": fates.duplicates,
        "outside the day": fates.outside_window,
        "erased": fates.erased,
    }
    counts = {
        "received": fates.received,
        "inserted": fates.inserted,
        "updated": fates.updated,
        "unchanged": fates.unchanged,
        **{name: count for name, count in rare.items() if count},
        "rejected": fates.rejected_in_all,
    }
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def outcome_of(instance: dg.DagsterInstance, warehouse: Warehouse, run_id: str) -> Outcome:
    """The outcome of a run that has ended.

    Raises:
        LookupError: Dagster does not know the run.
    """
    ending = ending_of(instance, run_id)
    with warehouse.begin() as connection:
        load = load_of_run(connection, run_id)
        newest = newest_load(connection, ending.day) if ending.day else None
        goes_on = ending.is_executed_again or (ending.succeeded and ending.tries > 1)
        if load is None and (goes_on or ending.is_publication):
            # An earlier run did the first steps and committed the day.
            load = newest
        is_newest = load is not None and load == newest
        if ending.succeeded and is_newest and ending.day in lagging_days(connection):
            # A person launched only the assets up to the table on Dagster's page.
            ending = replace(ending, cause=Cause.of(FIGURES_LAG, {"day": str(ending.day)}))
    return Outcome(**vars(ending), load=load)
