"""The choice of each outside system by the settings: the configured one or its embedded double."""

import os
from functools import partial
from typing import Any

import dagster as dg
from sqlalchemy import URL

from lms_assets.attempts.keys import FILE
from lms_assets.attempts.limits import Limits
from lms_assets.attempts.tombstones import Erasure
from lms_assets.embedded.database import EmbeddedWarehouse
from lms_assets.embedded.demo_api import DemoGraderApi
from lms_assets.embedded.letter_files import Outbox
from lms_assets.embedded.workbook import WorkbookFile
from lms_assets.letters.channels import Channel, Letters, ShortMessages
from lms_assets.letters.chart import png_kept_at
from lms_assets.letters.course_readers import CourseLetters, read_course_letters
from lms_assets.resources.attempt_source import AttemptSource
from lms_assets.resources.grader_api import GraderApi
from lms_assets.resources.lake import Lake, LakeReferences
from lms_assets.resources.mail import Mailer
from lms_assets.resources.notify import Notifier
from lms_assets.resources.spreadsheet import Spreadsheet
from lms_assets.resources.spreadsheet.google import GoogleSheets
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.turns import ApiTurns
from lms_assets.settings import Settings
from lms_assets.statistics.presentation import Presentation


def grader_api(settings: Settings) -> AttemptSource:
    """The configured API, or the demo's API on loopback."""
    if settings.api_url is None:
        records = settings.demo_records
        return DemoGraderApi(
            records=str(records) if records else None, faults_from=settings.demo_faults_from
        )
    return GraderApi(
        url=settings.api_url,
        client=settings.api_client or "",
        client_key=settings.api_client_key.get_secret_value() if settings.api_client_key else "",
        timeout_s=settings.api_timeout_s,
    )


def api_turns(settings: Settings) -> ApiTurns:
    """The turns at the configured API; each demo home has turns of its own."""
    api = f"{settings.api_url or settings.lms_home} {settings.api_client or ''}"
    return ApiTurns(api=api, at_once=settings.api_concurrency)


def google_sheets(settings: Settings) -> Spreadsheet:
    """The configured spreadsheet, or a workbook in LMS_HOME."""
    credentials = settings.google_sheets_credentials_base64
    if settings.spreadsheet_id is None or credentials is None:
        return WorkbookFile(path=str(settings.lms_home / "statistics.xlsx"))
    return GoogleSheets(
        credentials_base64=credentials.get_secret_value(),
        spreadsheet_id=settings.spreadsheet_id,
        api_url=settings.google_sheets_api_url,
    )


def mailer(settings: Settings) -> Mailer | Outbox:
    """The configured mail server, or a folder of letters in LMS_HOME."""
    sender = settings.sender_email or "lms@localhost"
    recipients = settings.recipients_emails or ("analysts@localhost",)
    if settings.smtp_server is None:
        return Outbox(settings.lms_home / "outbox", sender, recipients)
    password = settings.sender_password
    return Mailer(
        server=settings.smtp_server,
        port=settings.smtp_port,
        sender=sender,
        password=password.get_secret_value() if password else "",
        recipients=list(recipients),
    )


def channels(settings: Settings, mailer: Mailer | Outbox) -> tuple[Channel, ...]:
    """The channels: letters always, and short messages to each address of NOTIFY_URLS."""
    services = (Notifier(url.get_secret_value()) for url in settings.notify_urls)
    draw = partial(png_kept_at, settings.lms_home / "chart.png")
    return (Letters(mailer, draw), *map(ShortMessages, services))


def course_readers(settings: Settings) -> CourseLetters:
    """The recipients of course letters; in demo mode one recipient for all courses."""
    if settings.is_demo and not settings.demo_records:
        return CourseLetters(of_every_course=("authors@localhost",))
    return read_course_letters(settings.lms_course_letters)


def presentation(settings: Settings) -> Presentation:
    """The settings of the figures."""
    return Presentation(
        language=settings.lms_language,
        timezone=settings.lms_timezone,
        names_file=str(settings.lms_names) if settings.lms_names else None,
        staff_file=str(settings.lms_staff) if settings.lms_staff else None,
        sheet_students=settings.lms_sheet_students,
        sheet_per_day=settings.lms_sheet_per_day,
        page=settings.page_url,
        charts_file=str(settings.lms_home / "charts.js"),
    )


def erasure(settings: Settings) -> Erasure:
    """Knows the erased students; its keys are not in the database."""
    key = settings.lms_key.get_secret_value() if settings.lms_key else ""
    return Erasure(key_file=str(settings.lms_home / FILE), key=key)


def the_lake(settings: Settings) -> Lake:
    """The configured lake, or a folder in LMS_HOME."""
    return Lake(url=settings.lake_url)


def resources(settings: Settings) -> dict[str, Any]:
    """Each outside system, or its embedded double behind the same methods."""
    lake, post = the_lake(settings), mailer(settings)
    return {
        "grader_api": grader_api(settings),
        "lake": lake,
        "lake_references": LakeReferences(lake=lake),
        "warehouse": warehouse(settings),
        "google_sheets": google_sheets(settings),
        "mailer": post,
        "channels": channels(settings, post),
        "course_letters": course_readers(settings),
        "presentation": presentation(settings),
        "erasure": erasure(settings),
        "api_turns": api_turns(settings),
        "limits": Limits(max_rejected_pct=settings.lms_max_rejected_pct),
    }


def sealed(made: dict[str, Any]) -> dict[str, Any]:
    """The same systems for Dagster's definitions, with environment variables for their secrets.

    Dagster's page shows the values of a resource, even those of secret fields. Of a field with a
    variable it shows the variable's name; only a run reads the value.
    """
    return {name: _sealed(name, system) for name, system in made.items()}


def _sealed(name: str, system: Any) -> Any:  # noqa: ANN401 - a resource or what stands in for one
    if not isinstance(system, dg.ConfigurableResource):
        return system
    given = {field: getattr(system, field) for field in system.model_fields_set}
    for field in _secret_fields(system) & given.keys():
        variable = f"LMS_SEALED_{name}_{field}".upper()
        os.environ[variable] = given[field]
        given[field] = dg.EnvVar(variable)
    return type(system)(**given)


def _secret_fields(system: "dg.ConfigurableResource[Any]") -> set[str]:
    fields = type(system).model_fields.items()
    extras = {name: field.json_schema_extra for name, field in fields}
    return {
        name
        for name, extra in extras.items()
        if isinstance(extra, dict) and extra.get("dagster__is_secret")
    }


def warehouse(settings: Settings) -> Warehouse:
    """The configured database, or the embedded one."""
    if settings.db_host is None:
        folder = str(settings.lms_home / "postgres")
        return EmbeddedWarehouse(folder=folder, port=settings.lms_postgres_port)
    password = settings.db_password.get_secret_value() if settings.db_password else None
    # A DB_HOST that begins with a slash is the folder of the server's socket. It cannot be a URL's
    # host, so it goes into the query.
    is_socket = settings.db_host.startswith("/")
    certificate = settings.db_sslrootcert
    url = URL.create(
        "postgresql+psycopg2",
        username=settings.db_user,
        password=password,
        host=None if is_socket else settings.db_host,
        port=settings.db_port,
        database=settings.db_name,
        query={
            "sslmode": settings.db_sslmode,
            **({"sslrootcert": str(certificate)} if certificate else {}),
            **({"host": settings.db_host} if is_socket else {}),
        },
    )
    return Warehouse(url=url.render_as_string(hide_password=False))
