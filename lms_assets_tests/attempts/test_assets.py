"""The road's assets, materialized by Dagster over a real lake and table."""

import json
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from sqlalchemy import text

from lms_assets.attempts.assets import (
    PullConfig,
    _as_faults,
    attempts_table,
    cleaned_attempts,
    raw_attempts,
)
from lms_assets.attempts.columns import ARROW_SCHEMA
from lms_assets.attempts.limits import Limits
from lms_assets.attempts.partitions import attempt_days
from lms_assets.attempts.table_schema import check_table
from lms_assets.attempts.tombstones import Erasure
from lms_assets.faults import PermanentFault
from lms_assets.faults.failures import FACTS, FAULT
from lms_assets.resources.grader_api import GraderApi
from lms_assets.resources.lake import Lake, LakeReferences
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.turns import ApiTurns
from lms_assets_tests.day_loads import stored


def fault_of(
    lake: Lake, warehouse: Warehouse, day: date, assets: list[dg.AssetsDefinition]
) -> dict[str, object]:
    """Why the day could not be materialized from the lake: code and facts of the fault."""
    result = dg.materialize(
        assets,
        partition_key=day.isoformat(),
        resources={
            "grader_api": GraderApi(url="http://127.0.0.1:9", client="c", client_key="k"),
            "api_turns": ApiTurns(api="http://127.0.0.1:9", at_once=1),
            "lake": lake,
            "lake_references": LakeReferences(lake=lake),
            "warehouse": warehouse,
            "erasure": Erasure(key_file=f"{lake.url}/erasure.key"),
            "limits": Limits(),
        },
        run_config=dg.RunConfig(ops={"raw_attempts": PullConfig(from_lake=True)}),
        raise_on_error=False,
    )
    (failed,) = result.get_step_failure_events()
    told = failed.step_failure_data.user_failure_data
    assert told is not None
    return {"code": told.metadata[FAULT].value, **json.loads(str(told.metadata[FACTS].value))}


def test_a_stored_answer_that_is_no_array_fails_its_day_with_a_name(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    lake = Lake(url=str(tmp_path))
    day = date.fromisoformat(attempt_days.get_first_partition_key() or "")
    body = b'[{"lti_user_id": "ann"}, {"lti_user_id": ann}]'
    answer = stored(lake, body, records=2, day=day)
    assert fault_of(lake, warehouse, day, [raw_attempts, cleaned_attempts]) == {
        "code": "cleaning.not_an_array",
        "day": day.isoformat(),
        "object": answer.key,
        "position": 25,
    }
    assert not list(tmp_path.rglob("*.parquet"))


def test_a_table_that_is_not_as_declared_is_told_by_its_columns(tmp_path: Path) -> None:
    answer = stored(Lake(url=str(tmp_path)), b"[]", records=0)
    with pytest.raises(PermanentFault) as raised, _as_faults(answer):
        check_table(ARROW_SCHEMA.empty_table().drop_columns(["created_at"]))
    assert raised.value.code == "cleaning.not_as_declared"
    assert raised.value.facts == {"columns": "created_at"}


def test_a_day_cut_by_another_zone_than_the_loaded_ones_is_refused(
    tmp_path: Path, warehouse: Warehouse
) -> None:
    with warehouse.begin() as connection:
        connection.execute(
            text(
                """
                insert into load_ledger (day, window_start, window_end, zone, received, inserted,
                    updated, unchanged, duplicates, conflicting, outside_window, rejected, erased,
                    vanished, stored, watch, checksum, code_version, run_id, stages)
                values ('2023-01-01', '2022-12-31 21:00', '2023-01-01 21:00', 'Europe/Moscow',
                    0, 0, 0, 0, 0, 0, 0, '{}', 0, 0, 0, '{}', 'c', '1', 'r', '{}')
                """
            )
        )
    lake = Lake(url=str(tmp_path))
    day = date.fromisoformat(attempt_days.get_first_partition_key() or "")
    stored(lake, b'[{"lti_user_id": "ann"}]', records=1, day=day)
    road = [raw_attempts, cleaned_attempts, attempts_table]
    fault = fault_of(lake, warehouse, day, road)
    assert (fault["code"], fault["loaded"]) == ("settings.zone_changed", "Europe/Moscow")
