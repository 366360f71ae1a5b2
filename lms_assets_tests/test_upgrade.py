"""The newest code opens a database of an older one: nothing is lost, figures stay, a day runs."""

from datetime import date

import pytest
from sqlalchemy import make_url, text

from lms_assets.faults import PermanentFault
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics import measures
from lms_assets.statistics.views import figure_views
from lms_assets_tests.homes import home
from lms_assets_tests.kept_state import FIRST_DAY, KEY, NEWEST_DAY, restore_kept_state
from lms_assets_tests.old_main import restore_old_main, rows_of

FIGURES = {
    "daily_statistics": "day",
    "course_daily_statistics": "day, course",
    "task_statistics": "oauth_consumer_key, course, task",
    "student_task_statistics": "user_id, oauth_consumer_key, course, task",
    "student_activity": "course, user_id",
    "student_hours": "day, hour, course, user_id",
}
ATTEMPTS_BY_DAY = "select day, attempts from daily_statistics order by day"
KEPT = ("attempts", "load_ledger", "rejected_records", "letters", "batches")


@pytest.fixture
def old(database_url: str) -> Warehouse:
    warehouse = Warehouse(url=database_url)
    restore_old_main(warehouse)
    return warehouse


def figures_in(warehouse: Warehouse, table: str, columns: list[str]) -> list[list[str]]:
    """The rows, in the order of their key, with every value as COPY wrote it."""
    names = ", ".join(f"{name}::text" for name in columns)
    rows = warehouse.rows(f"select {names} from {table} order by {FIGURES[table]}")
    return sorted([value if value is not None else "" for value in row.values()] for row in rows)


def old_figures(table: str) -> tuple[list[str], list[list[str]]]:
    rows = rows_of(f"public.{table}")
    columns = [name for name in rows[0] if name != "computed_at"]
    booleans = {"t": "true", "f": "false"}
    texts = {"user_id", "course", "task", "oauth_consumer_key"}
    return columns, sorted(
        [row[c] if c in texts else booleans.get(row[c], row[c]) for c in columns] for row in rows
    )


def close(found: list[list[str]], expected: list[list[str]]) -> bool:
    """Whether all values are equal, numbers up to the last digits that an order of sums moves."""
    return len(found) == len(expected) and all(
        a == b or float(a) == pytest.approx(float(b), rel=1e-12)
        for one, other in zip(found, expected, strict=True)
        for a, b in zip(one, other, strict=True)
    )


def test_an_old_database_keeps_every_row_and_every_figure(old: Warehouse) -> None:
    old.migrate(figure_views())
    for table in KEPT:
        [count] = old.rows(f"select count(*) as n from {table}")
        assert count["n"] == len(rows_of(f"public.{table}")), table
    for table in FIGURES:
        columns, expected = old_figures(table)
        assert figures_in(old, table, columns) == expected, table


def test_recomputed_figures_of_an_old_database_equal_the_old_ones(old: Warehouse) -> None:
    old.migrate(figure_views())
    with old.begin() as connection:
        as_of = measures.as_of(connection)
        assert as_of is not None
        measures.refresh(connection, [], zone="UTC", as_of=as_of)
    for table in FIGURES:
        columns, expected = old_figures(table)
        assert close(figures_in(old, table, columns), expected), table


def test_rights_on_the_figures_survive_the_upgrade(old: Warehouse) -> None:
    reader = f"reader_{make_url(old.url).database}"
    with old.begin() as connection:
        connection.execute(text(f"create role {reader}"))
        connection.execute(text(f"grant select on daily_statistics, heat_map to {reader}"))
    right = "select has_table_privilege(:reader, :table, 'select') as is_given"
    try:
        old.migrate(figure_views())
        for table in ("daily_statistics", "heat_map"):
            assert old.rows(right, reader=reader, table=table) == [{"is_given": True}]
    finally:
        with old.begin() as connection:
            connection.execute(text(f"drop owned by {reader}"))
            connection.execute(text(f"drop role {reader}"))


def test_a_view_of_others_over_an_old_table_of_figures_is_named_and_nothing_changes(
    old: Warehouse,
) -> None:
    with old.begin() as connection:
        connection.execute(text("create view board as select day, users from daily_statistics"))
    with pytest.raises(PermanentFault) as found:
        old.migrate(figure_views())
    assert found.value.code == "database.foreign_dependents"
    assert "board" in str(found.value)
    assert old.rows("select version_num from lms_assets_version") == [{"version_num": "0003"}]
    assert old.rows("select count(*) as n from board") == [{"n": 31}]


@pytest.mark.slow
def test_a_day_runs_in_an_old_database_beside_its_runs_of_before() -> None:
    with home(lms_first_day="2026-10-28") as place:
        restore_old_main(place.warehouse)
        ran = place.lms("run", "2026-11-26", "--json")
        assert ran.returncode == 0, ran.stderr
        # The demo API of today may answer otherwise than that of then.
        [newest] = place.rows("select * from load_ledger order by id desc limit 1")
        assert newest["received"] > 0
        assert len(place.runs()) == 32
        shown = {row["day"]: row["attempts"] for row in place.rows(ATTEMPTS_BY_DAY)}
        known = rows_of("public.daily_statistics")
        assert shown == {date.fromisoformat(row["day"]): int(row["attempts"]) for row in known} | {
            date(2026, 11, 26): newest["stored"]
        }


@pytest.fixture
def kept(database_url: str) -> Warehouse:
    warehouse = Warehouse(url=database_url)
    restore_kept_state(warehouse)
    return warehouse


def columns_of(warehouse: Warehouse) -> dict[str, list[str]]:
    """The tables and views that people read, with their columns."""
    listing = """
        select table_name, array_agg(column_name::text order by ordinal_position) as columns
        from information_schema.columns
        where table_schema = 'public' and table_name = any(:names) group by table_name
    """
    found = warehouse.rows(listing, names=[*KEPT, *FIGURES])
    moments = {"computed_at", "refreshed_at"}
    return {row["table_name"]: [c for c in row["columns"] if c not in moments] for row in found}


def held(warehouse: Warehouse, columns: dict[str, list[str]]) -> dict[str, list[list[str]]]:
    """Every row, each value as text."""
    found = {}
    for table, names in columns.items():
        said = ", ".join(f"coalesce({name}::text, '')" for name in names)
        rows = warehouse.rows(f"select array[{said}] as row from {table}")
        found[table] = sorted(row["row"] for row in rows)
    return found


def test_a_kept_state_keeps_every_row_and_every_figure(kept: Warehouse) -> None:
    columns = columns_of(kept)
    assert columns.keys() == {*KEPT, *FIGURES}
    before = held(kept, columns)
    assert all(rows for table, rows in before.items() if table != "rejected_records")
    kept.migrate(figure_views())
    assert held(kept, columns) == before


def test_recomputed_figures_of_a_kept_state_equal_its_own(kept: Warehouse) -> None:
    columns = {table: names for table, names in columns_of(kept).items() if table in FIGURES}
    before = held(kept, columns)
    kept.migrate(figure_views())
    with kept.begin() as connection:
        measures.refresh_all(connection, zone="UTC", as_of=measures.as_of(connection))
    after = held(kept, columns)
    assert [table for table in columns if not close(after[table], before[table])] == []


@pytest.mark.slow
def test_a_day_runs_in_a_kept_state_beside_its_runs_of_before() -> None:
    with home(lms_first_day=FIRST_DAY) as place:
        (place.folder / "erasure.key").write_bytes(KEY)
        restore_kept_state(place.warehouse)
        before, runs = place.rows(ATTEMPTS_BY_DAY), place.runs()
        ran = place.lms("run", NEWEST_DAY, "--json")
        assert ran.returncode == 0, ran.stderr
        [newest] = place.rows("select * from load_ledger order by id desc limit 1")
        assert str(newest["day"]) == NEWEST_DAY
        before[-1]["attempts"] = newest["stored"]
        assert place.rows(ATTEMPTS_BY_DAY) == before
        assert len(place.runs()) == len(runs) + 1
