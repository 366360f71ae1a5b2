"""Publishing: in turns, and never inside a transaction."""

from threading import Thread

from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics.assets import daily_statistics, publication_turn

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
