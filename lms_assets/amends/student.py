"""The student who is erased, and by what their records are known: either of two ids in each."""

import json
import re
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from lms_assets.attempts.cleaning import MAX_USER_ID_LENGTH, course_and_task
from lms_assets.attempts.quarantine import as_api_record
from lms_assets.attempts.tombstones import UNMISTAKABLE_LENGTH, Flags, whose
from lms_assets.faults import PermanentFault


@dataclass(frozen=True)
class Student:
    """One student, by the id in ``user_id`` or in the user's part of ``lis_result_sourcedid``."""

    user_id: str

    def covers(self, user_ids: "pd.Series[str]") -> "pd.Series[bool]":
        """For each of the user ids, in order, whether it is theirs."""
        return user_ids == self.user_id

    def owns(self, records: list[bytes]) -> Flags:
        """Which of the records, as the API gives them, are theirs."""
        places = [place for place, record in enumerate(records) if self._may_stand_in(record)]
        theirs = np.zeros(len(records), dtype=bool)
        if places:
            suspects = [records[place] for place in places]
            theirs[places] = whose(suspects, self, mention=self._mention)
        return theirs

    def _may_stand_in(self, record: bytes) -> bool:
        # Escaped by JSON, Python or a URL, an id can look like anything.
        return self.user_id.encode() in record or b"\\" in record or b"%" in record

    @property
    def _mention(self) -> re.Pattern[str]:
        if len(self.user_id) < UNMISTAKABLE_LENGTH:
            return _NOWHERE
        spelled = re.escape(json.dumps(self.user_id)[1:-1])
        return re.compile(rf"(?<![0-9A-Za-z]){spelled}(?![0-9A-Za-z])")

    def sourcedids(self, texts: Collection[str]) -> list[str]:
        """Which of these texts of ``lis_result_sourcedid`` name them."""
        distinct = pd.Series(sorted(texts), dtype=object)
        users = course_and_task(distinct)["sourcedid_user"]
        return [str(sourcedid) for sourcedid in distinct[users == self.user_id]]

    def attempts(self, batch: pa.RecordBatch) -> Flags:
        """Which clean attempts are theirs."""
        user_ids = batch.column("user_id").to_pandas()
        sourcedids = batch.column("lis_result_sourcedid").to_pandas()
        named = self.sourcedids(set(sourcedids.dropna()))
        return np.asarray((user_ids == self.user_id) | sourcedids.isin(named), dtype=bool)

    def rejected(self, batch: pa.RecordBatch) -> Flags:
        """Which refused records are theirs."""
        return self.owns([as_api_record(record) for record in batch.column("record").to_pylist()])


_NOWHERE = re.compile(r"(?!)")


def student_of(user_id: str, staff: Collection[str]) -> Student:
    """The student of that id.

    Args:
        user_id: As it stands in ``attempts.user_id``.
        staff: Who is left out of the figures, by a file from which the id would come back.

    Raises:
        PermanentFault: No user id, or one of the staff.
    """
    if not 0 < len(user_id) <= MAX_USER_ID_LENGTH or "\0" in user_id:
        raise PermanentFault("erasure.user_id_invalid")
    if user_id in staff:
        raise PermanentFault("erasure.is_staff")
    return Student(user_id)
