"""The sheet and the page catch up with figures that changed outside a batch."""

from datetime import date

import dagster as dg

from lms_assets.attempts.ledger import newest_loaded_day
from lms_assets.commands.installation import Installation
from lms_assets.commands.runner import publish
from lms_assets.commands.terminal import FAILED, say_error
from lms_assets.letters.messenger import Messenger, utc_now
from lms_assets.letters.outcomes import Outcome
from lms_assets.runs.processes import terminated_as_interrupted
from lms_assets.statistics.unpublished import is_anything_unpublished
from lms_assets.systems import resources


def messenger_of(installation: Installation, instance: dg.DagsterInstance) -> Messenger:
    """Who tells of the runs of this process."""
    settings = installation.settings
    return Messenger(settings, installation.warehouse, instance, resources(settings))


def publish_what_is_left(
    installation: Installation, instance: dg.DagsterInstance, day: date | None = None
) -> Outcome | None:
    """What the sheet or the page does not show yet was published, and a failure told by letter.

    Also what an earlier call left that was ended before it came so far.

    Args:
        day: A loaded day, under which the publication runs; the newest one if left out.

    Returns:
        The publication's outcome; None where nothing was left.
    """
    with installation.warehouse.begin() as connection:
        is_left = is_anything_unpublished(connection)
        day = (day or newest_loaded_day(connection)) if is_left else None
    if day is None:
        return None
    # Days that were adopted or restored may all lie before the first one that can be run.
    day = max(day, installation.settings.lms_first_day)
    messenger = messenger_of(installation, instance)
    with terminated_as_interrupted():
        run_id = publish(instance, day)
        messenger.tell_of_run(run_id, now=utc_now())
        messenger.send(now=utc_now())
    return messenger.outcome(run_id)


def status_of(published: Outcome | None) -> int:
    """The exit code of a command whose work is done; what could not be published is said."""
    if published is None or published.succeeded:
        return 0
    say_error(f"Publication {published.summary}")
    return FAILED
