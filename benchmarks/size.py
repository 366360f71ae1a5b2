"""What a day costs as the table grows: the day's cost must not know the history's size."""

import tempfile
from datetime import date, timedelta
from pathlib import Path
from statistics import median

import psycopg2

from benchmarks.answers import answering
from benchmarks.data import DAY, write_day
from benchmarks.homes import Home, home
from benchmarks.measure import measured, python
from benchmarks.results import Row

DAY_RECORDS = 10_000
DAYS = 5
PER_DAY = 20_000
# Students who try tasks one after the other, about ten attempts a pair, and leave.
FILL = """
insert into attempts (user_id, oauth_consumer_key, lis_result_sourcedid, lis_outcome_service_url,
    is_correct, attempt_type, created_at, course, task)
select md5(student::text), '',
    'course-v1:C' || c || ':host-' || md5(t::text) || ':' || md5(student::text), null,
    case when n %% 2 = 0 then n %% 10 = 8 end, case when n %% 2 = 0 then 'submit' else 'run' end,
    cast(%(day)s as timestamp)
        + interval '1 second' * (20 + student * 7 %% 40000 + n * 97 %% 40000),
    'course-v1:C' || c, 'host-' || md5(t::text)
from generate_series(0, %(count)s / 10 - 1) i
cross join generate_series(0, 9) n
cross join lateral (select %(number)s / 28 * 5000 + i %% 5000 as student, i %% 20 as c,
    %(number)s %% 100 + 100 * (i %% 20) as t) s
on conflict do nothing
"""


def size(*, rows: tuple[int, ...]) -> list[Row]:
    """The load of days of 10,000 and their figures, in tables of so many rows.

    The first of ``rows`` is what the load is compared with, the second what the figures are.
    """
    loads: dict[int, float] = {}
    figures: dict[int, float] = {}
    for count in rows:
        loads[count], figures[count] = _measured_at(count)
    small, middle, large = rows[0], rows[1], rows[-1]
    what = f"a day of {DAY_RECORDS:,} into a table of"
    bars = {large: (1.3, 2.0)}
    return [
        row
        for count in rows[1:]
        for load_bar, figures_bar in [bars.get(count, (None, None))]
        for row in (
            Row(
                f"{what} {count:,}: its load",
                loads[count],
                loads[count] / loads[small],
                load_bar,
                "an empty table",
            ),
            Row(
                f"{what} {count:,}: its figures",
                figures[count],
                figures[count] / figures[middle],
                figures_bar,
                f"a table of {middle:,}",
            ),
        )
    ]


def _measured_at(count: int) -> tuple[float, float]:
    """Seconds of the load and of the figures of days that come after so many rows; medians."""
    days = [DAY + timedelta(days=number) for number in range(DAYS)]
    with tempfile.TemporaryDirectory(prefix="lms-bench-data-") as folder:
        for day in days:
            write_day(Path(folder) / f"{day}.json", records=DAY_RECORDS, day=day)
        first = DAY - timedelta(days=max(1, count // PER_DAY) + 1)
        with answering(Path(folder)) as api, home(api, first) as place:
            # Makes the schema.
            place.lms("gaps")
            _fill(place, first, count)
            _vacuum(place)
            measured(
                python("benchmarks.refresh_all", str(DAY - timedelta(days=1))), place.environment
            )
            loads, figures = zip(*(_times_of(place, day) for day in days), strict=True)
            return median(loads), median(figures)


def _times_of(place: Home, day: date) -> tuple[float, float]:
    place.lms("run", day.isoformat(), "--json")
    return place.last_run()["load_s"], place.step_s("daily_statistics")


def _fill(place: Home, first: date, count: int) -> None:
    with psycopg2.connect(place.url) as connection, connection.cursor() as cursor:
        for number in range(count // PER_DAY):
            day = first + timedelta(days=number)
            cursor.execute(FILL, {"day": day, "number": number, "count": PER_DAY})


def _vacuum(place: Home) -> None:
    """As autovacuum does with a table that grew by a day at a time: BRIN knows every block."""
    connection = psycopg2.connect(place.url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute("vacuum analyze attempts")
    connection.close()
