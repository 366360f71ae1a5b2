"""All figures are computed anew up to a day: `python -m benchmarks.refresh_all DAY`."""

import sys
from datetime import date

from lms_assets.commands.installation import prepare
from lms_assets.settings import load_settings
from lms_assets.statistics import measures

if __name__ == "__main__":
    settings = load_settings()
    with prepare(settings).warehouse.begin() as connection:
        measures.refresh_all(
            connection, zone=settings.lms_timezone, as_of=date.fromisoformat(sys.argv[1])
        )
