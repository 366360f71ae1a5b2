"""Real parts that the tests share: an embedded PostgreSQL, a database of its own per test."""

import os
import tempfile
import uuid
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import psycopg2
import pytest
from hypothesis import settings
from sqlalchemy import make_url

from lms_assets.embedded.postgres import EmbeddedPostgres
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics.views import figure_views
from lms_assets_tests.driving import debian_postgres, server_programs

# The partitions are those of the settings when their module is imported: here, where no .env and no
# demo of this checkout says another first day.
with pytest.MonkeyPatch.context() as patch:
    patch.setattr("lms_assets.settings.project_folder", lambda: Path(os.devnull))
    import_module("lms_assets.attempts.partitions")

settings.register_profile("here", deadline=None)
settings.load_profile("here")


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A server to make databases on: the embedded one, or that of LMS_TEST_POSTGRES."""
    asked = os.environ.get("LMS_TEST_POSTGRES")
    if asked:
        programs = server_programs()
        assert programs, f"PostgreSQL of LMS_TEST_POSTGRES={asked} is not installed"
        with debian_postgres(programs) as server:
            yield server.socket_url
        return
    # Not under pytest's own folder: that is closed to the user that the server runs as for root.
    with tempfile.TemporaryDirectory(prefix="lms-test-") as folder:
        server = EmbeddedPostgres(Path(folder) / "data")
        yield server.start()
        server.stop()


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    """A fresh, empty database."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    admin = psycopg2.connect(postgres_url.replace("+psycopg2", ""))
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(f"create database {name}")
        yield make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
        cursor.execute(f"drop database {name} with (force)")
    admin.close()


@pytest.fixture
def warehouse(database_url: str) -> Warehouse:
    """The warehouse over a fresh, migrated database."""
    warehouse = Warehouse(url=database_url)
    warehouse.migrate(figure_views())
    return warehouse


@pytest.fixture
def data() -> Path:
    """Recorded records and what is known of them."""
    return Path(__file__).parent / "data"
