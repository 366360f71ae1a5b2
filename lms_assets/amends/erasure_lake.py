"""Raw answers, cleaned objects and the references to them are rewritten without the student.

While an object is replaced, no pull can store records. So no pull reads the object meanwhile, or
finds that its own answer equals it and stores none.
"""

import errno
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import msgspec
import pyarrow as pa

from lms_assets.amends.receipts import note
from lms_assets.amends.student import Student
from lms_assets.attempts.cleaning import NotAnArray, record_chunks
from lms_assets.attempts.ledger import Pull
from lms_assets.attempts.tombstones import WAIT, Flags, copy_without, recounted
from lms_assets.files import remove_orphaned_scratch, scratch_folder
from lms_assets.locks import Lock, hold_in_session, wait_for
from lms_assets.resources.lake import Lake, RawAnswer, reference_key
from lms_assets.resources.warehouse import Warehouse

Progress = Callable[[str], None]

REJECTED_ENDING = ".rejected.parquet"
# The disk is then at fault, not the object: nobody must be told to remove it.
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
_UNREADABLE = (NotAnArray, OSError, EOFError, zlib.error, pa.ArrowException)


@dataclass(frozen=True)
class LakeErasure:
    """One student's erasure from the lake.

    Args:
        student: Who is erased.
        lake: The lake that may hold their records.
        warehouse: Holds the receipt and the locks.
        receipt: The erasure's row in ``erasure_receipts``.
        progress: Called with the key of each object that was read.
    """

    student: Student
    lake: Lake
    warehouse: Warehouse
    receipt: int
    progress: Progress

    def run(self) -> dict[str, str]:
        """No readable object holds the student, and no file of a killed pull does.

        Returns:
            Key of each unreadable object → the reason.
        """
        unreadable: dict[str, str] = {}
        for answer in raw_objects(self.lake):
            self._looked_at(answer.key, lambda a=answer: self._erase_raw(a), unreadable)  # type: ignore[misc]
        for key in self.lake.cleaned_keys():
            self._looked_at(key, lambda k=key: self._erase_cleaned(k), unreadable)  # type: ignore[misc]
        for day in sorted({key.split("/")[1] for key in self.lake.cleaned_keys()}):
            with self._alone():
                _recount(self.lake, day)
        with self._alone():
            for unfinished in self.lake.unfinished():
                self.lake.remove(unfinished)
        remove_orphaned_scratch()
        return unreadable

    def _looked_at(
        self, key: str, erase: Callable[[], dict[str, int]], unreadable: dict[str, str]
    ) -> None:
        try:
            removed = erase()
        except _UNREADABLE as error:
            if getattr(error, "errno", None) in _UNWRITABLE:
                raise
            unreadable[key] = (
                error.problem if isinstance(error, NotAnArray) else type(error).__name__
            )
            return
        if removed:
            self.warehouse.in_transaction(lambda c: note(c, self.receipt, **removed))
        self.progress(key)

    def _erase_raw(self, answer: RawAnswer) -> dict[str, int]:
        if not records_of(self.student, self.lake, answer):
            return {}
        with self._alone(), scratch_folder() as folder:
            rewritten = folder / "answer.json"
            with self.lake.open_raw(answer) as body, rewritten.open("wb") as sink:
                copied = copy_without(body, sink, self.student.owns)
            self.lake.replace_raw(answer, rewritten, records=copied.kept)
        return {"raw_objects": 1, "raw_records": copied.dropped}

    def _erase_cleaned(self, key: str) -> dict[str, int]:
        is_of_student: Callable[[pa.RecordBatch], Flags] = (
            self.student.rejected if key.endswith(REJECTED_ENDING) else self.student.attempts
        )
        dropped = sum(int(is_of_student(batch).sum()) for batch in self.lake.batches(key))
        if not dropped:
            return {}
        with self._alone(), self.lake.write_parquet(key, self.lake.schema_of(key)) as sink:
            for batch in self.lake.batches(key):
                sink.write_batch(batch.filter(pa.array(~is_of_student(batch))))
        return {"cleaned_objects": 1, "cleaned_rows": dropped}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other process stores records while the block runs."""
        with self.warehouse.session() as session:
            wait_for(session, WAIT, in_session=True)
            hold_in_session(session, Lock.TOMBSTONES)
            yield


def raw_objects(lake: Lake) -> list[RawAnswer]:
    """Every raw answer of the lake, each object once."""
    answers = (answer for day in lake.raw_days() for answer in lake.raw_answers(day))
    return list({answer.key: answer for answer in answers}.values())


def records_of(student: Student, lake: Lake, answer: RawAnswer) -> int:
    """The number of the student's records in the answer.

    Raises:
        NotAnArray: The answer is no array of records.
    """
    with lake.open_raw(answer) as body:
        return sum(int(student.owns(records).sum()) for records in record_chunks(body))


def _recount(lake: Lake, day: str) -> None:
    """The day's reference to its cleaned objects counts the removed rows as erased."""
    place = reference_key("cleaned_attempts", day)
    if not lake.objects.exists(place):
        return
    try:
        pull = msgspec.json.decode(lake.objects.read(place), type=Pull)
    except msgspec.DecodeError:
        # An earlier version wrote it, and no run can use it any more.
        lake.objects.remove(place)
        return
    objects = set(lake.cleaned_keys())
    if not {pull.attempts_key, pull.rejected_key} <= objects:
        return
    attempts = sum(batch.num_rows for batch in lake.batches(pull.attempts_key))
    reasons: Counter[str] = Counter()
    for batch in lake.batches(pull.rejected_key):
        reasons.update(batch.column("reason").to_pylist())
    counted = recounted(pull, kept=attempts, rejected=reasons)
    if counted != pull:
        lake.objects.write(place, msgspec.json.encode(counted))
