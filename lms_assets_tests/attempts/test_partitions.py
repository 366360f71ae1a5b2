"""What a day is: its window, whatever the zone's clocks do, and the one zone of a database."""

import json
import os
import subprocess
import sys
from datetime import date, datetime
from pathlib import Path

import pytest

from lms_assets.commands.installation import Installation, prepare
from lms_assets.faults import PermanentFault
from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets.settings import load_settings
from lms_assets_tests.day_loads import loaded, record

WINDOWS = """
import json, sys
from datetime import date
from lms_assets.attempts.partitions import window_of
windows = [window_of(date.fromisoformat(day)) for day in sys.argv[1:]]
print(json.dumps([[w.start.isoformat(), w.end.isoformat()] for w in windows]))
"""


def windows(zone: str, *days: str) -> list[tuple[datetime, datetime]]:
    """The windows of days, naive UTC, as a process that was started with the zone has them."""
    environment = {**os.environ, "LMS_TIMEZONE": zone, "LMS_FIRST_DAY": "2024-01-01"}
    said = subprocess.run(
        [sys.executable, "-c", WINDOWS, *days],
        env=environment,
        capture_output=True,
        check=True,
        text=True,
    )
    found = json.loads(said.stdout.splitlines()[-1])
    return [(datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in found]


@pytest.mark.parametrize(
    ("zone", "short", "long"),
    [
        ("Europe/Berlin", "2025-03-30", "2025-10-26"),
        ("America/New_York", "2025-03-09", "2025-11-02"),
    ],
)
def test_days_of_23_and_25_hours_have_windows_of_23_and_25_hours(
    zone: str, short: str, long: str
) -> None:
    hours = [(end - start).total_seconds() / 3600 for start, end in windows(zone, short, long)]
    assert hours == [23, 25]


def test_the_day_on_which_berlin_goes_to_summer_time_begins_and_ends_at_its_own_midnights() -> None:
    before, short, after = windows("Europe/Berlin", "2025-03-29", "2025-03-30", "2025-03-31")
    assert [str(moment) for moment in short] == ["2025-03-29 23:00:00", "2025-03-30 22:00:00"]
    assert before[1] == short[0]
    assert short[1] == after[0]


def test_the_windows_of_a_year_leave_no_gap_and_overlap_nowhere() -> None:
    first = date(2025, 1, 1).toordinal()
    days = [date.fromordinal(first + n).isoformat() for n in range(365)]
    found = windows("America/New_York", *days)
    assert [end for _, end in found[:-1]] == [start for start, _ in found[1:]]
    assert sum((end - start).total_seconds() for start, end in found) == 365 * 24 * 3600


def test_another_zone_over_loaded_days_is_refused_with_what_to_do(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lms_assets.systems.warehouse", lambda _: warehouse)
    monkeypatch.setattr(os, "environ", dict(os.environ))
    loaded(warehouse, Lake(url=str(tmp_path / "lake")), [record()])

    def prepared(zone: str) -> Installation:
        return prepare(load_settings(demo=True, lms_home=tmp_path, lms_timezone=zone))

    with pytest.raises(PermanentFault) as refused:
        prepared("Europe/Moscow")

    assert refused.value.code == "settings.zone_changed"
    assert refused.value.facts == {"zone": "Europe/Moscow", "loaded": "UTC"}
    assert "LMS_TIMEZONE" in refused.value.remedy()
    assert prepared("UTC").settings.lms_timezone == "UTC"
