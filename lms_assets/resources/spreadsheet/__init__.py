"""The spreadsheet that people read: its tabs, what a service must offer, and Google's.

Another service is a class with the members of :class:`Spreadsheet`, its settings, and a line in
``systems.py`` that chooses it. Where cells go is the same for all: ``tabs.py`` says it.
"""

from collections.abc import Sequence
from typing import Protocol

from lms_assets.resources.spreadsheet.tabs import Grid, Tab


class Spreadsheet(Protocol):
    """A spreadsheet that shows the figures beside what people wrote into it."""

    @property
    def url(self) -> str:
        """Where people open it."""

    def publish(self, tabs: Sequence[Tab]) -> list[str]:
        """The tabs show what they were given; nobody meets them empty. The titles shown.

        Raises:
            TemporaryFault: The service could not take it now.
            PermanentFault: A person must act first.
        """

    def read_all(self, titles: Sequence[str]) -> dict[str, Grid]:
        """What the tabs with these titles hold, read at once.

        Raises:
            Fault: As :meth:`publish`.
        """

    def check(self) -> None:
        """The spreadsheet is there and may be written; nothing in it is changed.

        Raises:
            Fault: As :meth:`publish`.
        """
