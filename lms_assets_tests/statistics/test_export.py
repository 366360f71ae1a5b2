import csv
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from lms_assets.faults import Fault
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics import export as exporting
from lms_assets.statistics import measures
from lms_assets.statistics.export import export

DAY = date(2025, 7, 24)
ATTEMPT = {
    "user": "ann",
    "at": "2025-07-24 10:00:00.5",
    "kind": "submit",
    "correct": True,
    "course": "course-v1:Org+Course+Run",
    "task": "t1",
}


def load(warehouse: Warehouse, *attempts: dict[str, object], zone: str = "UTC") -> None:
    with warehouse.begin() as connection:
        connection.execute(
            text(
                "insert into attempts (user_id, created_at, attempt_type, is_correct, course, task)"
                " values (:user, :at, :kind, :correct, :course, :task)"
            ),
            [ATTEMPT | attempt for attempt in attempts],
        )
        measures.refresh_all(connection, zone=zone, as_of=DAY)


def of_day(warehouse: Warehouse, to: Path, zone: str = "UTC") -> None:
    export(warehouse, DAY, DAY, to, zone=ZoneInfo(zone))


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_each_table_is_written_as_parquet_and_as_csv(warehouse: Warehouse, tmp_path: Path) -> None:
    load(warehouse, ATTEMPT)
    files = export(warehouse, DAY, DAY, tmp_path / "new" / "folder", zone=ZoneInfo("UTC"))
    names = ["attempts", *(table.name for table in exporting.FIGURES)]
    assert {"task_alarms", "task_discrimination", "task_stops"} <= set(names)
    assert [f.name for f in files] == [f"{n}.{kind}" for n in names for kind in ("parquet", "csv")]
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == sorted(
        f.name for f in files
    )


def test_parquet_keeps_each_value_with_its_type(warehouse: Warehouse, tmp_path: Path) -> None:
    load(warehouse, ATTEMPT | {"user": "=1+1"})
    of_day(warehouse, tmp_path)
    (row,) = pq.read_table(tmp_path / "attempts.parquet").to_pylist()
    assert row == {
        "id": 1,
        "user_id": "=1+1",
        "oauth_consumer_key": None,
        "lis_result_sourcedid": None,
        "lis_outcome_service_url": None,
        "is_correct": True,
        "attempt_type": "submit",
        "created_at": datetime(2025, 7, 24, 10, 0, 0, 500_000),  # noqa: DTZ001
        "course": "course-v1:Org+Course+Run",
        "task": "t1",
    }
    (figures,) = pq.read_table(tmp_path / "daily_statistics.parquet").to_pylist()
    assert (figures["day"], figures["attempts"], figures["success_pct"]) == (DAY, 1, 100.0)
    assert figures["computed_at"].tzinfo is not None
    assert figures["run_to_success_pct"] is None


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_a_text_that_begins_like_a_formula_is_inert_in_the_csv(
    start: str, warehouse: Warehouse, tmp_path: Path
) -> None:
    load(warehouse, ATTEMPT | {"user": f'{start}IMPORTXML("x")', "course": "Курс\n+1"})
    of_day(warehouse, tmp_path)
    (row,) = csv_rows(tmp_path / "attempts.csv")
    assert row["user_id"] == f'\'{start}IMPORTXML("x")'
    assert row["course"] == "Курс\n+1"
    assert row["is_correct"] == "true"


def test_a_negative_number_stays_a_number_in_the_csv(warehouse: Warehouse, tmp_path: Path) -> None:
    week_before = [{"user": f"u{n}", "at": "2025-07-17 10:00:00"} for n in range(4)]
    load(warehouse, ATTEMPT, *week_before)
    of_day(warehouse, tmp_path)
    (row,) = csv_rows(tmp_path / "daily_statistics.csv")
    assert row["attempts_trend_pct"] == "-75.0"


def test_the_csv_says_that_it_is_utf_8(warehouse: Warehouse, tmp_path: Path) -> None:
    of_day(warehouse, tmp_path)
    assert (tmp_path / "attempts.csv").read_bytes().startswith(b"\xef\xbb\xbfid,user_id,")


def test_days_are_those_of_the_set_zone_and_half_open(warehouse: Warehouse, tmp_path: Path) -> None:
    edges = {  # Midnight in Moscow is 21:00 UTC.
        "before": "2025-07-23 20:59:59.999999",
        "first": "2025-07-23 21:00:00",
        "last": "2025-07-24 20:59:59.999999",
        "after": "2025-07-24 21:00:00",
    }
    attempts = [ATTEMPT | {"user": user, "at": at} for user, at in edges.items()]
    load(warehouse, *attempts, zone="Europe/Moscow")
    of_day(warehouse, tmp_path, "Europe/Moscow")
    assert [r["user_id"] for r in csv_rows(tmp_path / "attempts.csv")] == ["first", "last"]
    assert [r["attempts"] for r in csv_rows(tmp_path / "daily_statistics.csv")] == ["2"]


def test_days_without_attempts_give_headings_and_columns_alone(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load(warehouse, ATTEMPT)
    export(warehouse, date(2024, 1, 1), date(2024, 1, 31), tmp_path, zone=ZoneInfo("UTC"))
    assert csv_rows(tmp_path / "attempts.csv") == []
    table = pq.read_table(tmp_path / "attempts.parquet")
    assert (table.num_rows, table.column_names[:2]) == (0, ["id", "user_id"])
    assert len(csv_rows(tmp_path / "task_statistics.csv")) == 1


def test_more_rows_than_a_chunk_are_all_written_in_order(
    warehouse: Warehouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "CHUNK_ROWS", 3)
    minutes = [ATTEMPT | {"at": f"2025-07-24 10:{n:02}:00"} for n in reversed(range(10))]
    load(warehouse, *minutes)
    of_day(warehouse, tmp_path)
    moments = [r["created_at"] for r in csv_rows(tmp_path / "attempts.csv")]
    assert moments == [f"2025-07-24 10:{n:02}:00" for n in range(10)]
    parquet = pq.ParquetFile(tmp_path / "attempts.parquet")
    assert (parquet.metadata.num_rows, parquet.metadata.num_row_groups) == (10, 4)


def test_an_export_that_fails_leaves_the_earlier_files_as_they_were(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load(warehouse, ATTEMPT)
    of_day(warehouse, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with warehouse.begin() as connection:
        connection.execute(text("alter table attempts rename column task to other"))
        connection.execute(text("alter view heat_map rename column hour to other"))
    with pytest.raises(Fault):
        of_day(warehouse, tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_an_export_again_replaces_the_files(warehouse: Warehouse, tmp_path: Path) -> None:
    load(warehouse, ATTEMPT)
    of_day(warehouse, tmp_path)
    load(warehouse, ATTEMPT | {"user": "bob"})
    of_day(warehouse, tmp_path)
    assert [r["user_id"] for r in csv_rows(tmp_path / "attempts.csv")] == ["ann", "bob"]


def test_moments_with_a_zone_are_utc_in_both(warehouse: Warehouse, tmp_path: Path) -> None:
    load(warehouse, ATTEMPT)
    of_day(warehouse, tmp_path)
    (row,) = csv_rows(tmp_path / "daily_statistics.csv")
    (figures,) = pq.read_table(tmp_path / "daily_statistics.parquet").to_pylist()
    assert datetime.fromisoformat(row["computed_at"]) == figures["computed_at"].astimezone(UTC)
