"""A backup as a folder of plain files, and the list that says whether it is whole.

manifest.json, manifest.sha256   every file with its size and SHA-256; the tables' columns
tables/public/attempts.csv       a table as PostgreSQL's COPY writes CSV, with a header
tables/dagster/runs.csv          likewise of Dagster: runs, events, schedules
lake/raw/…, lake/cleaned/…       the lake's objects by their keys
keys/erasure.key                 the key that knows erased students again, if there is one
settings.env                     what was set, without secrets
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
        columns: Those that the file holds, in its order.
        types: Column → type, of an earlier system's table, which no migration makes.
        sequences: Column → the last value of its sequence, and whether that was given out.
    """

    schema: str
    name: str
    columns: list[str]
    types: dict[str, str]
    sequences: dict[str, tuple[int, bool]]

    @property
    def file(self) -> str:
        """Where its rows are in the backup."""
        return f"tables/{self.schema}/{self.name}.csv"


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a backup holds.

    Attributes:
        version: Of lms_assets, which made it.
        made_at: ISO, UTC.
        zone: Of the loaded days; None where none is loaded.
        schema: The revision of our tables.
        dagster_schema: The revision of Dagster's.
        tables: In an order in which they can be filled.
        files: Path in the backup → its SHA-256.
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
    """Every file's path in the backup, but for the manifest's own."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(path for path in paths if path not in (MANIFEST, SEAL))


def seal(folder: Path, manifest: Manifest) -> None:
    """The backup is whole: its manifest is written."""
    said = msgspec.json.format(msgspec.json.encode(manifest))
    write_whole(folder / MANIFEST, said)
    write_whole(folder / SEAL, f"{hashlib.sha256(said).hexdigest()}  {MANIFEST}\n")


def opened_manifest(folder: Path) -> Manifest:
    """What the backup holds, once every byte of it was seen to be as it was written.

    Raises:
        PermanentFault: It is cut, altered, of another format, or no backup.
    """
    try:
        said = (folder / MANIFEST).read_bytes()
        sealed = (folder / SEAL).read_text(encoding="ascii").partition(" ")[0]
        if hashlib.sha256(said).hexdigest() != sealed:
            raise PermanentFault("backup.altered", file=MANIFEST)
        manifest = msgspec.json.decode(said, type=Manifest)
        _refuse_altered(folder, manifest)
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).rstrip(".")
        raise PermanentFault("backup.unreadable", folder=folder, reason=reason) from None
    if manifest.format != FORMAT:
        raise PermanentFault("backup.other_schema", found=manifest.format, known=FORMAT)
    return manifest


def _refuse_altered(folder: Path, manifest: Manifest) -> None:
    there = set(files_in(folder))
    expected = manifest.files.keys() | {table.file for table in manifest.tables}
    for file in sorted(there ^ expected):
        raise PermanentFault("backup.altered", file=file)
    for file, checksum in manifest.files.items():
        path = folder / file
        if path.is_symlink() or checksum_of(path) != checksum:
            raise PermanentFault("backup.altered", file=file)
