"""Marks of figures that the sheet and the page do not show yet."""

from datetime import timedelta
from pathlib import Path

from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics import measures
from lms_assets.statistics.unpublished import (
    PAGE,
    SHEET,
    is_anything_unpublished,
    marks_of,
    remove_marks,
)
from lms_assets_tests.day_loads import DAY, loaded, record


def test_changed_figures_are_unpublished_until_sheet_and_page_show_them(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    lake = Lake(url=str(tmp_path))

    def computed() -> None:
        with warehouse.begin() as connection:
            measures.refresh(connection, [], zone="UTC", as_of=DAY + timedelta(days=1))

    def shown(place: str, marks: list[int]) -> bool:
        with warehouse.begin() as connection:
            remove_marks(connection, marks)
            return not marks_of(connection, place) and not is_anything_unpublished(connection)

    loaded(warehouse, lake, [record("one")])
    computed()
    with warehouse.begin() as connection:
        sheet, page = marks_of(connection, SHEET), marks_of(connection, PAGE)
    assert not shown(SHEET, sheet)
    # What changes while the page is written is not shown by it.
    loaded(warehouse, lake, [record("one"), record("two")], hour=6)
    computed()
    assert not shown(PAGE, page)
    with warehouse.begin() as connection:
        sheet, page = marks_of(connection, SHEET), marks_of(connection, PAGE)
    assert not shown(SHEET, sheet)
    assert shown(PAGE, page)
    computed()
    with warehouse.begin() as connection:
        assert not is_anything_unpublished(connection)
