"""A backup, the loss of the home, and the way back, by the real command."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from sqlalchemy import make_url, text

from lms_assets.amends.backup import MADE_ANEW, TABLES
from lms_assets.amends.backup_files import Manifest, opened_manifest, seal
from lms_assets.embedded.postgres import EmbeddedPostgres
from lms_assets.faults import PermanentFault
from lms_assets.resources.lake import checksum_of
from lms_assets.resources.warehouse import Warehouse
from lms_assets_tests.api_server import ApiServer
from lms_assets_tests.homes import Grader, Home, home

DAY = "2025-07-24"
ERASED = f"{1:032x}"
TOLD = {
    "attempts": "select * from attempts order by id",
    "ledger": "select * from load_ledger order by id",
    "figures": "select * from daily_statistics order by 1",
    "letters": "select id, kind, status from letters order by id",
    "runs": "select run_id, status from dagster.runs where partition is not null order by id",
    "events": "select id, run_id, event from dagster.event_logs where partition is not null "
    "order by id",
}


def told(place: Home) -> dict[str, list[dict[str, Any]]]:
    return {name: place.rows(statement) for name, statement in TOLD.items()}


def destroyed(place: Home) -> None:
    """All that lay in the home is gone."""
    EmbeddedPostgres(place.folder / "postgres").stop()
    for inside in place.folder.iterdir():
        shutil.rmtree(inside) if inside.is_dir() else inside.unlink()


def ended_well(place: Home, *arguments: str) -> str:
    result = place.lms(*arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.slow
def test_a_home_that_was_destroyed_comes_back_as_it_was(tmp_path: Path) -> None:
    with ApiServer(Grader()) as api, home(api) as place:
        ended_well(place, "run", DAY)
        before, kept = told(place), tmp_path / "kept"
        ended_well(place, "backup", str(kept))
        destroyed(place)
        ended_well(place, "restore", str(kept))

        after = told(place)
        # The restore itself publishes, so the history has one more run, after all others.
        assert {name: rows[: len(before[name])] for name, rows in after.items()} == before
        more = {name: len(after[name]) - len(before[name]) for name in TOLD}
        assert more.pop("events") > 0
        assert more == {"attempts": 0, "ledger": 0, "figures": 0, "letters": 0, "runs": 1}
        assert (place.folder / "statistics.xlsx").exists()
        again = ended_well(place, "run", DAY)
        assert "0 inserted, 0 updated" in again


def test_nothing_is_restored_while_the_page_and_daemon_run(tmp_path: Path) -> None:
    with ApiServer(Grader()) as api, home(api) as place:
        ended_well(place, "run", DAY)
        kept = tmp_path / "kept"
        ended_well(place, "backup", str(kept))
        with FileLock(place.folder / "dagster" / "up.lock"):
            refused = place.lms("restore", str(kept), "--yes")
        assert refused.returncode == 2
        assert "./lms up runs here: stop it first." in refused.stderr
        ended_well(place, "restore", str(kept), "--yes")


@pytest.mark.slow
def test_a_student_erased_since_the_backup_stays_erased(tmp_path: Path) -> None:
    with ApiServer(Grader()) as api, home(api) as place:
        ended_well(place, "run", DAY)
        kept = tmp_path / "kept"
        ended_well(place, "backup", str(kept))
        ended_well(place, "erase", ERASED, "--yes")
        said = ended_well(place, "restore", str(kept), "--yes")

        assert "1 student erased since then" in said
        assert place.rows("select count(*) as n from attempts") == [{"n": 4}]
        assert not place.rows("select from attempts where user_id = :id", id=ERASED)


@pytest.mark.slow
def test_the_way_from_the_embedded_database_to_ones_own_and_back(
    tmp_path: Path, database_url: str
) -> None:  # R58, between two versions of PostgreSQL where LMS_TEST_POSTGRES names another
    own = make_url(database_url)
    with ApiServer(Grader()) as api, home(api) as place:
        ended_well(place, "run", DAY)
        kept = tmp_path / "kept"
        ended_well(place, "backup", str(kept))
        before = place.rows(TOLD["attempts"])
        embedded = dict(place.environment)
        place.environment |= {
            **{"DB_HOST": str(own.query["host"]), "DB_PORT": str(own.query["port"])},
            **{"DB_NAME": str(own.database), "DB_USER": str(own.username)},
        }
        ended_well(place, "restore", str(kept))

        assert Warehouse(url=database_url).rows(TOLD["attempts"]) == before
        assert "0 inserted, 0 updated" in ended_well(place, "run", DAY)
        assert DAY not in ended_well(place, "gaps")

        ended_well(place, "backup", str(tmp_path / "back"))
        place.environment = embedded
        ended_well(place, "restore", str(tmp_path / "back"), "--yes")
        assert place.rows(TOLD["attempts"]) == before


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small backup that is whole."""
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "object").write_bytes(b"attempts")
    files = {"lake/object": checksum_of(tmp_path / "lake" / "object")}
    seal(tmp_path, Manifest(1, "0", "2025-07-25", None, "0001", "0", [], files))
    return tmp_path


def test_a_whole_backup_is_accepted(folder: Path) -> None:
    assert opened_manifest(folder).files.keys() == {"lake/object"}


@pytest.mark.parametrize("change", ["cut", "altered", "missing", "added", "manifest", "seal"])
def test_a_cut_or_altered_backup_is_refused(folder: Path, change: str) -> None:
    stored, manifest = folder / "lake" / "object", folder / "manifest.json"
    match change:
        case "cut":
            stored.write_bytes(b"attempt")
        case "altered":
            stored.write_bytes(b"Attempts")
        case "missing":
            stored.unlink()
        case "added":
            (folder / "lake" / "other").touch()
        case "manifest":
            manifest.write_bytes(manifest.read_bytes().replace(b"0001", b"0002"))
        case "seal":
            (folder / "manifest.sha256").unlink()

    with pytest.raises(PermanentFault) as fault:
        opened_manifest(folder)

    assert fault.value.code in ("backup.altered", "backup.unreadable")


def test_every_table_that_migrations_make_is_backed_up(warehouse: Warehouse) -> None:
    statement = "select tablename from pg_tables where schemaname = 'public'"
    with warehouse.begin() as connection:
        there = set(connection.scalars(text(statement)))

    assert there - set(MADE_ANEW) == set(TABLES)
