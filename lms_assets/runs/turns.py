"""Turns at the API: at most API_CONCURRENCY runs ask it at once, on all machines together.

Dagster's own pools are not used: its in-process executor waits for a place in a loop that takes
a whole core and lets no signal through, and a place of a killed run stays taken until a daemon
frees it. A turn is a lock of a session: it ends with the process that has it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import sleep

import dagster as dg

from lms_assets import locks
from lms_assets.resources.warehouse import Warehouse

LOOK_EVERY_S = 0.25


class ApiTurns(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Who may ask the API now.

    Args:
        api: Which API: several installations may share a database.
        at_once: How many may ask it at the same time.
    """

    api: str
    at_once: int

    @property
    def _turns(self) -> list[str]:
        return [f"{self.api} {number}" for number in range(self.at_once)]

    @contextmanager
    def turn(
        self, warehouse: Warehouse, *, name: str, tell: Callable[[str], None]
    ) -> Iterator[None]:
        """The block has its turn; when all are taken, it waits for one, idle.

        Args:
            name: What others read of who has the turn.
            tell: Hears once for whom this one waits.
        """
        with warehouse.session() as session:
            locks.name_session(session, name)
            waits = False
            while not any(locks.try_in_session(session, locks.Lock.API, t) for t in self._turns):
                if not waits:
                    waits = True
                    tell(self.waits_for(warehouse) or "Waits for its turn at the API.")
                sleep(LOOK_EVERY_S)
            yield

    def waits_for(self, warehouse: Warehouse) -> str:
        """For whom a run would wait now, as a sentence; empty when a turn is free."""
        with warehouse.begin() as connection:
            holders = locks.holders(connection, locks.Lock.API, self._turns)
        if len(holders) < self.at_once:
            return ""
        return (
            f"Waits for its turn at the API, which {', '.join(holders)} "
            f"{'has' if len(holders) == 1 else 'have'} (API_CONCURRENCY={self.at_once})."
        )
