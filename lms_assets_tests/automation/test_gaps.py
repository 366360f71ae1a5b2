"""Which days are missing, and which of them are asked for."""

from datetime import date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lms_assets.automation.gaps import MAX_TRIES, Tries, days_to_request, given_up, missing_days

NOW = datetime(2025, 7, 10, 12)  # noqa: DTZ001
DAYS = [date(2025, 7, n) for n in (5, 6, 7)]


def asked(*, running: set[date] | None = None, **tries: Tries) -> list[int]:
    by_day = {date(2025, 7, int(name[1:])): one for name, one in tries.items()}
    found = days_to_request(DAYS, running=running or set(), tries=by_day, now=NOW)
    return [day.day for day in found]


def failed(times: int, *, minutes_ago: int, **others: bool) -> Tries:
    return Tries(times, NOW - timedelta(minutes=minutes_ago), **others)


def test_days_that_the_ledger_does_not_hold_are_missing() -> None:
    loaded = {date(2025, 7, 2), date(2025, 7, 4)}
    missing = missing_days(date(2025, 7, 1), date(2025, 7, 4), loaded)
    assert missing == [date(2025, 7, 1), date(2025, 7, 3)]


def test_nothing_is_missing_before_the_first_day() -> None:
    assert missing_days(date(2025, 7, 2), date(2025, 7, 1), set()) == []


def test_missing_days_are_asked_for_newest_first() -> None:
    assert asked() == [7, 6, 5]


def test_a_day_that_is_running_is_not_asked_for() -> None:
    assert asked(running={date(2025, 7, 7)}) == [6, 5]


@pytest.mark.parametrize(("times", "rests_min"), [(1, 30), (2, 60), (3, 120), (4, 240)])
def test_a_day_that_failed_rests_twice_as_long_after_each_try(times: int, rests_min: int) -> None:
    assert asked(d7=failed(times, minutes_ago=rests_min - 1)) == [6, 5]
    assert asked(d7=failed(times, minutes_ago=rests_min)) == [7, 6, 5]


def test_a_day_that_failed_too_often_is_given_up() -> None:
    tries = failed(MAX_TRIES, minutes_ago=10_000)
    assert asked(d6=tries) == [7, 5]
    assert given_up(DAYS, {date(2025, 7, 6): tries}) == [date(2025, 7, 6)]


def test_a_day_that_failed_for_good_waits_for_a_person_and_is_not_given_up() -> None:
    tries = failed(1, minutes_ago=10_000, needs_a_person=True)
    assert asked(d6=tries) == [7, 5]
    assert given_up(DAYS, {date(2025, 7, 6): tries}) == []


@given(
    missing=st.sets(st.dates(date(2025, 1, 1), date(2025, 3, 1))),
    running=st.sets(st.dates(date(2025, 1, 1), date(2025, 3, 1))),
    failures=st.dictionaries(
        st.dates(date(2025, 1, 1), date(2025, 3, 1)), st.integers(1, 2 * MAX_TRIES)
    ),
)
def test_requested_days_are_missing_and_neither_running_nor_given_up(
    missing: set[date], running: set[date], failures: dict[date, int]
) -> None:
    tries = {day: failed(n, minutes_ago=100_000) for day, n in failures.items()}
    wanted = days_to_request(missing, running=running, tries=tries, now=NOW)
    hopeless = set(given_up(missing, tries))
    assert wanted == sorted(wanted, reverse=True)
    assert set(wanted) == missing - running - hopeless
