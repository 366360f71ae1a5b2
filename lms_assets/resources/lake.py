"""The lake: what the API answered, byte for byte, and the cleaned attempts of each day.

    raw/2025-07-24/20250725T040003123456Z-1640-3f0c….json.zst   one object per pull
    raw/2025-07-24/20250726T040002654321Z-1640-3f0c….same       the same bytes as an earlier pull's
    cleaned/2025-07-24/3f0c…-v1.parquet                          one typed row per attempt
    cleaned/2025-07-24/3f0c…-v1.rejected.parquet                 one row per refused record

A folder or any fsspec URL; nothing in it names a machine. Raw objects are never
overwritten: every later question about a day can be answered from them.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, BinaryIO

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class RawAnswer:
    """A stored answer of the API for one day.

    Attributes:
        key: Its object, relative to the lake.
        checksum: SHA-256 of the bytes that the API sent.
        records: How many records they hold.
        pulled_at: When it was pulled, ISO, UTC.
        erased: How many records were dropped before storing: their students were erased.
    """

    day: str
    key: str
    checksum: str
    records: int
    pulled_at: str
    erased: int = 0


class Lake(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Objects of each day under ``url``.

    Args:
        url: A folder, or an fsspec URL as ``s3://bucket/attempts``.
    """

    url: str

    @property
    def root(self) -> UPath:
        """Where the lake begins."""
        return UPath(self.url)

    def store_raw(self, body: Path, *, day: date, records: int, pulled_at: datetime) -> RawAnswer:
        """The answer is in the lake: new bytes as a new object, equal bytes kept once.

        Args:
            body: A file that holds exactly what the API sent.
            day: The partition that was asked for.
            records: How many records the body holds.
            pulled_at: When the answer came, UTC.
        """
        checksum = checksum_of(body)
        folder = self.root / "raw" / day.isoformat()
        folder.mkdir(parents=True, exist_ok=True)
        answers = self.raw_answers(day)
        twin = next((a for a in answers if a.checksum == checksum), None)
        if twin and answers[-1].checksum == checksum:
            return answers[-1]
        name = f"{pulled_at:%Y%m%dT%H%M%S%fZ}-{records}-{checksum}"
        if twin:
            (folder / f"{name}.same").touch()
            return _answer(day, name, twin.key.rpartition("/")[2])
        _compress(body, folder / f"{name}.json.zst")
        return _answer(day, name, f"{name}.json.zst")

    def raw_answers(self, day: date) -> list[RawAnswer]:
        """Every stored answer of a day, oldest pull first."""
        folder = self.root / "raw" / day.isoformat()
        if not folder.exists():
            return []
        names = sorted(p.name for p in folder.iterdir() if _is_raw(p.name))
        objects = {_checksum(name): name for name in names if name.endswith(".json.zst")}
        return [_answer(day, name, objects[_checksum(name)]) for name in names]

    def newest_raw(self, day: date) -> RawAnswer | None:
        """The newest answer with records: an empty one never stands for a day that had some."""
        return next((a for a in reversed(self.raw_answers(day)) if a.records), None)

    def raw_days(self) -> list[date]:
        """The days that have raw answers, in order."""
        folder = self.root / "raw"
        if not folder.exists():
            return []
        return sorted(date.fromisoformat(p.name) for p in folder.iterdir() if _is_shown(p.name))

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
        folder = self.root / "raw" / answer.day
        old, checksum = folder / answer.key.rpartition("/")[2], checksum_of(body)
        if checksum == answer.checksum:
            return answer
        name = f"{_stamp(old.name)}-{records}-{checksum}"
        twin = next((a for a in self._raw_objects(folder) if _checksum(a) == checksum), None)
        if twin is None:
            _compress(body, folder / f"{name}.json.zst")
        elif _stamp(twin) != _stamp(old.name):
            (folder / f"{name}.same").touch()
        markers = [p for p in folder.iterdir() if p.name.endswith(f"-{answer.checksum}.same")]
        for marker in markers:
            (folder / f"{_stamp(marker.name)}-{records}-{checksum}.same").touch()
        new = _answer(date.fromisoformat(answer.day), name, twin or f"{name}.json.zst")
        self._repoint(answer, new)
        for gone in [*markers, old]:
            gone.unlink()
        return new

    def _raw_objects(self, folder: UPath) -> list[str]:
        return [p.name for p in folder.iterdir() if _is_raw(p.name) and p.suffix == ".zst"]

    def _repoint(self, old: RawAnswer, new: RawAnswer) -> None:
        import msgspec

        place = self.reference("raw_attempts", old.day)
        if place.exists() and msgspec.json.decode(place.read_bytes())["checksum"] == old.checksum:
            place.write_bytes(msgspec.json.encode(new))

    def reference(self, asset: str, partition: str) -> UPath:
        """Where lies what an asset handed on for a partition, as JSON."""
        return self.root / "references" / asset / f"{partition}.json"

    def unfinished(self) -> list[str]:
        """Objects that were being written when their process died, or that are being written."""
        found: list[str] = []
        for kind in ("raw", "cleaned"):
            folders = (self.root / kind).iterdir() if (self.root / kind).exists() else ()
            for folder in folders:
                if folder.is_dir():
                    names = [p.name for p in folder.iterdir() if not _is_shown(p.name)]
                    found += [f"{kind}/{folder.name}/{name}" for name in names]
        return found

    def remove(self, key: str) -> None:
        """The object is gone."""
        (self.root / key).unlink(missing_ok=True)

    @contextmanager
    def open_raw(self, answer: RawAnswer) -> Iterator[BinaryIO]:
        """The bytes that the API sent, as a stream."""
        with (
            (self.root / answer.key).open("rb") as stored,
            pa.CompressedInputStream(stored, "zstd") as body,
        ):
            yield body

    def stem(self, answer: RawAnswer, code_version: str) -> str:
        """Where an answer's cleaning lies, without its ending: the same input, the same place."""
        return f"cleaned/{answer.day}/{answer.checksum[:16]}-v{code_version}"

    @contextmanager
    def write_parquet(self, key: str, schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
        """A Parquet object that appears whole when the block ends well, or else not at all."""
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{id(target):x}")
        try:
            with (
                unfinished.open("wb") as sink,
                pq.ParquetWriter(sink, schema, compression="zstd") as w,
            ):
                yield w
            unfinished.rename(target)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise

    def cleaned_keys(self) -> list[str]:
        """Every Parquet object, of attempts and of refused records, in the order of the days."""
        folder = self.root / "cleaned"
        days = [p for p in folder.iterdir() if _is_shown(p.name)] if folder.exists() else []
        return sorted(
            f"cleaned/{day.name}/{p.name}"
            for day in days
            for p in day.iterdir()
            if _is_shown(p.name) and p.name.endswith(".parquet")
        )

    def schema_of(self, key: str) -> pa.Schema:
        """The columns of a Parquet object."""
        with (self.root / key).open("rb") as stored:
            return pq.ParquetFile(stored).schema_arrow

    def batches(self, key: str) -> Iterator[pa.RecordBatch]:
        """The rows of a Parquet object, batch by batch."""
        with (self.root / key).open("rb") as stored:
            yield from pq.ParquetFile(stored).iter_batches()

    def check(self) -> str:
        """Where the lake is, once something was written there and read back."""
        probe = self.root / ".probe"
        self.root.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"1")
        probe.unlink()
        return self.url


def checksum_of(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _compress(body: Path, target: UPath) -> None:
    unfinished = target.with_name(f".{target.name}")
    with (
        body.open("rb") as source,
        unfinished.open("wb") as sink,
        pa.CompressedOutputStream(sink, "zstd") as packed,
    ):
        while chunk := source.read(CHUNK_BYTES):
            packed.write(chunk)
    unfinished.rename(target)


def _is_shown(name: str) -> bool:
    # What is being written, and what people's machines leave, begins with a dot.
    return not name.startswith(".")


def _is_raw(name: str) -> bool:
    return _is_shown(name) and name.endswith((".json.zst", ".same"))


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
        import msgspec

        if obj is not None:
            place = self._place(context)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(msgspec.json.encode(obj))

    def load_input(self, context: dg.InputContext) -> Any:  # noqa: ANN401
        """The partition's newest reference, as the type that the asset asks for."""
        import msgspec

        place = self._place(context)
        if not place.exists():
            raise dg.Failure(
                f"{context.asset_key.to_user_string()} of this day was never materialized: "
                "materialize it first, or the whole day."
            )
        return msgspec.json.decode(place.read_bytes(), type=context.dagster_type.typing_type)

    def _place(self, context: dg.InputContext | dg.OutputContext) -> UPath:
        name = context.asset_key.to_user_string()
        return self.lake.reference(name, context.asset_partition_key)
