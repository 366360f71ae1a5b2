"""The lake: the API's answers, byte for byte, and the cleaned attempts of each day.

    raw/2025-07-24/20250725T040003123456Z-1640-3f0c….json.zst   one object per pull
    raw/2025-07-24/20250726T040002654321Z-1640-3f0c….same       the same bytes as an earlier pull's
    cleaned/2025-07-24/3f0c…-v1.parquet                          one typed row per attempt
    cleaned/2025-07-24/3f0c…-v1.rejected.parquet                 one row per refused record

The lake is a folder or any fsspec URL. Nothing in it names a machine. Raw objects are never
overwritten, so a day can always be cleaned again from them.
"""

import hashlib
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO

import dagster as dg
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import PrivateAttr
from upath import UPath

from lms_assets.ahead import ahead
from lms_assets.files import remove_abandoned_drafts
from lms_assets.resources.objects import Objects

CHUNK_BYTES = 1 << 20
# Large enough to keep COPY busy, small enough for memory.
_BATCH_ROWS = 1 << 14
# The fields of a reference that name objects; these may have been pruned.
_NAME_OBJECTS = ("key", "attempts_key", "rejected_key")


@dataclass(frozen=True)
class RawAnswer:
    """A stored answer of the API for one day.

    Attributes:
        day: The day, ISO.
        key: The key of its object in the lake.
        checksum: SHA-256 of the bytes that the API sent.
        records: The number of records in these bytes.
        pulled_at: The time of the first pull with these bytes, ISO, naive UTC.
        asked_at: The time of this pull, ISO, naive UTC; empty if an earlier version recorded it.
        erased: The number of erased students' records that were dropped before storing.
    """

    day: str
    key: str
    checksum: str
    records: int
    pulled_at: str
    erased: int = 0
    asked_at: str = ""


class Lake(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Objects of each day under ``url``.

    Args:
        url: A folder, or an fsspec URL such as ``s3://bucket/attempts``.
    """

    url: str

    _objects: Objects | None = PrivateAttr(default=None)

    @property
    def objects(self) -> Objects:
        """The lake's objects by key."""
        if self._objects is None:
            self._objects = Objects(self.url)
        return self._objects

    def refuse_unusable(self) -> None:
        """The lake's address is valid and its library is installed; no connection is opened.

        Raises:
            PermanentFault: ``lake.address_unusable``.
        """
        _ = self.objects.root

    def store_raw(
        self,
        body: Path,
        *,
        day: date,
        records: int,
        pulled_at: datetime,
        checksum: str | None = None,
    ) -> RawAnswer:
        """The answer is in the lake. Bytes that are there already are not stored twice.

        Args:
            body: A file with the bytes that the API sent.
            day: The day of the pull.
            records: The number of records in the body.
            pulled_at: The time of the pull, UTC.
            checksum: SHA-256 of the body, if the caller knows it.
        """
        checksum = checksum or checksum_of(body)
        folder = f"raw/{day.isoformat()}"
        answers = self.raw_answers(day)
        name = f"{pulled_at:%Y%m%dT%H%M%S%fZ}-{records}-{checksum}"
        twin = next((a for a in answers if a.checksum == checksum), None)
        if twin is None:
            self._pack(body, f"{folder}/{name}.json.zst")
            return _answer(day, name, f"{name}.json.zst")
        if not self._is_whole(twin):
            self._pack(body, twin.key)
        if answers[-1].checksum == checksum:
            return answers[-1]
        self.objects.write(f"{folder}/{name}.same", b"")
        return _answer(day, name, twin.key.rpartition("/")[2])

    def _pack(self, body: Path, key: str) -> None:
        with (
            body.open("rb") as source,
            self.objects.written(key) as sink,
            # Arrow closes its stream, but the sink must stay open until it is synced to the disk.
            open(os.dup(sink.fileno()), "wb") as duplicate,  # noqa: PTH123
            pa.CompressedOutputStream(duplicate, "zstd") as packed,
        ):
            for chunk in _chunks(source):
                packed.write(chunk)

    def _is_whole(self, answer: RawAnswer) -> bool:
        """Whether the object's bytes still have the checksum in its name; a disk may lose them."""
        digest = hashlib.sha256()
        try:
            with self.open_raw(answer) as stored:
                for chunk in ahead(_chunks(stored)):
                    digest.update(chunk)
        except OSError:
            return False
        return digest.hexdigest() == answer.checksum

    def raw_answers(self, day: date) -> list[RawAnswer]:
        """The stored answers of a day, oldest pull first."""
        names = [name for name in self.objects.names(f"raw/{day.isoformat()}") if _is_raw(name)]
        objects = {_checksum(name): name for name in names if name.endswith(".json.zst")}
        # A marker whose object is not in the list stands for no readable bytes.
        readable = [name for name in names if _checksum(name) in objects]
        return [_answer(day, name, objects[_checksum(name)]) for name in readable]

    def markers(self, day: date, *, kept: Collection[str]) -> list[str]:
        """The markers of a day's pulls whose bytes have none of the ``kept`` checksums."""
        folder = f"raw/{day.isoformat()}"
        names = [name for name in self.objects.names(folder) if name.endswith(".same")]
        return [f"{folder}/{n}" for n in names if _is_shown(n) and _checksum(n) not in kept]

    def newest_raw(self, day: date) -> RawAnswer | None:
        """The newest answer with records, even if a later answer of the day is empty."""
        return next((a for a in reversed(self.raw_answers(day)) if a.records), None)

    def standing(self, answer: RawAnswer) -> RawAnswer:
        """The answer as it is stored now; an erasure may have rewritten it.

        Records that an erasure removed are counted in ``erased``.
        """
        day = date.fromisoformat(answer.day)
        of_pull = (now for now in self.raw_answers(day) if now.pulled_at == answer.pulled_at)
        now = next(of_pull, answer)
        if now.checksum == answer.checksum:
            return answer
        erased = answer.erased + answer.records - now.records
        return replace(
            answer, key=now.key, checksum=now.checksum, records=now.records, erased=erased
        )

    def raw_days(self) -> list[date]:
        """The days that have raw answers, in order."""
        return [date.fromisoformat(name) for name in self.objects.names("raw") if _is_day(name)]

    def replace_raw(self, answer: RawAnswer, body: Path, *, records: int) -> RawAnswer:
        """The object of a stored answer is replaced by ``body``; only an erasure does this.

        The order of the pulls stays. Markers of equal bytes and the partition's reference name
        the new object. If the call is interrupted, the day can still be read, and the same call
        again completes it.

        Args:
            answer: The answer whose object is replaced.
            body: A file with the new bytes.
            records: The number of records in the body.
        """
        checksum, folder = checksum_of(body), f"raw/{answer.day}"
        if checksum == answer.checksum:
            return answer
        old_name = answer.key.rpartition("/")[2]
        names = [name for name in self.objects.names(folder) if _is_raw(name)]
        name = f"{_stamp(old_name)}-{records}-{checksum}"
        stored = [other for other in names if other.endswith(f"-{checksum}.json.zst")]
        twin = stored[0] if stored else None
        if twin is None:
            self._pack(body, f"{folder}/{name}.json.zst")
        elif _stamp(twin) != _stamp(old_name):
            self.objects.write(f"{folder}/{name}.same", b"")
        markers = [other for other in names if other.endswith(f"-{answer.checksum}.same")]
        for marker in markers:
            self.objects.write(f"{folder}/{_stamp(marker)}-{records}-{checksum}.same", b"")
        new = _answer(date.fromisoformat(answer.day), name, twin or f"{name}.json.zst")
        self._repoint(answer, new)
        for obsolete in [*markers, old_name]:
            self.objects.remove(f"{folder}/{obsolete}")
        return new

    def _repoint(self, replaced: RawAnswer, new: RawAnswer) -> None:
        key = reference_key("raw_attempts", replaced.day)
        if self.objects.exists(key):
            named = msgspec.json.decode(self.objects.read(key))["checksum"]
            if named == replaced.checksum:
                self.objects.write(key, msgspec.json.encode(new))

    def reference(self, asset: str, partition: str) -> UPath:
        """The path of the reference that an asset handed on for a partition."""
        return self.objects.at(reference_key(asset, partition))

    def unfinished(self) -> list[str]:
        """The keys of unfinished objects: they are being written, or their process died."""
        return [
            f"{kind}/{folder}/{name}"
            for kind in ("raw", "cleaned")
            for folder in self.objects.names(kind)
            if _is_shown(folder)
            for name in self.objects.names(f"{kind}/{folder}")
            if not _is_shown(name)
        ]

    def remove_abandoned_drafts(self, day: date) -> None:
        """Incomplete objects of the day, and references, that killed processes left are deleted.

        A store such as S3 has none.
        """
        if self.objects.is_local:
            references = [f"references/{asset}" for asset in self.objects.names("references")]
            for folder in (f"raw/{day}", f"cleaned/{day}", *references):
                remove_abandoned_drafts(Path(str(self.objects.at(folder).path)))

    def remove(self, key: str) -> None:
        """The object does not exist any more."""
        self.objects.remove(key)

    @contextmanager
    def open_raw(self, answer: RawAnswer) -> Iterator[BinaryIO]:
        """The bytes that the API sent, as a stream."""
        with (
            self.objects.opened(answer.key) as stored,
            pa.CompressedInputStream(stored, "zstd") as body,
        ):
            yield body

    def stem(self, answer: RawAnswer, code_version: str) -> str:
        """The key of an answer's cleaned objects without its ending; the same for equal bytes."""
        return f"cleaned/{answer.day}/{answer.checksum[:16]}-v{code_version}"

    @contextmanager
    def write_parquet(self, key: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
        """A writer of a Parquet object, which appears only if the block ends without an error."""
        with (
            self.objects.written(key) as sink,
            pq.ParquetWriter(sink, schema, compression="zstd") as writer,
        ):
            yield writer

    def cleaned_keys(self) -> list[str]:
        """The keys of all Parquet objects (attempts and refused records), in order of days."""
        return [
            f"cleaned/{day}/{name}"
            for day in self.objects.names("cleaned")
            if _is_shown(day)
            for name in self.objects.names(f"cleaned/{day}")
            if _is_shown(name) and name.endswith(".parquet")
        ]

    def schema_of(self, key: str) -> pa.Schema:
        """The columns of a Parquet object."""
        with self.objects.opened(key) as stored:
            return pq.ParquetFile(stored).schema_arrow

    def rows(self, key: str) -> int:
        """The number of rows in a Parquet object, read from its footer."""
        with self.objects.opened(key) as stored:
            return int(pq.ParquetFile(stored).metadata.num_rows)

    def batches(self, key: str) -> Iterator[pa.RecordBatch]:
        """The rows of a Parquet object, batch by batch."""
        with self.objects.opened(key) as stored:
            yield from pq.ParquetFile(stored).iter_batches(_BATCH_ROWS)

    def check(self) -> str:
        """The lake's address, after an object was written, read and removed there."""
        self.objects.write(".probe", b"1")
        self.objects.read(".probe")
        self.objects.remove(".probe")
        return self.url


def checksum_of(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def reference_key(asset: str, partition: str) -> str:
    """The key of the reference (JSON) that an asset handed on for a partition."""
    return f"references/{asset}/{partition}.json"


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    return iter(lambda: stream.read(CHUNK_BYTES), b"")


def _is_shown(name: str) -> bool:
    # Unfinished objects and files such as .DS_Store begin with a dot.
    return not name.startswith(".")


def _is_raw(name: str) -> bool:
    return _is_shown(name) and name.endswith((".json.zst", ".same"))


def _is_day(name: str) -> bool:
    try:
        date.fromisoformat(name)
    except ValueError:
        return False
    return True


def _stamp(name: str) -> str:
    return name.partition("-")[0]


def _checksum(name: str) -> str:
    return name.rpartition("-")[2].partition(".")[0]


def _answer(day: date, name: str, stored_as: str) -> RawAnswer:
    pulled_at, records, _ = name.split("-")
    moment = datetime.strptime(pulled_at, "%Y%m%dT%H%M%S%fZ")  # noqa: DTZ007 - the name says Z
    return RawAnswer(
        day=day.isoformat(),
        key=f"raw/{day.isoformat()}/{stored_as}",
        checksum=_checksum(name),
        records=int(records),
        pulled_at=moment.isoformat(),
    )


class LakeReferences(dg.ConfigurableIOManager):
    """Passes a small reference from one asset to the next, as JSON in the lake.

    If only later assets of a day are materialized, their run begins from the partition's newest
    reference.
    """

    lake: dg.ResourceDependency[Lake]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:  # noqa: ANN401
        """The reference is stored as the partition's newest."""
        if obj is not None:
            self.lake.objects.write(self._key(context), msgspec.json.encode(obj))

    def load_input(self, context: dg.InputContext) -> Any:  # noqa: ANN401
        """The partition's newest reference, converted to the type of the asset's parameter."""
        try:
            stored = self.lake.objects.read(self._key(context))
            reference = msgspec.json.decode(stored, type=context.dagster_type.typing_type)
            self._refuse_pruned(reference)
            return reference
        except (FileNotFoundError, msgspec.DecodeError):
            # It is cut short, or an earlier version wrote it, or its objects were pruned.
            raise dg.Failure(
                f"{context.asset_key.to_user_string()} of this day was never materialized: "
                "materialize it first, or the whole day."
            ) from None

    def _refuse_pruned(self, reference: object) -> None:
        # An erasure may have rewritten the answer since, under another key.
        now = self.lake.standing(reference) if isinstance(reference, RawAnswer) else reference
        named = msgspec.to_builtins(now)
        for key in filter(None, map(named.get, _NAME_OBJECTS)):
            if not self.lake.objects.exists(key):
                raise FileNotFoundError(key)

    def _key(self, context: dg.InputContext | dg.OutputContext) -> str:
        return reference_key(context.asset_key.to_user_string(), context.asset_partition_key)
