"""How the figures are shown: the language, the titles, who is left out, what is published."""

from functools import cached_property
from pathlib import Path

import dagster as dg

from lms_assets.statistics.names import Names, read_names, read_staff


class Presentation(dg.ConfigurableResource):  # type: ignore[type-arg]
    """What the settings say of the figures and of those who read them.

    Args:
        language: ``en`` or ``ru``, of the sheet, the page and the letters.
        timezone: The zone that says what a day is.
        names_file: ``course,task,title,link``; ids are shown without it.
        staff_file: User ids, one a line, left out of the figures.
        sheet_students: The sheet has the tab of students who need help, ids only.
        sheet_per_day: The sheet has a worksheet per report day, the newest 31.
        page: Where the page is written.
    """

    language: str = "en"
    timezone: str = "UTC"
    names_file: str | None = None
    staff_file: str | None = None
    sheet_students: bool = False
    sheet_per_day: bool = False
    page: str

    @cached_property
    def names(self) -> Names:
        """Titles and links of courses and tasks."""
        return read_names(Path(self.names_file) if self.names_file else None)

    @cached_property
    def staff(self) -> frozenset[str]:
        """Users whose attempts are no students'."""
        return read_staff(Path(self.staff_file) if self.staff_file else None)
