"""The sheet agrees with the table."""

from datetime import UTC, datetime

import dagster as dg

from lms_assets.faults.failures import told_to_dagster
from lms_assets.resources.spreadsheet import Spreadsheet
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.tags import publishes
from lms_assets.statistics.agreement import disagreements
from lms_assets.statistics.assets import statistics_sheet
from lms_assets.statistics.presentation import Presentation
from lms_assets.statistics.sheet import figures_for_sheet, tabs_of


@dg.asset_check(asset=statistics_sheet)
def the_sheet_agrees_with_the_table(
    context: dg.AssetCheckExecutionContext,
    warehouse: Warehouse,
    presentation: Presentation,
    google_sheets: dg.ResourceParam[Spreadsheet],
) -> dg.AssetCheckResult:
    """What the sheet holds, read back, is what the database says now."""
    if not publishes(context.run.tags):
        return dg.AssetCheckResult(passed=True, description="Left to the batch's publication.")
    with told_to_dagster():
        with warehouse.begin() as connection:
            figures = figures_for_sheet(connection)
        tabs = tabs_of(figures, presentation, made_at=datetime.now(UTC))
        shown = [tab for tab in tabs if tab.made_if_missing]
        grids = google_sheets.read_all([tab.title for tab in shown])
        found = [
            line
            for tab in shown
            for line in disagreements(grids[tab.title], tab, presentation.language)
        ]
        return dg.AssetCheckResult(
            passed=not found, metadata={"disagreements": len(found), "first": "; ".join(found[:5])}
        )


statistics_checks = [the_sheet_agrees_with_the_table]
