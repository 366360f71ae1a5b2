"""The spreadsheet that people read: the interface of a service, the tabs, and Google Sheets.

Another service needs a class with the members of :class:`Spreadsheet`, its settings, and a line in
``systems.py`` that chooses it. ``layout.py`` decides for all services where cells go.
"""

from collections.abc import Sequence
from typing import Protocol

from lms_assets.resources.spreadsheet.tabs import Grid, Tab


class Spreadsheet(Protocol):
    """A spreadsheet that shows the figures and keeps the cells that people wrote."""

    @property
    def url(self) -> str:
        """The address at which people open it."""

    def publish(self, tabs: Sequence[Tab]) -> list[str]:
        """The spreadsheet shows the tabs; readers never see an empty tab. The titles of our tabs.

        Raises:
            TemporaryFault: The service does not accept it now.
            PermanentFault: A person must act first.
        """

    def read_all(self, titles: Sequence[str]) -> dict[str, Grid]:
        """Title → the cells of that tab.

        Raises:
            Fault: As for :meth:`publish`.
        """

    def check(self) -> None:
        """The spreadsheet exists and may be written; nothing is changed.

        Raises:
            Fault: As for :meth:`publish`.
        """
