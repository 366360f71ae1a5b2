"""Turns at the API: at most API_CONCURRENCY runs call it at once, on all machines together.

Dagster's pools are not used. Its in-process executor waits for a slot in a loop that uses a whole
core and lets no signal through, and a killed run keeps its slot until a daemon frees it. A turn
is a lock of a database session, so it ends with its process.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import sleep

import dagster as dg

from lms_assets import locks
from lms_assets.resources.warehouse import Warehouse

LOOK_EVERY_S = 0.25


class ApiTurns(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Limits how many runs call the API at once.

    Args:
        api: The API's name: several installations with different APIs may share a database.
        at_once: How many runs may call it at the same time.
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
        """The block runs with a turn at the API; it first waits until one is free.

        Args:
            name: The name under which waiting runs see the holder of this turn.
            tell: Called once with a sentence that names the runs that this one waits for.
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
        """A sentence that names the runs which hold all turns; empty when a turn is free."""
        with warehouse.begin() as connection:
            holders = locks.holders(connection, locks.Lock.API, self._turns)
        if len(holders) < self.at_once:
            return ""
        return (
            f"Waits for its turn at the API, which {', '.join(holders)} "
            f"{'has' if len(holders) == 1 else 'have'} (API_CONCURRENCY={self.at_once})."
        )
