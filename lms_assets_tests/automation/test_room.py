"""A disk that fills up is told of while there is still time."""

from datetime import date
from pathlib import Path

import pytest
from pydantic import SecretStr

from lms_assets.automation.room import Room, rooms
from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets.settings import Settings
from lms_assets_tests.day_loads import loaded, record

GIB = 2**30


@pytest.mark.parametrize(
    ("used", "free", "daily", "is_enough"),
    [
        (0.79, 100 * GIB, GIB, True),
        (0.80, 100 * GIB, GIB, False),
        (0.10, 30 * GIB, GIB, True),
        (0.10, 29 * GIB, GIB, False),
        (0.10, 1, 0, True),
    ],
)
def test_there_is_room_under_80_percent_and_while_30_days_fit(
    used: float, free: int, daily: int, *, is_enough: bool
) -> None:
    room = Room(Path("/data"), used=used, free=free, daily=daily)
    assert room.is_enough == is_enough
    assert ("make room" in room.says) != is_enough


def test_growth_is_what_a_loaded_day_takes_in_the_lake(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    settings = Settings(
        lms_home=tmp_path,
        api_url="https://example.org/",
        api_client="c",
        api_client_key=SecretStr("key"),
        db_host="h",
        db_name="n",
        db_user="u",
        _env_file=None,
    )
    lake = Lake(url=str(tmp_path / "lake"))
    Path(lake.url).mkdir()
    assert [room.daily for room in rooms(settings, warehouse)] == [0]
    for n in (1, 2):
        day = date(2025, 3, n)
        loaded(warehouse, lake, [record("u1", day=day)], day=day)
    objects = [file for file in Path(lake.url).rglob("2025-03-0?/*") if file.is_file()]
    size = sum(file.stat().st_size for file in objects)
    assert [room.daily for room in rooms(settings, warehouse)] == [size // 2]
