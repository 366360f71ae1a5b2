"""Objects by their keys, in a folder of this machine or in a store such as S3.

Readers see an object whole or not at all. In a folder an object is written aside, synced to the
disk and renamed. For a store it is written to this machine's disk first and put when it is
complete, because the store's own writer would put an incomplete object after an error. The
store's client retries by itself when the store is slow or answers 503.
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
    """The objects under an address.

    Args:
        url: A folder, or an fsspec URL such as ``s3://bucket/prefix``.
    """

    def __init__(self, url: str) -> None:
        self.url = url

    @cached_property
    def root(self) -> UPath:
        """The path under which the keys lie.

        Raises:
            PermanentFault: The address is invalid, or its library is not installed.
        """
        if "://" not in self.url:
            return UPath(self.url)
        # A cached list would hide the objects of other machines.
        options: dict[str, Any] = {"use_listings_cache": False}
        if self.url.startswith("s3://"):
            options["config_kwargs"] = _S3_PATIENCE
        try:
            root: UPath = UPath(self.url, **options)
            # This imports the library of the store.
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
        with self._faults_by_name():
            return bool(self.at(key).exists())

    def names(self, folder: str) -> list[str]:
        """All names in a folder, in order, those of unfinished objects and foreign files too."""
        with self._faults_by_name():
            place = self.at(folder)
            try:
                return sorted(path.name for path in place.iterdir())
            except (FileNotFoundError, NotADirectoryError):
                return []

    @contextmanager
    def opened(self, key: str) -> Iterator[BinaryIO]:
        """The object's bytes as a stream."""
        with self._faults_by_name(), self.at(key).open("rb") as stream:
            yield stream

    @contextmanager
    def written(self, key: str, *, mode: int = 0o600) -> Iterator[BinaryIO]:
        """The file that the block writes replaces the object if the block ends without an error.

        Args:
            mode: The rights to the object, in a folder.
        """
        target = self.at(key)
        if self.is_local:
            folder = Path(str(target.parent.path))
            folder.mkdir(parents=True, exist_ok=True)
            with written_whole(folder / target.name, mode=mode) as file:
                yield file
            return
        with scratch_folder() as folder:
            draft = folder / "object"
            with draft.open("wb") as file:
                yield file
            self._put(draft, target)

    def _put(self, draft: Path, target: UPath) -> None:
        try:
            with self._faults_by_name():
                target.fs.put_file(str(draft), target.path)  # type: ignore[no-untyped-call]
        except FileNotFoundError as error:
            # A key needs no folder, so only the bucket can be missing.
            raise PermanentFault("lake.refused", url=self.url, reason=str(error)) from None

    def write(self, key: str, content: bytes, *, mode: int = 0o600) -> None:
        """The object holds the content; as :meth:`written`."""
        with self.written(key, mode=mode) as file:
            file.write(content)

    def read(self, key: str) -> bytes:
        """The object's content."""
        with self.opened(key) as stream:
            return stream.read()

    def written_at(self, key: str) -> datetime:
        """The time at which the object was written, aware.

        Raises:
            FileNotFoundError: There is no such object.
        """
        with self._faults_by_name():
            return datetime.fromtimestamp(self.at(key).stat().st_mtime, UTC)

    def remove(self, key: str) -> None:
        """The object does not exist any more."""
        with self._faults_by_name():
            self.at(key).unlink(missing_ok=True)

    def at(self, key: str) -> UPath:
        """The object's path."""
        place: UPath = self.root / key
        return place

    @contextmanager
    def _faults_by_name(self) -> Iterator[None]:
        """A store's exceptions in the block become faults; those of a folder stay OSErrors.

        Raises:
            PermanentFault: The store refuses, or there is no such bucket.
            TemporaryFault: The store did not answer in any of its client's tries.
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
