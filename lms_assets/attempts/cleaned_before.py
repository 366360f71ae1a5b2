"""Equal bytes are cleaned once by equal rules: what was made of them then is what is made now."""

import msgspec
import pyarrow as pa

from lms_assets.attempts.cleaning import CODE_VERSION
from lms_assets.attempts.ledger import Pull
from lms_assets.days import Window
from lms_assets.resources.lake import Lake, RawAnswer, reference_key

# Whether an attempt is of the future is judged by the clock; all other rules see the bytes alone.
BY_THE_CLOCK = "created_at_invalid"


def cleaned_before(lake: Lake, answer: RawAnswer, window: Window, *, zone: str) -> Pull | None:
    """The day's last cleaning where it was of the same bytes by the same rules and still stands.

    The bytes of an answer change when a student in it is erased, so equal bytes had the same
    students dropped. Whoever calls shares the lock ``TOMBSTONES``.

    Returns:
        The pull as it was then. None where the answer must be cleaned.
    """
    pull = _newest_pull(lake, answer.day)
    if pull is None or BY_THE_CLOCK in pull.fates.rejected:
        return None
    was = (pull.checksum, pull.code_version, pull.zone, pull.window_start, pull.window_end)
    now = (answer.checksum, CODE_VERSION, zone, window.start, window.end)
    is_same = was == now and pull.fates.received == answer.records + answer.erased
    return pull if is_same and _stands(lake, pull) else None


def _newest_pull(lake: Lake, day: str) -> Pull | None:
    try:
        stored = lake.objects.read(reference_key("cleaned_attempts", day))
        return msgspec.json.decode(stored, type=Pull)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _stands(lake: Lake, pull: Pull) -> bool:
    """Whether the lake holds the attempts and the refused records, as many as were counted."""
    try:
        rows = [lake.rows(key) for key in (pull.attempts_key, pull.rejected_key)]
    except (FileNotFoundError, pa.ArrowInvalid):
        return False
    return rows == [pull.clean, pull.fates.rejected_in_all]
