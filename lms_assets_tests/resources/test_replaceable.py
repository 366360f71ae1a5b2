"""Views are made anew when their text changes; what others have of them stays or is named."""

import pytest
from sqlalchemy import make_url, text

from lms_assets.faults import PermanentFault
from lms_assets.resources.replaceable import Repeatable
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics.views import figure_views

OLD = """
create function doubled(n bigint) returns bigint language sql immutable return 2 * n;
create view loads as select id, doubled(received) as received from load_ledger;
create view newest_loads as select * from loads where id > 7;
"""
NEW = """
create function doubled(n bigint, times integer) returns bigint language sql immutable
    return 2 * times * n;
create view loads as select id, day, doubled(received, 1) as "records: all" from load_ledger;
"""
WORDS = {"loads": {"": "Loads, 100 % of them: all.", "id": "The load's."}}


@pytest.fixture
def empty(database_url: str) -> Warehouse:
    return Warehouse(url=database_url)


def columns(warehouse: Warehouse, view: str) -> list[str]:
    found = warehouse.rows(
        "select column_name from information_schema.columns "
        "where table_schema = 'public' and table_name = :view order by ordinal_position",
        view=view,
    )
    return [row["column_name"] for row in found]


def oid(warehouse: Warehouse, view: str) -> int:
    [found] = warehouse.rows("select to_regclass(:view)::oid as oid", view=view)
    return int(found["oid"])


def test_views_are_replaced_when_their_text_changes_and_only_then(empty: Warehouse) -> None:
    empty.migrate(Repeatable((OLD,)))
    before = oid(empty, "loads")
    empty.migrate(Repeatable((OLD,)))
    assert oid(empty, "loads") == before
    empty.migrate(Repeatable((NEW,), WORDS))
    assert columns(empty, "loads") == ["id", "day", "records: all"]
    assert columns(empty, "newest_loads") == []


def test_a_comment_that_changes_is_written(empty: Warehouse) -> None:
    empty.migrate(Repeatable((NEW,)))
    empty.migrate(Repeatable((NEW,), WORDS, {"doubled": "Twice."}))
    comments = """
        select obj_description('loads'::regclass) as view, col_description('loads'::regclass, 1)
            as id, obj_description('doubled'::regproc) as function
    """
    assert empty.rows(comments) == [
        {"view": "Loads, 100 % of them: all.", "id": "The load's.", "function": "Twice."}
    ]


def test_tables_alone_can_be_migrated_without_losing_the_views(empty: Warehouse) -> None:
    empty.migrate(Repeatable((OLD,)))
    empty.migrate()
    assert columns(empty, "newest_loads") == ["id", "received"]


def test_rights_on_a_view_survive_its_replacement(empty: Warehouse) -> None:
    reader = f"reader-{make_url(empty.url).database}"
    empty.migrate(Repeatable((OLD,)))
    with empty.begin() as connection:
        for statement in (
            f'create role "{reader}"',
            f'grant select on loads to "{reader}" with grant option',
            f'grant update (id) on loads to "{reader}"',
            "revoke execute on function doubled from public",
            f'grant execute on function doubled to "{reader}"',
        ):
            connection.execute(text(statement))
    rights = """
        select has_table_privilege(:reader, 'loads', 'select with grant option') as "select",
            has_column_privilege(:reader, 'loads', 'id', 'update') as "update",
            has_function_privilege(:reader, 'doubled'::regproc, 'execute') as "execute",
            exists (select from pg_proc, aclexplode(proacl) a
                where proname = 'doubled' and a.grantee = 0) as of_all
    """
    expected = [{"select": True, "update": True, "execute": True, "of_all": False}]
    try:
        assert empty.rows(rights, reader=reader) == expected
        empty.migrate(Repeatable((OLD + "-- changed",)))
        assert empty.rows(rights, reader=reader) == expected
    finally:
        with empty.begin() as connection:
            connection.execute(text(f'drop owned by "{reader}"'))
            connection.execute(text(f'drop role "{reader}"'))


@pytest.mark.parametrize(
    "foreign",
    [
        "create view theirs as select received from loads",
        "create materialized view theirs as select received from newest_loads",
        "create table theirs (n bigint check (doubled(n) > 0))",
        "create table theirs (n bigint, m bigint generated always as (doubled(n)) stored)",
        "create function theirs() returns setof loads language sql as 'select * from loads'",
        "create rule theirs as on update to loads do instead nothing",
        "create function f() returns trigger language plpgsql as 'begin return new; end'; "
        "create trigger theirs instead of insert on loads for each row execute function f()",
    ],
)
def test_an_object_of_others_that_depends_on_a_view_is_named_and_nothing_changes(
    empty: Warehouse, foreign: str
) -> None:
    empty.migrate(Repeatable((OLD,)))
    with empty.begin() as connection:
        connection.execute(text(foreign))
    with pytest.raises(PermanentFault) as found:
        empty.migrate(Repeatable((NEW,)))
    assert found.value.code == "database.foreign_dependents"
    assert "theirs" in str(found.value)
    assert columns(empty, "newest_loads") == ["id", "received"]
    empty.migrate(Repeatable((OLD,)))


def test_a_script_that_fails_leaves_the_views_of_before(empty: Warehouse) -> None:
    empty.migrate(Repeatable((OLD,)))
    with pytest.raises(PermanentFault):
        empty.migrate(Repeatable((NEW, "create view broken as select nothing from nowhere")))
    assert columns(empty, "newest_loads") == ["id", "received"]


def test_the_views_of_the_figures_know_their_names() -> None:
    objects = figure_views().objects
    assert "wilson_pct" in objects["function"]
    assert {"daily_statistics", "course_daily_statistics", "figure_12_heat_map"} <= set(
        objects["view"]
    )
