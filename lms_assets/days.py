"""Days, midnights and windows: the only module that decides what a day is; pure.

A day lasts from one midnight of LMS_TIMEZONE to the next: 23 or 25 hours where the clocks
change. Instants are naive UTC, as the API sends them and the table holds them.

The ``tzdata`` package alone says when a zone's clocks change. The machine's own edition, which
Python reads by default, and PostgreSQL's edition may be older or newer. If one edition cuts a
day and another counts it, attempts are lost. So SQL never gets a zone's name, only instants.
"""

import zoneinfo
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

zoneinfo.reset_tzpath(to=())


@dataclass(frozen=True)
class Window:
    """A stretch of time, half-open: ``start`` belongs to it, ``end`` does not. Naive UTC."""

    start: datetime
    end: datetime


def is_zone(name: str) -> bool:
    """Whether the IANA database has a zone of this name, as ``Europe/Moscow``."""
    return name in zoneinfo.available_timezones()


def naive_utc(moment: datetime) -> datetime:
    """The aware instant as naive UTC."""
    return moment.astimezone(UTC).replace(tzinfo=None)


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The day's first instant, naive UTC, even where the clocks change at midnight."""
    return naive_utc(datetime.combine(day, time(), tzinfo=zone))


def window_of(day: date, zone: ZoneInfo) -> Window:
    """The day's window."""
    return window_between(day, day, zone)


def window_between(first: date, last: date, zone: ZoneInfo) -> Window:
    """The window of all days from ``first`` to ``last``, both included."""
    return Window(midnight(first, zone), midnight(last + timedelta(days=1), zone))


def today(now: datetime, zone: ZoneInfo) -> date:
    """The day in which the aware instant ``now`` lies."""
    return now.astimezone(zone).date()


def yesterday(now: datetime, zone: ZoneInfo) -> date:
    """The latest day that has ended at the aware instant ``now``."""
    return today(now, zone) - timedelta(days=1)


def day_of(moment: datetime, zone: ZoneInfo) -> date:
    """The day in which a naive UTC instant lies."""
    return moment.replace(tzinfo=UTC).astimezone(zone).date()


def end_of_tomorrow(now: datetime) -> datetime:
    """The end of tomorrow in UTC, naive: an attempt dated later has a wrong date."""
    later = now.astimezone(UTC) + timedelta(days=2)
    return later.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)


def days_between(first: date, last: date) -> list[date]:
    """Every day from ``first`` to ``last``, both included."""
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def spans(days: Iterable[date]) -> list[tuple[date, date]]:
    """The first and last day of each unbroken span of days, in order."""
    unbroken: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if unbroken and day - unbroken[-1][1] == timedelta(days=1):
            unbroken[-1] = (unbroken[-1][0], day)
        else:
            unbroken.append((day, day))
    return unbroken


@dataclass(frozen=True)
class OffsetSpan:
    """A stretch of time in which the zone's clocks are one offset ahead of UTC."""

    start: datetime
    end: datetime
    ahead: timedelta


def offset_spans(window: Window, zone: ZoneInfo) -> list[OffsetSpan]:
    """The window, cut where the zone's clocks change, in order.

    Local time is the naive UTC instant plus ``ahead``. SQL gets these spans instead of a zone's
    name.
    """
    starts = [window.start]
    moment, ahead = window.start, _ahead(window.start, zone)
    while moment < window.end:
        later = min(moment + timedelta(days=1), window.end)
        later_ahead = _ahead(later, zone)
        if later_ahead != ahead:
            starts.append(_change_between(moment, later, zone))
        moment, ahead = later, later_ahead
    ends = [*starts[1:], window.end]
    cut = zip(starts, ends, strict=True)
    return [OffsetSpan(start, end, _ahead(start, zone)) for start, end in cut if start < end]


def _change_between(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The first second whose offset differs from that at ``before``."""
    offset = _ahead(before, zone)
    while after - before > timedelta(seconds=1):
        middle = before + timedelta(seconds=(after - before) // timedelta(seconds=2))
        before, after = (middle, after) if _ahead(middle, zone) == offset else (before, middle)
    return after


def _ahead(moment: datetime, zone: ZoneInfo) -> timedelta:
    local = moment.replace(tzinfo=UTC).astimezone(zone)
    return local.replace(tzinfo=None) - moment
