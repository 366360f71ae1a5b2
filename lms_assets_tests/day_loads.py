"""A day's records on their way into the table without Dagster: the real parts, one call."""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lms_assets.attempts import merge
from lms_assets.attempts.cleaned import clean_stored
from lms_assets.attempts.cleaning import CODE_VERSION, Tombstones
from lms_assets.attempts.ledger import Load, Pull
from lms_assets.days import Window
from lms_assets.resources.lake import Lake, RawAnswer
from lms_assets.resources.warehouse import Warehouse

DAY = date(2025, 7, 24)
TOMORROW = datetime(2030, 1, 1)  # noqa: DTZ001
COURSE = "course-v1:Org+Course+Run"
TASK = "lms.example.org-0cf38fe58c764865bae254da886e119d"


def window_of(day: date) -> Window:
    """The day in UTC."""
    start = datetime(day.year, day.month, day.day)  # noqa: DTZ001
    return Window(start=start, end=start + timedelta(days=1))


def record(
    user: str = "ann",
    kind: str = "submit",
    at: str = "10:00:00",
    *,
    correct: object = 1,
    day: date = DAY,
    sourcedid_user: str | None = None,
    **others: object,
) -> dict[str, Any]:
    """One record as the API gives it."""
    passback = {
        "oauth_consumer_key": "",
        "lis_result_sourcedid": f"{COURSE}:{TASK}:{sourcedid_user or user}",
    }
    return {
        "lti_user_id": user,
        "passback_params": str(passback),
        "is_correct": correct if kind == "submit" else None,
        "attempt_type": kind,
        "created_at": f"{day} {at}",
        **others,
    }


def body_of(records: Iterable[Any]) -> bytes:
    """The records as the API's answer."""
    return b"[" + b", ".join(json.dumps(one).encode() for one in records) + b"]"


def stored(lake: Lake, body: bytes, *, records: int, day: date = DAY, hour: int = 5) -> RawAnswer:
    """The answer, in the lake; pulled at an hour of the day after."""
    moment = datetime(day.year, day.month, day.day, hour, tzinfo=UTC) + timedelta(days=1)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "answer"
        file.write_bytes(body)
        return lake.store_raw(file, day=day, records=records, pulled_at=moment)


def cleaned(
    lake: Lake,
    answer: RawAnswer,
    *,
    tombstones: Tombstones | None = None,
    code_version: str = CODE_VERSION,
) -> Pull:
    """The answer's records, each with its fate, beside it in the lake."""
    return clean_stored(
        lake,
        answer,
        window=window_of(date.fromisoformat(answer.day)),
        zone="UTC",
        tomorrow=TOMORROW,
        tombstones=tombstones,
        code_version=code_version,
    )


def merged(
    warehouse: Warehouse,
    lake: Lake,
    pull: Pull,
    *,
    run_id: str = "run",
    mirror: merge.Mirror | None = None,
) -> Load:
    """The pull, in the table."""
    with warehouse.begin() as connection:
        return merge.merge_day(
            connection,
            pull,
            attempts=lambda: lake.batches(pull.attempts_key),
            rejected=lambda: lake.batches(pull.rejected_key),
            run_id=run_id,
            mirror=mirror,
        )


def loaded(
    warehouse: Warehouse, lake: Lake, records: list[Any], *, day: date = DAY, hour: int = 5
) -> Load:
    """The records went all the way: lake, cleaning, table."""
    answer = stored(lake, body_of(records), records=len(records), day=day, hour=hour)
    return merged(warehouse, lake, cleaned(lake, answer), run_id=f"run-{day}-{hour}")


def attempts_in(warehouse: Warehouse) -> list[dict[str, Any]]:
    """The table, in the order of its key and without its numbers."""
    return warehouse.rows(
        """
        select user_id, attempt_type, created_at, is_correct, oauth_consumer_key,
            lis_result_sourcedid, lis_outcome_service_url, course, task
        from attempts order by user_id, attempt_type, created_at
        """
    )


def counted(load: Load | None, **expected: int | dict[str, int]) -> None:
    """The load has these counters, and 0 for every other."""
    assert load is not None
    nothing = dict.fromkeys(load.fates.counters(), 0) | {"rejected": {}}
    assert load.fates.counters() == nothing | expected


def of_another_version(pull: Pull, code_version: str) -> Pull:
    """The pull as if other rules had cleaned it to the same end."""
    return replace(pull, code_version=code_version)
