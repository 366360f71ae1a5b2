"""Publication of figures that changed outside a batch."""

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

# A sensor has seconds, a command what a person waits for: a Sunday may bring a letter per course.
COMMAND_SENDS_S = 300


def messenger_of(installation: Installation, instance: dg.DagsterInstance) -> Messenger:
    """The messenger for the runs of this process."""
    settings = installation.settings
    return Messenger(settings, installation.warehouse, instance, resources(settings))


def publish_changes(
    installation: Installation, instance: dg.DagsterInstance, day: date | None = None
) -> Outcome | None:
    """Changed figures are published, even those that an earlier, interrupted call left.

    A failed publication gets a letter.

    Args:
        installation: The prepared installation.
        instance: Dagster's instance.
        day: The loaded day whose partition the publication uses; None means the newest one.

    Returns:
        The publication's outcome; None if sheet and page were current.
    """
    with installation.warehouse.begin() as connection:
        has_changes = is_anything_unpublished(connection)
        day = (day or newest_loaded_day(connection)) if has_changes else None
    if day is None:
        return None
    # All adopted or restored days may be before LMS_FIRST_DAY, where there are no partitions.
    day = max(day, installation.settings.lms_first_day)
    messenger = messenger_of(installation, instance)
    with terminated_as_interrupted():
        run_id = publish(instance, day)
        messenger.tell_of_run(run_id, now=utc_now())
        messenger.send(now=utc_now(), begin_within_s=COMMAND_SENDS_S)
    return messenger.outcome(run_id)


def status_of(published: Outcome | None) -> int:
    """The exit code of a command after its publication; stderr reports a failed one."""
    if published is None or published.succeeded:
        return 0
    say_error(f"Publication {published.summary}")
    return FAILED
