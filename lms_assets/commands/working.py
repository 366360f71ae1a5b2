"""The command that makes this machine a worker of a cluster."""

import sys

import click

from lms_assets.cluster.agreement import refuse_difference
from lms_assets.cluster.worker import work
from lms_assets.commands.installation import prepare
from lms_assets.commands.terminal import FAILED
from lms_assets.faults.logs import configure_logging
from lms_assets.settings import SettingsError, load_settings
from lms_assets.systems import warehouse


@click.command()
@click.option(
    "--runs",
    default=1,
    show_default=True,
    type=click.IntRange(1, 64),
    help="How many runs at once, each in a process of its own.",
)
def worker(runs: int) -> None:
    """Works the runs that ./lms up queues, here or elsewhere.

    Ctrl-C ends it after the runs in hand, a second one at once: such a run is done again.
    """
    settings = load_settings()
    if settings.lms_broker_url is None:
        raise SettingsError("LMS_BROKER_URL: is missing: set it as it is where ./lms up runs")
    database = warehouse(settings)
    # Before anything is migrated: a worker changes nothing by itself.
    agreement = refuse_difference(database, settings)
    prepare(settings)
    configure_logging(settings)
    sys.exit(0 if work(database, agreement, runs=runs, tell=click.echo) else FAILED)
