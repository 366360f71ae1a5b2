"""A stored answer is cleaned into two Parquet objects of the lake: attempts, rejected records."""

from datetime import datetime
from typing import Final

from lms_assets.ahead import ahead
from lms_assets.attempts.cleaning import CODE_VERSION, Tombstones, clean_answer
from lms_assets.attempts.columns import ARROW_SCHEMA, REJECTED_SCHEMA
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.ledger import Pull
from lms_assets.attempts.table_schema import check_table
from lms_assets.attempts.watch import Watch
from lms_assets.days import Window
from lms_assets.resources.lake import Lake, RawAnswer

REJECTED_ENDING: Final = ".rejected.parquet"


def clean_stored(
    lake: Lake,
    answer: RawAnswer,
    *,
    window: Window,
    zone: str,
    tomorrow: datetime,
    tombstones: Tombstones | None = None,
    code_version: str = CODE_VERSION,
) -> Pull:
    """The answer's attempts and rejected records are in the lake, and each fate is counted.

    Args:
        lake: The lake with the answer.
        answer: The stored answer of a day.
        window: The day's window, half-open, naive UTC.
        zone: The zone of the day, LMS_TIMEZONE.
        tomorrow: Naive UTC. A record made at this instant or later breaks a rule.
        tombstones: The erased students, whose records are dropped; None if there are none.
        code_version: The version of the rules, a part of the objects' names.

    Raises:
        NotAnArray: The answer is not one JSON array.
        NotCleanAttempts: A column of the result is not as ``columns.py`` declares it.
    """
    # The pull or a later erasure dropped these records from the stored answer.
    fates, watch = Fates(received=answer.erased, erased=answer.erased), Watch()
    stem = lake.stem(answer, code_version)
    with (
        lake.open_raw(answer) as body,
        lake.write_parquet(f"{stem}.parquet", ARROW_SCHEMA) as good,
        lake.write_parquet(f"{stem}{REJECTED_ENDING}", REJECTED_SCHEMA) as bad,
    ):
        chunks = clean_answer(body, window=window, tomorrow=tomorrow, tombstones=tombstones)
        for chunk in ahead(chunks):
            check_table(chunk.attempts)
            good.write_table(chunk.attempts)
            bad.write_table(chunk.rejected)
            fates += chunk.fates
            watch += chunk.watch
    return Pull(
        day=answer.day,
        window_start=window.start,
        window_end=window.end,
        zone=zone,
        fates=fates,
        watch=watch.as_json(),
        checksum=answer.checksum,
        code_version=code_version,
        attempts_key=f"{stem}.parquet",
        rejected_key=f"{stem}{REJECTED_ENDING}",
        asked_at=datetime.fromisoformat(answer.asked_at or answer.pulled_at),
    )
