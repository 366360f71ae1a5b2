"""What can be run: the whole road for a day, and the publication of a batch."""

import dagster as dg

from lms_assets.automation.freshness import CHECK_KEY
from lms_assets.runs.tags import PUBLICATION_TAG

daily_attempts = dg.define_asset_job(
    "daily_attempts",
    # Whether yesterday is late is no matter of a day's run, which may be another day's.
    selection=dg.AssetSelection.all() - dg.AssetSelection.checks(CHECK_KEY),
    description="One day's road: from the API to the table, its figures and the sheet.",
)

publication = dg.define_asset_job(
    "publication",
    # Figures too: runs of the page may have ended with the table, and theirs still lag.
    selection=dg.AssetSelection.assets("daily_statistics", "statistics_sheet", "statistics_page"),
    tags={PUBLICATION_TAG: "yes"},
    description="The sheet and the page, rebuilt once for a batch of days; figures that lag first.",
)
