"""How runs belong together: the tags that make a batch of them.

A batch (a backfill, a schedule's tick with its late days, a catch-up, a demo)
makes one letter and one publication, when the last of its runs has ended.
"""

from collections.abc import Mapping

BATCH_TAG = "lms/batch"
# The run's own id, where its lock was held before it was created; a re-execution that keeps its
# parent's tags has another id.
HELD_TAG = ".dagster/lms_held_as"
PUBLICATION_TAG = "lms/publication"
BACKFILL_TAG = "dagster/backfill"
PARTITION_TAG = "dagster/partition"
WILL_RETRY_TAG = "dagster/will_retry"
PARENT_TAG = "dagster/parent_run_id"
ROOT_TAG = "dagster/root_run_id"
RETRY_TAG = "dagster/retry_number"


def batch_of(tags: Mapping[str, str]) -> str | None:
    """The batch that a run belongs to, or None for a run by itself.

    Dagster's page gives a run that a person executes again the tags of the first one, its
    batch too. By then the batch has mostly had its publication and its letter: the new run
    is one by itself.
    """
    return None if is_executed_again(tags) else first_batch_of(tags)


def first_batch_of(tags: Mapping[str, str]) -> str | None:
    """The batch of a run, or of the run that was executed again as this one."""
    return tags.get(BATCH_TAG) or tags.get(BACKFILL_TAG)


def is_executed_again(tags: Mapping[str, str]) -> bool:
    """Whether a person executed an earlier run again; not so a retry that Dagster makes."""
    return PARENT_TAG in tags and RETRY_TAG not in tags


def is_publication(tags: Mapping[str, str]) -> bool:
    """Whether the run is the one that publishes for its whole batch."""
    return PUBLICATION_TAG in tags


def publishes(tags: Mapping[str, str]) -> bool:
    """Whether a run's own sheet step writes: a batch has one publication for all its days."""
    return batch_of(tags) is None or is_publication(tags)
