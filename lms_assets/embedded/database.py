"""The double of the warehouse: the embedded PostgreSQL, started when it is needed."""

from functools import cached_property
from pathlib import Path

from lms_assets.embedded.postgres import EmbeddedPostgres
from lms_assets.resources.warehouse import Warehouse


class EmbeddedWarehouse(Warehouse):
    """The database of the embedded server.

    The first connection of a process starts the server or joins the running one. Dagster creates
    the resources again in each process and run, so the server is found by its folder.

    Args:
        folder: The folder of the server's data.
        port: A port of 127.0.0.1 on which the server also listens, for reading programs.
    """

    url: str = ""
    folder: str
    port: int | None = None

    @cached_property
    def server_url(self) -> str:
        """The URL of the database; the server runs."""
        return EmbeddedPostgres(Path(self.folder), self.port).start()
