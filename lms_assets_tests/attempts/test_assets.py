"""The road's assets, materialized by Dagster over a real lake and table."""

import json
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from lms_assets.attempts.assets import (
    PullConfig,
    _told_as_faults,
    cleaned_attempts,
    raw_attempts,
)
from lms_assets.attempts.erasure import Erasure
from lms_assets.attempts.limits import Limits
from lms_assets.attempts.schema import check_frame, no_attempts
from lms_assets.failures import FACTS, FAULT
from lms_assets.faults import PermanentFault
from lms_assets.partitions import attempt_days
from lms_assets.resources.grader_api import GraderApi
from lms_assets.resources.lake import Lake, LakeReferences
from lms_assets.resources.warehouse import Warehouse
from lms_assets_tests.day_loads import stored


def test_a_stored_answer_that_is_no_array_fails_its_day_with_a_name(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    lake = Lake(url=str(tmp_path))
    day = date.fromisoformat(attempt_days.get_first_partition_key() or "")
    body = b'[{"lti_user_id": "ann"}, {"lti_user_id": ann}]'
    answer = stored(lake, body, records=2, day=day)
    result = dg.materialize(
        [raw_attempts, cleaned_attempts],
        partition_key=day.isoformat(),
        resources={
            "grader_api": GraderApi(url="http://127.0.0.1:9", client="c", client_key="k"),
            "lake": lake,
            "lake_references": LakeReferences(lake=lake),
            "warehouse": warehouse,
            "erasure": Erasure(key_file=str(tmp_path / "erasure.key")),
            "limits": Limits(),
        },
        run_config=dg.RunConfig(ops={"raw_attempts": PullConfig(from_lake=True)}),
        raise_on_error=False,
    )
    (failed,) = result.get_step_failure_events()
    told = failed.step_failure_data.user_failure_data
    assert told is not None
    assert told.metadata[FAULT].value == "cleaning.not_an_array"
    facts = json.loads(str(told.metadata[FACTS].value))
    assert facts == {"day": day.isoformat(), "object": answer.key, "position": 25}
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_frame_that_is_not_as_declared_is_told_by_its_columns(tmp_path: Path) -> None:
    answer = stored(Lake(url=str(tmp_path)), b"[]", records=0)
    with pytest.raises(PermanentFault) as raised, _told_as_faults(answer):
        check_frame(no_attempts().astype({"created_at": "string"}))
    assert raised.value.code == "cleaning.not_as_declared"
    assert raised.value.facts == {"columns": "created_at"}
