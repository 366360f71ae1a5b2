"""The lake: what the API answered, byte for byte, and the cleaned attempts of each day.

    raw/2025-07-24/20250725T040003123456Z-1640-3f0c….json.zst   one object per pull
    raw/2025-07-24/20250726T040002654321Z-1640-3f0c….same       the same bytes as an earlier pull's
    cleaned/2025-07-24/3f0c…-v1.parquet                          one typed row per attempt
    cleaned/2025-07-24/3f0c…-v1.rejected.parquet                 one row per refused record

A folder or any fsspec URL; nothing in it names a machine. Raw objects are never
overwritten: every later question about a day can be answered from them.
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

from lms_assets.resources.objects import Objects

CHUNK_BYTES = 1 << 20
# Many enough for COPY to be busy, few enough to be small.
_BATCH_ROWS = 1 << 14
# The fields of a reference that name objects, which may have been pruned.
NAME_OBJECTS = frozenset({"key", "attempts_key", "rejected_key"})


@dataclass(frozen=True)
class RawAnswer:
    """A stored answer of the API for one day.

    Attributes:
        key: Its object, relative to the lake.
        checksum: SHA-256 of the bytes that the API sent.
        records: How many records they hold.
        pulled_at: When it was asked for first, ISO, naive UTC.
        asked_at: When this pull asked for it, likewise; empty where an earlier version noted it.
        erased: How many records were dropped before storing: their students were erased.
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
        url: A folder, or an fsspec URL as ``s3://bucket/attempts``.
    """

    url: str

    _objects: Objects | None = PrivateAttr(default=None)

    @property
    def objects(self) -> Objects:
        """What lies in the lake, by key."""
        if self._objects is None:
            self._objects = Objects(self.url)
        return self._objects

    def refuse_unusable(self) -> None:
        """The address can be used, as far as this machine knows; nothing is asked or written.

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
        """The answer is in the lake: new bytes as a new object, equal bytes kept once.

        Args:
            body: A file that holds exactly what the API sent.
            day: The partition that was asked for.
            records: How many records the body holds.
            pulled_at: When the answer came, UTC.
            checksum: SHA-256 of the body, where it is known: the body is then not read for it.
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
            # Arrow closes what it was given; the sink is still to be brought to the disk.
            open(os.dup(sink.fileno()), "wb") as given,  # noqa: PTH123
            pa.CompressedOutputStream(given, "zstd") as packed,
        ):
            while chunk := source.read(CHUNK_BYTES):
                packed.write(chunk)

    def _is_whole(self, answer: RawAnswer) -> bool:
        """Whether the object still holds the bytes that its name tells of; a disk may lose them."""
        seen = hashlib.sha256()
        try:
            with self.open_raw(answer) as stored:
                while chunk := stored.read(CHUNK_BYTES):
                    seen.update(chunk)
        except OSError:
            return False
        return seen.hexdigest() == answer.checksum

    def raw_answers(self, day: date) -> list[RawAnswer]:
        """Every stored answer of a day, oldest pull first."""
        names = [name for name in self.objects.names(f"raw/{day.isoformat()}") if _is_raw(name)]
        objects = {_checksum(name): name for name in names if name.endswith(".json.zst")}
        # A marker whose object is not listed, or not yet, names no bytes that could be read.
        known = [name for name in names if _checksum(name) in objects]
        return [_answer(day, name, objects[_checksum(name)]) for name in known]

    def markers(self, day: date, *, kept: Collection[str]) -> list[str]:
        """The markers of a day's pulls whose bytes have none of the ``kept`` checksums."""
        folder = f"raw/{day.isoformat()}"
        names = [name for name in self.objects.names(folder) if name.endswith(".same")]
        return [f"{folder}/{n}" for n in names if _is_shown(n) and _checksum(n) not in kept]

    def newest_raw(self, day: date) -> RawAnswer | None:
        """The newest answer with records: an empty one never stands for a day that had some."""
        return next((a for a in reversed(self.raw_answers(day)) if a.records), None)

    def standing(self, answer: RawAnswer) -> RawAnswer:
        """What stands in the answer's place now: an erasure may have rewritten it.

        The records that are missing there are counted as erased.
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
        """Another body stands in the place of a stored one, which is gone; for erasure alone.

        The order of the pulls stays, and whatever named the old bytes (markers of equal
        ones, the partition's reference) names the new. Cut off at any point, the day
        still reads, and the same call again completes it.

        Args:
            answer: Whose object is replaced.
            body: A file with the bytes to keep.
            records: How many records the body holds.
        """
        checksum, folder = checksum_of(body), f"raw/{answer.day}"
        if checksum == answer.checksum:
            return answer
        old = answer.key.rpartition("/")[2]
        names = [name for name in self.objects.names(folder) if _is_raw(name)]
        name = f"{_stamp(old)}-{records}-{checksum}"
        stored = [other for other in names if other.endswith(f"-{checksum}.json.zst")]
        twin = stored[0] if stored else None
        if twin is None:
            self._pack(body, f"{folder}/{name}.json.zst")
        elif _stamp(twin) != _stamp(old):
            self.objects.write(f"{folder}/{name}.same", b"")
        markers = [other for other in names if other.endswith(f"-{answer.checksum}.same")]
        for marker in markers:
            self.objects.write(f"{folder}/{_stamp(marker)}-{records}-{checksum}.same", b"")
        new = _answer(date.fromisoformat(answer.day), name, twin or f"{name}.json.zst")
        self._repoint(answer, new)
        for gone in [*markers, old]:
            self.objects.remove(f"{folder}/{gone}")
        return new

    def _repoint(self, old: RawAnswer, new: RawAnswer) -> None:
        key = reference_key("raw_attempts", old.day)
        if self.objects.exists(key):
            named = msgspec.json.decode(self.objects.read(key))["checksum"]
            if named == old.checksum:
                self.objects.write(key, msgspec.json.encode(new))

    def reference(self, asset: str, partition: str) -> UPath:
        """The place of what an asset handed on for a partition."""
        return self.objects.at(reference_key(asset, partition))

    def unfinished(self) -> list[str]:
        """Objects that were being written when their process died, or that are being written."""
        return [
            f"{kind}/{folder}/{name}"
            for kind in ("raw", "cleaned")
            for folder in self.objects.names(kind)
            if _is_shown(folder)
            for name in self.objects.names(f"{kind}/{folder}")
            if not _is_shown(name)
        ]

    def remove(self, key: str) -> None:
        """The object is gone."""
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
        """Where an answer's cleaning lies, without its ending: the same input, the same place."""
        return f"cleaned/{answer.day}/{answer.checksum[:16]}-v{code_version}"

    @contextmanager
    def write_parquet(self, key: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
        """A Parquet object that appears whole when the block ends well, or else not at all."""
        with (
            self.objects.written(key) as sink,
            pq.ParquetWriter(sink, schema, compression="zstd") as writer,
        ):
            yield writer

    def cleaned_keys(self) -> list[str]:
        """Every Parquet object, of attempts and of refused records, in the order of the days."""
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
        """How many rows a Parquet object has, by its footer."""
        with self.objects.opened(key) as stored:
            return int(pq.ParquetFile(stored).metadata.num_rows)

    def batches(self, key: str) -> Iterator[pa.RecordBatch]:
        """The rows of a Parquet object, batch by batch."""
        with self.objects.opened(key) as stored:
            yield from pq.ParquetFile(stored).iter_batches(_BATCH_ROWS)

    def check(self) -> str:
        """Where the lake is, once something was written there and read back."""
        self.objects.write(".probe", b"1")
        self.objects.read(".probe")
        self.objects.remove(".probe")
        return self.url


def checksum_of(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def reference_key(asset: str, partition: str) -> str:
    """Where lies what an asset handed on for a partition, as JSON."""
    return f"references/{asset}/{partition}.json"


def _is_shown(name: str) -> bool:
    # What is being written, and what people's machines leave, begins with a dot.
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
    """What one asset hands the next: a small reference, as JSON beside the objects it names.

    The newest reference of a partition is what a later run begins from when only
    the assets after it are materialized.
    """

    lake: dg.ResourceDependency[Lake]

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:  # noqa: ANN401
        """The reference is the partition's newest."""
        if obj is not None:
            self.lake.objects.write(self._key(context), msgspec.json.encode(obj))

    def load_input(self, context: dg.InputContext) -> Any:  # noqa: ANN401
        """The partition's newest reference, as the type that the asset asks for."""
        try:
            stored = self.lake.objects.read(self._key(context))
            self._refuse_pruned(stored)
            return msgspec.json.decode(stored, type=context.dagster_type.typing_type)
        except (FileNotFoundError, msgspec.DecodeError):
            # One that is cut short, that an earlier version wrote, or whose objects were pruned.
            raise dg.Failure(
                f"{context.asset_key.to_user_string()} of this day was never materialized: "
                "materialize it first, or the whole day."
            ) from None

    def _refuse_pruned(self, reference: bytes) -> None:
        named = msgspec.json.decode(reference)
        for name in NAME_OBJECTS & named.keys():
            if named[name] and not self.lake.objects.exists(named[name]):
                raise FileNotFoundError(named[name])

    def _key(self, context: dg.InputContext | dg.OutputContext) -> str:
        return reference_key(context.asset_key.to_user_string(), context.asset_partition_key)
