"""Publishing: in turns, and never inside a transaction."""

import uuid
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest

from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics import measures
from lms_assets.statistics.assets import daily_statistics, new_page, publication_turn
from lms_assets.statistics.presentation import Presentation
from lms_assets_tests.day_loads import DAY, loaded, record

OTHERS = "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"


def test_no_transaction_is_open_while_a_publisher_asks_the_sheet(warehouse: Warehouse) -> None:
    """R25: a server may end sessions whose transaction is idle."""
    with publication_turn(warehouse):
        sessions = warehouse.rows(f"select state, xact_start {OTHERS}")
    assert sessions == [{"state": "idle", "xact_start": None}]


def test_a_second_publication_waits_for_the_first_longer_than_for_other_locks(
    warehouse: Warehouse,
) -> None:
    """R24: Google may hold up the first for a minute, where other locks are waited for 30 s."""
    order: list[str] = []

    def publish_second() -> None:
        with publication_turn(warehouse):
            order.append("second")

    second = Thread(target=publish_second)
    with publication_turn(warehouse):
        second.start()
        while not warehouse.rows(f"select 1 {OTHERS} and wait_event_type = 'Lock'"):
            pass
        order.append("first")
    second.join()
    assert order == ["first", "second"]


def test_the_turns_wait_is_its_own(warehouse: Warehouse) -> None:
    """R24"""
    with warehouse.session() as other, publication_turn(warehouse):
        assert other.exec_driver_sql("show lock_timeout").scalar() == "30s"


def test_the_days_figures_show_their_columns_in_words() -> None:
    """R64"""
    metadata = daily_statistics.metadata_by_key[daily_statistics.key]
    columns = {c.name: c for c in metadata["dagster/column_schema"].columns}
    assert columns["success_pct"].type == "percent"
    assert str(columns["success_pct"].description).startswith("Submit success (percent).")


@pytest.fixture
def made(warehouse: Warehouse, tmp_path: Path) -> Presentation:
    """A page has been made of a loaded day."""
    presentation = Presentation(
        page=str(tmp_path / "report.html"), charts_file=str(tmp_path / "charts.js")
    )
    loaded(warehouse, Lake(url=str(tmp_path / "lake")), [record("ann"), record("bob")])
    refresh(warehouse)
    Path(presentation.page).write_text(page_of(warehouse, presentation) or "")
    return presentation


def refresh(warehouse: Warehouse, **changes: object) -> None:
    with warehouse.begin() as connection:
        measures.refresh(connection, [], **{"zone": "UTC", "as_of": DAY, **changes})  # type: ignore[arg-type]


def page_of(warehouse: Warehouse, presentation: Presentation) -> str | None:
    with warehouse.begin() as connection:
        return new_page(connection, presentation)


def test_a_page_of_the_same_figures_is_not_made_again(
    warehouse: Warehouse, made: Presentation
) -> None:
    refresh(warehouse)
    assert page_of(warehouse, made) is None


def test_a_page_lies_in_any_place_that_a_lake_can(warehouse: Warehouse, made: Presentation) -> None:
    """Where several machines publish, none of them reads the page of its own disk."""
    shared = made.model_copy(update={"page": f"memory://lake-{uuid.uuid4()}/report.html"})
    objects, key = shared.page_place
    html = page_of(warehouse, shared)
    assert html is not None
    objects.write(key, html.encode())
    assert page_of(warehouse, shared) is None


def test_the_charts_library_is_kept_between_pages_and_mended_when_it_is_damaged(
    warehouse: Warehouse, made: Presentation
) -> None:
    library = Path(made.charts_file)
    kept, before = library.read_text(), library.stat()
    assert kept in Path(made.page).read_text()
    refresh(warehouse, as_of=DAY + timedelta(days=1))
    assert kept in (page_of(warehouse, made) or "")
    assert library.stat().st_mtime_ns == before.st_mtime_ns
    library.write_text("const damaged = true;")
    assert kept in (page_of(warehouse, made) or "")
    assert library.read_text() == kept


@pytest.mark.parametrize(
    "change", ["figures", "as_of", "staff", "language", "names", "gone", "cut"]
)
def test_a_page_is_made_again_of_whatever_changed(
    change: str, warehouse: Warehouse, made: Presentation, tmp_path: Path
) -> None:
    if change == "figures":
        lake = Lake(url=str(tmp_path / "lake"))
        loaded(warehouse, lake, [record("ann"), record("bob"), record("cleo")], hour=6)
        refresh(warehouse)
    elif change == "as_of":
        refresh(warehouse, as_of=DAY + timedelta(days=1))
    elif change == "staff":
        refresh(warehouse, staff=["bob"])
    elif change == "language":
        made = made.model_copy(update={"language": "ru"})
    elif change == "names":
        names = tmp_path / "names.csv"
        names.write_text("course,task,title,link\ncourse-v1:Org+Course+Run,,Algebra,\n")
        made = Presentation(page=made.page, charts_file=made.charts_file, names_file=str(names))
    elif change == "gone":
        Path(made.page).unlink()
    else:
        Path(made.page).write_text("<!doctype html>")
    assert page_of(warehouse, made) is not None
