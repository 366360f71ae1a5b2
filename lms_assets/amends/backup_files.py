"""A backup as a folder of plain files, and the manifest that shows whether it is complete.

manifest.json, manifest.sha256   every file with its size and SHA-256; the tables' columns
tables/public/attempts.csv       a table as PostgreSQL's COPY writes CSV, with a header
tables/dagster/runs.csv          the same for Dagster's tables: runs, events, schedules
lake/raw/…, lake/cleaned/…       the lake's objects by their keys
keys/erasure.key                 the key of the hashes of erased students, if there is one
settings.env                     the settings, without secrets
"""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from lms_assets.faults import PermanentFault
from lms_assets.files import write_whole
from lms_assets.resources.lake import checksum_of

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
SEAL: Final = "manifest.sha256"
KEY: Final = "keys/erasure.key"
SETTINGS: Final = "settings.env"


class TableCopy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a backup.

    Attributes:
        schema: ``public`` or ``dagster``.
        columns: The columns in the file, in its order.
        types: Column → type, only for an earlier system's table, which no migration makes.
        sequences: Column → the last value of its sequence, and whether that value was used.
    """

    schema: str
    name: str
    columns: list[str]
    types: dict[str, str]
    sequences: dict[str, tuple[int, bool]]

    @property
    def file(self) -> str:
        """The path of the table's rows in the backup."""
        return f"tables/{self.schema}/{self.name}.csv"


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of a backup.

    Attributes:
        format: The version of this format.
        version: The version of lms_assets that made the backup.
        made_at: ISO 8601, UTC.
        zone: The zone of the loaded days; None where none is loaded.
        schema: The migration revision of our tables.
        dagster_schema: The migration revision of Dagster's tables.
        tables: The tables, each after those that it refers to.
        files: Path in the backup → SHA-256 of the file.
    """

    format: int
    version: str
    made_at: str
    zone: str | None
    schema: str
    dagster_schema: str
    tables: list[TableCopy]
    files: dict[str, str]


def files_in(folder: Path) -> list[str]:
    """The paths of all files of the backup except the manifest and its checksum."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(path for path in paths if path not in (MANIFEST, SEAL))


def seal(folder: Path, manifest: Manifest) -> None:
    """The backup has its manifest and the manifest's checksum, so it is complete."""
    content = msgspec.json.format(msgspec.json.encode(manifest))
    write_whole(folder / MANIFEST, content)
    write_whole(folder / SEAL, f"{hashlib.sha256(content).hexdigest()}  {MANIFEST}\n")


def opened_manifest(folder: Path) -> Manifest:
    """The manifest of a backup whose files all have their checksums.

    Raises:
        PermanentFault: The backup is incomplete, altered, of another format, or none.
    """
    try:
        content = (folder / MANIFEST).read_bytes()
        sealed = (folder / SEAL).read_text(encoding="ascii").partition(" ")[0]
        if hashlib.sha256(content).hexdigest() != sealed:
            raise PermanentFault("backup.altered", file=MANIFEST)
        manifest = msgspec.json.decode(content, type=Manifest)
        _refuse_altered(folder, manifest)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).rstrip(".")
        raise PermanentFault("backup.unreadable", folder=folder, reason=reason) from None
    if manifest.format != FORMAT:
        raise PermanentFault("backup.other_schema", found=manifest.format, known=FORMAT)
    return manifest


def _refuse_altered(folder: Path, manifest: Manifest) -> None:
    present = set(files_in(folder))
    expected = manifest.files.keys() | {table.file for table in manifest.tables}
    for file in sorted(present ^ expected):
        raise PermanentFault("backup.altered", file=file)
    for file, checksum in manifest.files.items():
        path = folder / file
        if path.is_symlink() or checksum_of(path) != checksum:
            raise PermanentFault("backup.altered", file=file)
