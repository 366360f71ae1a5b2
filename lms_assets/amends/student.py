"""The student who is erased, and how their records are recognised.

A record names its student in ``user_id`` and in the user's part of ``lis_result_sourcedid``.
"""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from lms_assets.attempts.cleaning import MAX_USER_ID_LENGTH
from lms_assets.attempts.quarantine import as_api_record
from lms_assets.attempts.tombstones import (
    UNMISTAKABLE_LENGTH,
    Flags,
    attempts_of_erased,
    records_of_erased,
    sourcedids_of_erased,
)
from lms_assets.faults import PermanentFault


@dataclass(frozen=True)
class Student:
    """One student, who owns every record that names the id in either of its two places."""

    user_id: str

    def erased_among(self, user_ids: Collection[str]) -> set[str]:
        """The student's id, if it is among them."""
        return {self.user_id} & set(user_ids)

    def owns(self, records: list[bytes]) -> Flags:
        """Which of the records, as the API sends them, are the student's, in order."""
        places = [place for place, record in enumerate(records) if self._may_stand_in(record)]
        is_of_student = np.zeros(len(records), dtype=bool)
        if places:
            suspects = [records[place] for place in places]
            is_of_student[places] = records_of_erased(suspects, self, mention=self._mention)
        return is_of_student

    def _may_stand_in(self, record: bytes) -> bool:
        # Escapes of JSON, Python or a URL (a backslash or a percent sign) may hide the id.
        return self.user_id.encode() in record or b"\\" in record or b"%" in record

    @property
    def _mention(self) -> re.Pattern[str]:
        if len(self.user_id) < UNMISTAKABLE_LENGTH:
            return _NOWHERE
        spelled = re.escape(json.dumps(self.user_id)[1:-1])
        return re.compile(rf"(?<![0-9A-Za-z]){spelled}(?![0-9A-Za-z])")

    def sourcedids(self, texts: Collection[str]) -> list[str]:
        """Which of these texts of ``lis_result_sourcedid`` name the student."""
        return sorted(sourcedids_of_erased(texts, self))

    def attempts(self, batch: pa.RecordBatch) -> Flags:
        """Which clean attempts are the student's."""
        return attempts_of_erased(batch, self)

    def rejected(self, batch: pa.RecordBatch) -> Flags:
        """Which of the rejected records are the student's, in order."""
        return self.owns([as_api_record(record) for record in batch.column("record").to_pylist()])


_NOWHERE = re.compile(r"(?!)")


def student_of(user_id: str, staff: Collection[str]) -> Student:
    """The student with that id.

    Args:
        user_id: The student's ``attempts.user_id``.
        staff: The user ids in LMS_STAFF. That file would bring an erased id back.

    Raises:
        PermanentFault: The user id is invalid, or of the staff.
    """
    if not 0 < len(user_id) <= MAX_USER_ID_LENGTH or "\0" in user_id:
        raise PermanentFault("erasure.user_id_invalid")
    if user_id in staff:
        raise PermanentFault("erasure.is_staff")
    return Student(user_id)
