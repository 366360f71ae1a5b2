"""The warehouse where no database is configured: the embedded PostgreSQL, started when needed."""

from functools import cached_property
from pathlib import Path

from lms_assets.embedded.postgres import EmbeddedPostgres
from lms_assets.resources.warehouse import Warehouse


class EmbeddedWarehouse(Warehouse):
    """The database of the embedded server.

    The first connection of a process starts the server or joins the one that runs. Dagster
    makes resources anew in each process and run, so the server is found by its folder.

    Args:
        folder: Where the server's data lie.
        port: Where the server also listens on 127.0.0.1, for reading programs.
    """

    url: str = ""
    folder: str
    port: int | None = None

    @cached_property
    def server_url(self) -> str:
        """The URL of the database on the server, which runs now."""
        return EmbeddedPostgres(Path(self.folder), self.port).start()
