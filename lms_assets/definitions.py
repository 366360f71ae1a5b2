"""All definitions of the platform.

grader API → raw_attempts → cleaned_attempts → attempts_table → daily_statistics
           → statistics_sheet, statistics_page
"""

import dagster as dg

from lms_assets.attempts.assets import attempts_assets
from lms_assets.attempts.checks import attempts_checks
from lms_assets.automation.freshness import freshness_checks
from lms_assets.automation.jobs import daily_attempts, publication
from lms_assets.automation.room import room_checks
from lms_assets.automation.schedules import scheduled_attempts
from lms_assets.automation.sensors import sensors
from lms_assets.settings import load_settings
from lms_assets.statistics.assets import statistics_assets
from lms_assets.statistics.checks import statistics_checks
from lms_assets.systems import resources, sealed


@dg.definitions
def code_location() -> dg.Definitions:
    """Assets, checks, jobs, schedule, sensors and resources, by the settings of this process."""
    settings = load_settings()
    systems = resources(settings)
    watched = [*freshness_checks(settings), *room_checks(settings)]
    return dg.Definitions(
        assets=[*attempts_assets, *statistics_assets],
        asset_checks=[*attempts_checks, *statistics_checks, *watched],
        jobs=[daily_attempts, publication],
        schedules=[scheduled_attempts(settings)],
        sensors=sensors(settings, systems),
        resources=sealed(systems),
        # One process per run: with a process per step a run would take five times as long.
        executor=dg.in_process_executor,
    )
