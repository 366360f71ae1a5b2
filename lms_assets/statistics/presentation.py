"""The settings of the figures: language, titles, staff, and what is published."""

from functools import cached_property
from pathlib import Path

import dagster as dg

from lms_assets.resources.objects import Objects
from lms_assets.statistics.names import Names, read_names, read_staff


class Presentation(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The settings of the figures, as a resource.

    Args:
        language: ``en`` or ``ru``, for the sheet, the page and the letters.
        timezone: The zone of the days.
        names_file: A CSV file ``course,task,title,link``; without it ids are shown.
        staff_file: A file of user ids, one a line, who are left out of the figures.
        sheet_students: Whether the sheet has a tab of students who need help, by id.
        sheet_per_day: Whether the sheet has a worksheet for each of the newest 31 days.
        page: The path of the page, or its address as an object of the lake.
        charts_file: A file of this machine that keeps the charts' library between pages.
    """

    language: str = "en"
    timezone: str = "UTC"
    names_file: str | None = None
    staff_file: str | None = None
    sheet_students: bool = False
    sheet_per_day: bool = False
    page: str
    charts_file: str

    @property
    def page_place(self) -> tuple[Objects, str]:
        """Where the page is written: its folder, and its key there."""
        folder, _, key = self.page.rpartition("/")
        return Objects(folder), key

    @cached_property
    def names(self) -> Names:
        """Titles and links of courses and tasks."""
        return read_names(Path(self.names_file) if self.names_file else None)

    @cached_property
    def staff(self) -> frozenset[str]:
        """The user ids of the staff."""
        return read_staff(Path(self.staff_file) if self.staff_file else None)
