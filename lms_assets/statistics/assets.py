"""The assets after the table: daily_statistics, then statistics_sheet and statistics_page."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from itertools import chain
from typing import Any

import dagster as dg
from sqlalchemy import Connection, text

from lms_assets.attempts.assets import OWNERS, attempts_table
from lms_assets.attempts.ledger import newest_loaded_day
from lms_assets.attempts.partitions import attempt_days
from lms_assets.faults.failures import faults_as_failures
from lms_assets.locks import Lock, hold_in_session
from lms_assets.resources.spreadsheet import Spreadsheet
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.tags import publishes
from lms_assets.statistics import figures, measures
from lms_assets.statistics.page.edition import edition_of, is_of
from lms_assets.statistics.presentation import Presentation
from lms_assets.statistics.sheet import figures_for_sheet, tabs_of
from lms_assets.statistics.unpublished import PAGE, SHEET, marks_of, remove_marks
from lms_assets.texts import rounded

GROUP = "statistics"
# Longer than a publication that Google slows down.
WAIT = "15min"
PAGE_MODE = 0o644
BARS = "▁▂▃▄▅▆▇█"
# Each figure once, in the order in which the tabs and the page's tables show it.
IN_SHEET = tuple(dict.fromkeys((*figures.DAILY, *figures.ALARMS, *figures.COURSES, *figures.TASKS)))
IN_PAGE = tuple(dict.fromkeys(chain.from_iterable(figures.PAGE_TABLES.values())))


def column_schema(relation: str, columns: Sequence[str]) -> dg.TableSchema:
    """The columns with units and definitions, for the asset's page in Dagster."""
    meanings = figures.column_comments(relation)
    units = {name: figure.unit for name in columns if (figure := figures.figure_of(relation, name))}
    return dg.TableSchema(
        [dg.TableColumn(name, type=units[name], description=meanings[name]) for name in columns]
    )


@dg.asset(
    partitions_def=attempt_days,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres", "sql"},
    deps=[attempts_table],
    metadata={
        "dagster/table_name": "public.daily_statistics",
        "dagster/column_schema": column_schema("daily_statistics", figures.DAILY),
    },
)
def daily_statistics(
    context: dg.AssetExecutionContext, warehouse: Warehouse, presentation: Presentation
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """All figures that the day's attempts affect are computed from the stored attempts.

    A day's attempts affect more than the day's row: the new students of later days, the active
    students of the weeks after it, the figures of its tasks. The SQL of each figure stands in
    `lms_assets/statistics/sql/`; `docs/figures.md` says what each figure means.

    Grain: one row per day in `daily_statistics`; the other figures have tables of their own.
    Zone: days are those of LMS_TIMEZONE. As of: the end of the newest loaded day.
    """
    with faults_as_failures():
        day = date.fromisoformat(context.partition_key)
        with warehouse.begin() as connection:
            # The lock is taken before the newest day is read, because another run may change it.
            measures.take_turn(connection)
            as_of = newest_loaded_day(connection)
            if as_of:
                # No days are passed: the table `lagging_days` says which ones changed.
                measures.refresh(
                    connection,
                    [],
                    zone=presentation.timezone,
                    as_of=as_of,
                    staff=presentation.staff,
                )
        return dg.MaterializeResult(metadata=_figures_of(warehouse, day))


def _figures_of(warehouse: Warehouse, day: date) -> dict[str, Any]:
    """The day's row of figures, and charts of the last 14 days."""
    newest = warehouse.rows(
        """
        select * from daily_statistics where day <= :day and day > cast(:day as date) - 14
        order by day
        """,
        day=day,
    )
    own = next((row for row in newest if row["day"] == day), {})
    numbers = {k: float(rounded(v, 2)) for k, v in own.items() if isinstance(v, int | float)}
    chart = "\n\n".join(
        f"**{name}** {bars([row[name] for row in newest])} {own.get(name) or 0:,}"
        for name in ("attempts", "users", "correct")
    )
    return {
        **numbers,
        "dagster/partition_row_count": len(own) and 1,
        "last_14_days": dg.MarkdownMetadataValue(chart),
    }


def bars(values: Sequence[float | None]) -> str:
    """The values as a line of block characters; the highest value is a full block."""
    highest = max((value or 0 for value in values), default=0) or 1
    return "".join(BARS[round((value or 0) / highest * (len(BARS) - 1))] for value in values)


def left_to_batch() -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The result for a day of a batch: the batch's publication writes once for all its days."""
    return dg.MaterializeResult(metadata={"published": "once, with its batch"})


@contextmanager
def publication_turn(warehouse: Warehouse) -> Iterator[None]:
    """While the block runs, no other process publishes: older figures cannot replace newer ones.

    A session without a transaction holds the lock: writing the sheet may take minutes, and
    servers end idle transactions. A second publisher waits up to WAIT.
    """
    with warehouse.session() as session:
        session.execute(text("select set_config('lock_timeout', :wait, false)"), {"wait": WAIT})
        hold_in_session(session, Lock.PUBLICATION)
        yield


@dg.asset(
    partitions_def=attempt_days,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"googlesheets"},
    deps=[daily_statistics],
    metadata={"dagster/column_schema": column_schema("", IN_SHEET)},
)
def statistics_sheet(
    context: dg.AssetExecutionContext,
    warehouse: Warehouse,
    presentation: Presentation,
    google_sheets: dg.ResourceParam[Spreadsheet],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The sheet shows the figures of the database; all its rows are rebuilt.

    A day of a batch writes nothing: the batch's publication writes once for all its days. The day
    is materialized nevertheless, or else a backfill on Dagster's page would end as failed.

    Grain: a row per day, per course, per task, and per task alarm, each in its tab. Tabs and
    columns that people added stay untouched.
    """
    if not publishes(context.run.tags):
        return left_to_batch()
    with faults_as_failures(), publication_turn(warehouse):
        with warehouse.begin() as connection:
            marks = marks_of(connection, SHEET)
            sheet_figures = figures_for_sheet(connection)
        tabs = tabs_of(sheet_figures, presentation, made_at=datetime.now(UTC))
        shown = google_sheets.publish(tabs)
        with warehouse.begin() as connection:
            remove_marks(connection, marks)
    return dg.MaterializeResult(
        metadata={
            "sheet": dg.MetadataValue.url(google_sheets.url),
            "tabs": ", ".join(shown),
            "dagster/row_count": sum(len(tab.rows) for tab in tabs if tab.title in shown),
        }
    )


@dg.asset(
    partitions_def=attempt_days,
    group_name=GROUP,
    owners=OWNERS,
    kinds={"html"},
    deps=[daily_statistics],
    metadata={"dagster/column_schema": column_schema("", IN_PAGE)},
)
def statistics_page(
    context: dg.AssetExecutionContext, warehouse: Warehouse, presentation: Presentation
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The page `report.html` shows the figures of the database: one file, no network, no student.

    A batch writes it once. It is not written if only its time would change. `./lms page` opens it.
    """
    if not publishes(context.run.tags):
        return left_to_batch()
    objects, key = presentation.page_place
    with faults_as_failures(), publication_turn(warehouse):
        with warehouse.begin() as connection:
            marks = marks_of(connection, PAGE)
            html = new_page(connection, presentation)
        if html is not None:
            objects.write(key, html.encode(), mode=PAGE_MODE)
        with warehouse.begin() as connection:
            remove_marks(connection, marks)
        size_kb = round(objects.at(key).stat().st_size / 1024)
    return dg.MaterializeResult(
        metadata={
            "page": dg.MetadataValue.path(presentation.page),
            "size_kb": size_kb,
            "made": "anew" if html is not None else "before, of the same figures",
        }
    )


def new_page(connection: Connection, presentation: Presentation) -> str | None:
    """The page with the present figures; None if the file shows them already."""
    edition = edition_of(connection, presentation)
    if is_of(presentation, edition):
        return None
    # Imported late: it starts a JavaScript engine, and most runs of a quiet day need none.
    from lms_assets.statistics.page.build import page_of

    return page_of(connection, presentation, made_at=datetime.now(UTC), edition=edition)


statistics_assets = [daily_statistics, statistics_sheet, statistics_page]
