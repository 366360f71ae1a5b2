"""Where a letter leads: only to addresses that its reader can follow."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from lms_assets.letters.facts import Links
from lms_assets.settings import Settings


@dataclass(frozen=True)
class Destinations:
    """What there is to look at, as far as an installation has it.

    Attributes:
        sheet: The spreadsheet's address.
        page: The report page's address.
        dagster: The address of Dagster's page.
        sheet_file: Where the workbook lies on this machine, where no address leads to a sheet.
        page_file: Where the report page lies on this machine, where no address leads to it.
    """

    sheet: str | None = None
    page: str | None = None
    dashboard: str | None = None
    dagster: str | None = None
    sheet_file: str | None = None
    page_file: str | None = None

    @classmethod
    def of(cls, settings: Settings, *, sheet: str) -> Self:
        """By the settings; ``sheet`` is the spreadsheet's or the workbook's URL."""
        page_file = settings.lms_home / "report.html"
        sheet_file = Path(unquote(urlsplit(sheet).path)) if sheet.startswith("file:") else None
        page = followable(settings.lms_page_url)
        return cls(
            sheet=sheet if sheet.startswith("https://") else None,
            page=page,
            dashboard=followable(settings.dashboard_url),
            dagster=followable(settings.lms_dagster_url),
            sheet_file=str(sheet_file) if sheet_file and sheet_file.exists() else None,
            page_file=str(page_file) if page is None and page_file.exists() else None,
        )

    def links(self, *, run: str | None) -> Links:
        """For a letter of that run, or of several runs."""
        dagster = self.dagster and self.dagster.rstrip("/")
        return Links(
            sheet=self.sheet,
            page=self.page,
            dashboard=self.dashboard,
            run=dagster and (f"{dagster}/runs/{run}" if run else f"{dagster}/runs"),
            sheet_file=self.sheet_file,
            page_file=self.page_file,
        )


def followable(url: str | None) -> str | None:
    """The address, unless only this machine could follow it."""
    if url is None or not url.startswith(("https://", "http://")):
        return None
    host = urlsplit(url).hostname or "localhost"
    return None if host == "localhost" or _is_loopback(host) else url


def _is_loopback(host: str) -> bool:
    try:
        ip = ip_address(host)
    except ValueError:
        return False
    return ip.is_loopback or ip.is_unspecified
