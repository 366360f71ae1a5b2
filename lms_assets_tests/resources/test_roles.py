"""Owner, loader and reader of `deploy/postgresql`: each can do its work, and no more."""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from lms_assets.embedded.postgres import EmbeddedPostgres
from lms_assets.faults import PermanentFault
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics.views import figure_views
from lms_assets_tests.driving import PROJECT, connected, drive

SCRIPTS = PROJECT / "deploy" / "postgresql"


def of(url: str, role: str) -> Warehouse:
    return Warehouse(url=make_url(url).set(username=role).render_as_string(hide_password=False))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A database with the three roles, its tables made by the owner."""
    with tempfile.TemporaryDirectory(prefix="lms-roles-") as folder:
        server = EmbeddedPostgres(Path(folder) / "postgres")
        place = server.start()
        with connected(place) as cursor:
            cursor.execute((SCRIPTS / "roles.sql").read_text())
        owner = of(place, "lms_owner")
        owner.migrate(figure_views())
        owner.make_schema("dagster")
        with of(place, "lms_loader").begin() as connection:
            # As Dagster does when the loader starts it.
            connection.execute(text("create table dagster.runs (id int)"))
        with owner.begin() as connection:
            script = (SCRIPTS / "reader.sql").read_text()
            connection.exec_driver_sql(script, execution_options={"no_parameters": True})
        yield place
        server.stop()


def test_the_loader_starts_where_nothing_is_to_be_migrated_and_writes(url: str) -> None:
    loader = of(url, "lms_loader")
    loader.migrate(figure_views())
    loader.make_schema("dagster")
    with loader.begin() as connection:
        connection.execute(
            text(
                "insert into attempts (user_id, attempt_type, created_at) values ('a', 'run', :at)"
            ),
            {"at": datetime(2025, 7, 24, tzinfo=UTC).replace(tzinfo=None)},
        )
        connection.execute(text("create temporary table mine (n int) on commit drop"))
        connection.execute(text("create table dagster.runs_of_mine (n int)"))
        connection.execute(text("drop table dagster.runs_of_mine"))
    assert loader.rows("select count(*) as n from attempts where user_id = 'a'") == [{"n": 1}]


def test_a_migration_that_the_loader_may_not_make_names_the_owners_command(url: str) -> None:
    other_views = figure_views()
    changed = type(other_views)(
        scripts=(*other_views.scripts, "create view of_tomorrow as select 1;")
    )
    with pytest.raises(PermanentFault) as found:
        of(url, "lms_loader").migrate(changed)
    assert found.value.code == "database.owner_needed"
    assert "DB_USER=lms_owner" in found.value.remedy()


def test_the_reader_reads_the_figures_and_writes_nothing(url: str) -> None:
    reader = of(url, "lms_reader")
    reader.migrate(figure_views())
    reader.make_schema("dagster")
    views = reader.rows("select relname from pg_class where relkind = 'v' and relname ~ 'figure_'")
    assert len(views) > 10
    for view in views:
        reader.rows(f"select * from {view['relname']}")
    with reader.read_only("select count(*) from attempts") as (_, rows):
        assert len(list(rows)) == 1
    with pytest.raises(PermanentFault) as found:
        reader.rows("delete from attempts")
    assert found.value.code in ("database.permission", "database.read_only")


@pytest.mark.parametrize("table", ["rejected_records", "letters", "tombstones"])
def test_the_reader_does_not_see_quarantine_letters_or_dagsters_tables(
    url: str, table: str
) -> None:
    with pytest.raises(PermanentFault) as found:
        of(url, "lms_reader").rows(f"select * from {table}")
    assert found.value.code == "database.permission"


def test_the_reader_is_served_by_the_command_itself(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = make_url(url)
    own = {
        **{"LMS_HOME": str(tmp_path / "home"), "API_URL": "http://127.0.0.1:9/attempts"},
        **{"API_CLIENT": "client", "API_CLIENT_KEY": "key", "DB_USER": "lms_reader"},
        **{"DB_HOST": str(place.query["host"]), "DB_PORT": str(place.query["port"])},
        **{"DB_NAME": str(place.database)},
        # What a command sets for Dagster is put back afterwards.
        **dict.fromkeys(("DAGSTER_HOME", "LMS_DAGSTER_POSTGRES_URL", "LMS_RUNS_AT_ONCE"), ""),
    }
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    # Nobody's .env is read.
    monkeypatch.setattr("lms_assets.settings.project_folder", lambda: tmp_path)
    figures = drive("query", "select count(*) as days from daily_statistics", "--csv")
    assert (figures.code, figures.out) == (0, "days\n0\n")
    assert drive("gaps").code == 0
    letters = drive("letters")
    assert letters.code == 2
    assert "permission denied for table letters" in letters.err
