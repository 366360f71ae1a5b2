"""Checks of the statistics: the sheet agrees with the database, and no task is in alarm."""

from datetime import UTC, date, datetime

import dagster as dg

from lms_assets.attempts.ledger import newest_loaded_day
from lms_assets.faults.failures import faults_as_failures
from lms_assets.resources.spreadsheet import Spreadsheet
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.tags import publishes
from lms_assets.statistics import measures
from lms_assets.statistics.assets import daily_statistics, statistics_sheet
from lms_assets.statistics.presentation import Presentation
from lms_assets.statistics.read_back import disagreements
from lms_assets.statistics.sheet import figures_for_sheet, tabs_of


@dg.asset_check(asset=statistics_sheet)
def the_sheet_agrees_with_the_table(
    context: dg.AssetCheckExecutionContext,
    warehouse: Warehouse,
    presentation: Presentation,
    google_sheets: dg.ResourceParam[Spreadsheet],
) -> dg.AssetCheckResult:
    """The sheet, read back, shows the figures that the database holds now."""
    if not publishes(context.run.tags):
        return dg.AssetCheckResult(passed=True, description="Left to the batch's publication.")
    with faults_as_failures():
        with warehouse.begin() as connection:
            figures = figures_for_sheet(connection)
        tabs = tabs_of(figures, presentation, made_at=datetime.now(UTC))
        shown = [tab for tab in tabs if tab.made_if_missing]
        grids = google_sheets.read_all([tab.title for tab in shown])
        differences = [
            line
            for tab in shown
            for line in disagreements(grids[tab.title], tab, presentation.language)
        ]
        return dg.AssetCheckResult(
            passed=not differences,
            metadata={"disagreements": len(differences), "first": "; ".join(differences[:5])},
        )


@dg.asset_check(asset=daily_statistics)
def no_task_is_in_alarm(
    context: dg.AssetCheckExecutionContext, warehouse: Warehouse
) -> dg.AssetCheckResult:
    """No task was solved much less or much more often than usual on the day; it warns otherwise."""
    day = date.fromisoformat(context.partition_key) if context.has_partition_key else None
    with faults_as_failures(), warehouse.begin() as connection:
        day = day or newest_loaded_day(connection)
        alarms = measures.alarms(connection, day) if day else []
    return dg.AssetCheckResult(
        passed=not alarms,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "alarms": len(alarms),
            "tasks": "; ".join(f"{a['kind']}: {a['course']} {a['task']}" for a in alarms),
        },
    )


statistics_checks = [the_sheet_agrees_with_the_table, no_task_is_in_alarm]
