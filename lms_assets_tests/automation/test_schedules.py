"""Which days a tick pulls, when the next one comes, what should be there by now."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import dagster as dg
import pytest
from sqlalchemy import text

from lms_assets.automation.schedules import scheduled_attempts
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.due import days_of_a_tick, last_tick, newest_due_day, next_tick
from lms_assets.settings import Settings

HOUR = timedelta(hours=1)


def settings(schedule: str = "daily", zone: str = "UTC", hour: int = 7) -> Settings:
    return Settings(
        lms_schedule=schedule,
        lms_timezone=zone,
        lms_hour=hour,
        lms_first_day="2025-01-01",
        _env_file=None,
    )


def tick_days(schedule: str, late: int, newest: str = "2025-07-10") -> list[str]:
    days = days_of_a_tick(
        date.fromisoformat(newest), schedule=schedule, late_days=late, first_day=date(2025, 7, 1)
    )
    return [day.isoformat()[5:] for day in days]


def test_the_daily_schedule_pulls_yesterday_and_the_late_days_before_it() -> None:
    assert tick_days("daily", 3) == ["07-10", "07-09", "07-08", "07-07"]
    assert tick_days("daily", 0) == ["07-10"]


def test_the_other_schedule_pulls_three_days_and_the_late_days_before_them() -> None:
    assert tick_days("every_3_days", 0) == ["07-10", "07-09", "07-08"]
    assert tick_days("every_3_days", 1) == ["07-10", "07-09", "07-08", "07-07"]


def test_no_day_before_the_first_one_is_pulled() -> None:
    assert tick_days("daily", 3, newest="2025-07-02") == ["07-02", "07-01"]


def test_the_next_tick_is_today_before_the_hour_and_tomorrow_from_it_on() -> None:
    before = datetime(2025, 7, 10, 6, 59, tzinfo=UTC)
    assert next_tick(settings(), before) == datetime(2025, 7, 10, 7, tzinfo=UTC)
    at = datetime(2025, 7, 10, 7, tzinfo=UTC)
    assert next_tick(settings(), at) == datetime(2025, 7, 11, 7, tzinfo=UTC)


def test_the_hour_is_one_of_the_set_zone_on_both_sides_of_a_clock_change() -> None:
    berlin = settings(zone="Europe/Berlin")
    winter = next_tick(berlin, datetime(2025, 3, 28, 12, tzinfo=UTC))
    summer = next_tick(berlin, datetime(2025, 3, 29, 12, tzinfo=UTC))
    assert winter.astimezone(UTC) == datetime(2025, 3, 29, 6, tzinfo=UTC)
    assert summer.astimezone(UTC) == datetime(2025, 3, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "expected"),
    [("2025-07-30 12:00", "2025-07-31"), ("2025-07-31 12:00", "2025-08-01")],
)
def test_every_third_day_is_counted_from_the_first_of_the_month(now: str, expected: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert next_tick(settings("every_3_days"), moment).date().isoformat() == expected


def test_every_day_is_pulled_by_some_tick_of_the_three_day_schedule() -> None:
    every_3_days = settings("every_3_days")
    tick, pulled = datetime(2024, 1, 1, 7, tzinfo=UTC), set()
    while tick.year == 2024:
        newest = tick.date() - timedelta(days=1)
        pulled |= set(
            days_of_a_tick(newest, schedule="every_3_days", late_days=0, first_day=date.min)
        )
        tick = next_tick(every_3_days, tick)
    assert {date(2024, 1, 1) + timedelta(days=n) for n in range(364)} <= pulled


def test_the_last_tick_is_the_one_before_the_next() -> None:
    now = datetime(2025, 7, 10, 6, tzinfo=UTC)
    assert last_tick(settings(), now) == datetime(2025, 7, 9, 7, tzinfo=UTC)
    assert last_tick(settings("every_3_days"), now) == datetime(2025, 7, 10, 7, tzinfo=UTC) - (
        3 * 24 * HOUR
    )


def test_yesterday_is_due_once_the_grace_after_the_hour_is_over() -> None:
    early, late = (datetime(2025, 7, 10, *at, tzinfo=UTC) for at in ((8, 59), (9, 0)))
    assert newest_due_day(settings(), early, grace=2 * HOUR) == date(2025, 7, 8)
    assert newest_due_day(settings(), late, grace=2 * HOUR) == date(2025, 7, 9)


def test_between_the_ticks_of_the_three_day_schedule_nothing_newer_is_due() -> None:
    now = datetime(2025, 7, 9, 23, tzinfo=UTC)
    assert newest_due_day(settings("every_3_days"), now, grace=2 * HOUR) == date(2025, 7, 6)


def test_the_schedule_is_on_and_keeps_its_hour_in_its_zone() -> None:
    schedule = scheduled_attempts(settings("every_3_days", zone="Europe/Moscow", hour=5))
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    assert schedule.cron_schedule == "0 5 */3 * *"
    assert schedule.execution_timezone == "Europe/Moscow"


def test_a_tick_asks_for_each_of_its_days_once_and_opens_one_batch(warehouse: Warehouse) -> None:
    schedule = scheduled_attempts(settings())
    moment = datetime(2025, 7, 10, 7, tzinfo=ZoneInfo("UTC"))
    for _ in range(2):  # a daemon that died in the middle of a tick asks again
        with dg.build_schedule_context(
            scheduled_execution_time=moment, resources={"warehouse": warehouse}
        ) as context:
            asked = list(schedule(context))
    assert [request.partition_key for request in asked] == [
        "2025-07-09",
        "2025-07-08",
        "2025-07-07",
        "2025-07-06",
    ]
    assert {request.tags["lms/batch"] for request in asked} == {"schedule-2025-07-10T0700"}
    assert len({request.run_key for request in asked}) == 4
    with warehouse.begin() as connection:
        batches = connection.execute(text("select batch, kind, days from batches")).all()
    assert [(row.batch, row.kind, row.days[0], len(row.days)) for row in batches] == [
        ("schedule-2025-07-10T0700", "schedule", "2025-07-09", 4)
    ]
