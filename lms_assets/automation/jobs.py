"""The two jobs: one day from the API to the page, and the publication of a batch."""

import dagster as dg

from lms_assets.automation.freshness import CHECK_KEY
from lms_assets.runs.tags import PUBLICATION_TAG

daily_attempts = dg.define_asset_job(
    "daily_attempts",
    # A run may be of any day, so it says nothing about whether yesterday is late.
    selection=dg.AssetSelection.all() - dg.AssetSelection.checks(CHECK_KEY),
    description="One day: from the API to the table, its figures, the sheet and the page.",
)

publication = dg.define_asset_job(
    "publication",
    # Figures too: a run that a person launched on Dagster's page may have loaded the table only.
    selection=dg.AssetSelection.assets("daily_statistics", "statistics_sheet", "statistics_page"),
    tags={PUBLICATION_TAG: "yes"},
    description="Lagging figures, then the sheet and the page, once for a batch of days.",
)
