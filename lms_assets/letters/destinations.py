"""The links of a letter: only addresses that its reader can open."""

from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

from lms_assets.letters.facts import Links
from lms_assets.settings import Settings


@dataclass(frozen=True)
class Destinations:
    """The places where an installation's results can be seen; None where it has no such place.

    Attributes:
        sheet: The spreadsheet's address.
        page: The report page's address.
        dashboard: The address in DASHBOARD_URL.
        dagster: The address of Dagster's page.
        sheet_file: The workbook's path on this machine, if there is no spreadsheet.
        page_file: The report page's path on this machine, if it has no address.
    """

    sheet: str | None = None
    page: str | None = None
    dashboard: str | None = None
    dagster: str | None = None
    sheet_file: str | None = None
    page_file: str | None = None

    @classmethod
    def of(cls, settings: Settings, *, sheet: str) -> Self:
        """The destinations in the settings; ``sheet`` is the spreadsheet's or workbook's URL."""
        page_file = Path(settings.page_url)
        sheet_file = Path(unquote(urlsplit(sheet).path)) if sheet.startswith("file:") else None
        page = followable(settings.lms_page_url)
        return cls(
            sheet=sheet if sheet.startswith("https://") else None,
            page=page,
            dashboard=followable(settings.dashboard_url),
            dagster=followable(settings.lms_dagster_url),
            sheet_file=str(sheet_file) if sheet_file and sheet_file.exists() else None,
            # On a share or in a store: where it lies says nothing to who reads the letter.
            page_file=(
                str(page_file)
                if page is None and settings.lms_broker_url is None and page_file.exists()
                else None
            ),
        )

    def links(self, *, run: str | None) -> Links:
        """The links of a letter about ``run``; None for a letter about several runs."""
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
    """The address, or None if only this machine could open it."""
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
