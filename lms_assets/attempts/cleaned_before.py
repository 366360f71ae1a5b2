"""An answer with the same bytes as the day's last cleaned answer is not cleaned again."""

import msgspec
import pyarrow as pa

from lms_assets.attempts.cleaning import CODE_VERSION
from lms_assets.attempts.ledger import Pull
from lms_assets.days import Window
from lms_assets.resources.lake import Lake, RawAnswer, reference_key

# Only this rule looks at the clock: a record of the future may be an attempt when cleaned later.
BY_THE_CLOCK = "created_at_invalid"


def earlier_pull(lake: Lake, answer: RawAnswer, window: Window, *, zone: str) -> Pull | None:
    """The day's last cleaned pull, if it can stand for this answer; None if it must be cleaned.

    It can if bytes, rules, zone and window are the same, no record was rejected by the clock, and
    its objects are still in the lake. An erasure rewrites the answers that name the student, so
    equal bytes contain records of the same students.

    The caller shares the lock ``TOMBSTONES``.
    """
    pull = _newest_pull(lake, answer.day)
    if pull is None or BY_THE_CLOCK in pull.fates.rejected:
        return None
    earlier = (pull.checksum, pull.code_version, pull.zone, pull.window_start, pull.window_end)
    current = (answer.checksum, CODE_VERSION, zone, window.start, window.end)
    is_same = earlier == current and pull.fates.received == answer.records + answer.erased
    return pull if is_same and _has_its_objects(lake, pull) else None


def _newest_pull(lake: Lake, day: str) -> Pull | None:
    try:
        stored = lake.objects.read(reference_key("cleaned_attempts", day))
        return msgspec.json.decode(stored, type=Pull)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _has_its_objects(lake: Lake, pull: Pull) -> bool:
    """Whether the lake holds both objects of the pull, with as many rows as were counted."""
    try:
        rows = [lake.rows(key) for key in (pull.attempts_key, pull.rejected_key)]
    except (FileNotFoundError, pa.ArrowInvalid):
        return False
    return rows == [pull.clean, pull.fates.rejected_in_all]
