"""Objects by their keys, in a folder of this machine or in a store as S3; each whole, or not there.

In a folder an object is written aside, brought to the disk and renamed. A store takes an object
whole by itself, so the object is written to this machine's disk first and put when it is whole:
a store's own writer would put what was written before an error. A store that is slow or answers
503 is tried again by its client.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO

from upath import UPath

from lms_assets.faults import PermanentFault, TemporaryFault
from lms_assets.files import scratch_folder, written_whole

_S3_PATIENCE = {"connect_timeout": 10, "read_timeout": 60, "retries": {"max_attempts": 5}}


class Objects:
    """What lies under an address.

    Args:
        url: A folder, or an address of fsspec's, as ``s3://bucket/prefix``.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @cached_property
    def root(self) -> UPath:
        """Where the keys begin.

        Raises:
            PermanentFault: The address leads nowhere, or its library is not installed.
        """
        if "://" not in self.url:
            return UPath(self.url)
        # A list that was kept would hide what other machines put.
        options: dict[str, Any] = {"use_listings_cache": False}
        if self.url.startswith("s3://"):
            options["config_kwargs"] = _S3_PATIENCE
        try:
            root: UPath = UPath(self.url, **options)
            # The library is looked for when it is first needed, which is here.
            _ = root.fs
        except (ImportError, ValueError) as error:
            reason = str(error).partition("\n")[0].rstrip(".")
            raise PermanentFault("lake.address_unusable", url=self.url, reason=reason) from None
        return root

    @property
    def is_local(self) -> bool:
        """Whether the objects are files of this machine."""
        return self.root.protocol in ("", "file", "local")

    def exists(self, key: str) -> bool:
        """Whether there is such an object or folder."""
        with self._told():
            return bool(self.at(key).exists())

    def names(self, folder: str) -> list[str]:
        """The names of what lies in a folder, in order; those of others and unfinished ones too."""
        with self._told():
            place = self.at(folder)
            try:
                return sorted(path.name for path in place.iterdir())
            except (FileNotFoundError, NotADirectoryError):
                return []

    @contextmanager
    def opened(self, key: str) -> Iterator[BinaryIO]:
        """The object's bytes as a stream."""
        with self._told(), self.at(key).open("rb") as stream:
            yield stream

    @contextmanager
    def written(self, key: str) -> Iterator[BinaryIO]:
        """What the block writes is the object when it ends well, or else it is as it was."""
        target = self.at(key)
        if self.is_local:
            folder = Path(str(target.parent.path))
            folder.mkdir(parents=True, exist_ok=True)
            with written_whole(folder / target.name) as file:
                yield file
            return
        with scratch_folder() as folder:
            draft = folder / "object"
            with draft.open("wb") as file:
                yield file
            self._put(draft, target)

    def _put(self, draft: Path, target: UPath) -> None:
        try:
            with self._told():
                target.fs.put_file(str(draft), target.path)  # type: ignore[no-untyped-call]
        except FileNotFoundError as error:
            # A key needs no folder, so it is the bucket that is missing.
            raise PermanentFault("lake.refused", url=self.url, reason=str(error)) from None

    def write(self, key: str, content: bytes) -> None:
        """The object holds the content."""
        with self.written(key) as file:
            file.write(content)

    def read(self, key: str) -> bytes:
        """All that the object holds."""
        with self.opened(key) as stream:
            return stream.read()

    def written_at(self, key: str) -> datetime:
        """When the object was written, aware.

        Raises:
            FileNotFoundError: There is none.
        """
        with self._told():
            return datetime.fromtimestamp(self.at(key).stat().st_mtime, UTC)

    def remove(self, key: str) -> None:
        """There is no such object."""
        with self._told():
            self.at(key).unlink(missing_ok=True)

    def at(self, key: str) -> UPath:
        """The object's place."""
        place: UPath = self.root / key
        return place

    @contextmanager
    def _told(self) -> Iterator[None]:
        """A store's own exceptions under a name; a folder's are the system's and stay.

        Raises:
            PermanentFault: The store refuses, or there is no such bucket.
            TemporaryFault: The store did not answer for longer than its client tried.
        """
        if self.is_local:
            yield
            return
        from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

        try:
            yield
        except FileNotFoundError:
            raise
        except (PermissionError, NoCredentialsError) as error:
            reason = str(error)
            raise PermanentFault("lake.refused", url=self.url, reason=reason) from None
        except (OSError, BotoCoreError, ClientError) as error:
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise TemporaryFault("lake.unreachable", url=self.url, reason=reason) from None
