"""How runs belong together: the tags that make a batch of them.

A batch (a backfill, a schedule's tick with its late days, a catch-up, a demo)
makes one letter and one publication, when the last of its runs has ended.
"""

from collections.abc import Mapping

BATCH_TAG = "lms/batch"
PUBLICATION_TAG = "lms/publication"
BACKFILL_TAG = "dagster/backfill"
PARTITION_TAG = "dagster/partition"
WILL_RETRY_TAG = "dagster/will_retry"


def batch_of(tags: Mapping[str, str]) -> str | None:
    """The batch that a run belongs to, or None for a run by itself."""
    return tags.get(BATCH_TAG) or tags.get(BACKFILL_TAG)


def is_publication(tags: Mapping[str, str]) -> bool:
    """Whether the run is the one that publishes for its whole batch."""
    return PUBLICATION_TAG in tags


def publishes(tags: Mapping[str, str]) -> bool:
    """Whether a run's own sheet step writes: a batch has one publication for all its days."""
    return batch_of(tags) is None or is_publication(tags)
