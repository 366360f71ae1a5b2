"""Old objects of the lake are deleted: cleaned ones, and raw ones where LMS_RAW_DAYS is set.

Cleaned objects can be made again from raw ones. A day's newest raw answer always stays, so every
day can be cleaned and loaded again. Only the day's earlier answers are lost.
"""

from datetime import UTC, date, datetime

from lms_assets.resources.lake import Lake


def prune_cleaned(lake: Lake, *, before: datetime) -> int:
    """Cleaned objects that were written before ``before`` (aware) are deleted; how many."""
    pruned = 0
    for key in lake.cleaned_keys():
        try:
            is_expired = lake.objects.written_at(key) < before
        except FileNotFoundError:
            # An erasure or another machine has removed it already.
            continue
        if is_expired:
            lake.remove(key)
            pruned += 1
    return pruned


def prune_raw(lake: Lake, *, before: datetime) -> int:
    """Answers that were pulled before ``before`` (aware) are deleted; how many objects.

    A day's newest answer stays, and so does its newest answer with records: an empty answer must
    not replace a day's records.
    """
    limit = before.astimezone(UTC).replace(tzinfo=None)
    return sum(_prune_day(lake, day, limit) for day in lake.raw_days())


def _prune_day(lake: Lake, day: date, before: datetime) -> int:
    answers = lake.raw_answers(day)
    with_records = [answer for answer in answers if answer.records]
    young = [a for a in answers if datetime.fromisoformat(a.pulled_at) >= before]
    kept = {answer.checksum for answer in (*answers[-1:], *with_records[-1:], *young)}
    objects = {answer.key for answer in answers if answer.checksum not in kept}
    # A marker (a pull of the same bytes) is useless without its object.
    markers = lake.markers(day, kept=kept)
    for key in (*sorted(markers), *sorted(objects)):
        lake.remove(key)
    return len(objects)
