"""The lake kept small: cleaned objects can be made again from raw ones; raw ones cannot.

A day's newest answer stays however old it is, so a day can always be cleaned and loaded again.
What goes with the older answers is the history: what the API said of the day before.
"""

from datetime import UTC, date, datetime

from lms_assets.resources.lake import Lake


def prune_cleaned(lake: Lake, *, before: datetime) -> int:
    """Cleaned objects that were written before are deleted; how many.

    Args:
        before: Aware.
    """
    pruned = 0
    for key in lake.cleaned_keys():
        try:
            is_old = lake.objects.written_at(key) < before
        except FileNotFoundError:
            # An erasure or another machine was faster.
            continue
        if is_old:
            lake.remove(key)
            pruned += 1
    return pruned


def prune_raw(lake: Lake, *, before: datetime) -> int:
    """Answers that were pulled before are deleted, but never a day's newest; how many objects.

    The newest one with records stays as well: an empty answer never stands for a day with some.

    Args:
        before: Aware.
    """
    limit = before.astimezone(UTC).replace(tzinfo=None)
    return sum(_prune_day(lake, day, limit) for day in lake.raw_days())


def _prune_day(lake: Lake, day: date, before: datetime) -> int:
    answers = lake.raw_answers(day)
    with_records = [answer for answer in answers if answer.records]
    young = [a for a in answers if datetime.fromisoformat(a.pulled_at) >= before]
    kept = {answer.checksum for answer in (*answers[-1:], *with_records[-1:], *young)}
    objects = {answer.key for answer in answers if answer.checksum not in kept}
    # A pull of the same bytes is a marker that names no bytes once its object is gone.
    markers = lake.markers(day, kept=kept)
    for key in (*sorted(markers), *sorted(objects)):
        lake.remove(key)
    return len(objects)
