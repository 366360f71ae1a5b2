"""Tags of runs, among them the tag that makes runs a batch.

A batch (a backfill, a schedule's tick with its late days, a catch-up, a demo) makes one letter
and one publication, when the last of its runs has ended.
"""

from collections.abc import Mapping

BATCH_TAG = "lms/batch"
# Holds the run's own id if its process took the lock before the run was created. A re-execution
# inherits the tag, but has another id.
HELD_TAG = ".dagster/lms_held_as"
PUBLICATION_TAG = "lms/publication"
BACKFILL_TAG = "dagster/backfill"
PARTITION_TAG = "dagster/partition"
WILL_RETRY_TAG = "dagster/will_retry"
RETRIED_AS_TAG = "dagster/auto_retry_run_id"
PARENT_TAG = "dagster/parent_run_id"
ROOT_TAG = "dagster/root_run_id"
RETRY_TAG = "dagster/retry_number"


def batch_of(tags: Mapping[str, str]) -> str | None:
    """The batch that a run belongs to, or None for a single run.

    When a person executes a run again, Dagster's page gives the new run the tags of the old one,
    the batch included. By then the batch has usually been published and had its letter. So the
    new run counts as a single run.
    """
    return None if is_executed_again(tags) else first_batch_of(tags)


def first_batch_of(tags: Mapping[str, str]) -> str | None:
    """The batch of a run, or of the run that was executed again as this one."""
    return tags.get(BATCH_TAG) or tags.get(BACKFILL_TAG)


def is_executed_again(tags: Mapping[str, str]) -> bool:
    """Whether this run is a person's re-execution of an earlier run; Dagster's retries are not."""
    return PARENT_TAG in tags and RETRY_TAG not in tags


def is_publication(tags: Mapping[str, str]) -> bool:
    """Whether the run publishes for its whole batch."""
    return PUBLICATION_TAG in tags


def publishes(tags: Mapping[str, str]) -> bool:
    """Whether the run itself writes sheet and page; the runs of a batch leave it to one of them."""
    return batch_of(tags) is None or is_publication(tags)
