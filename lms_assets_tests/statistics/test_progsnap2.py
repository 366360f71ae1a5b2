"""The attempts as a ProgSnap2 dataset, by the rules of its specification."""

import csv
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

from sqlalchemy import text

from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics.names import Names
from lms_assets.statistics.progsnap2 import export_progsnap2

DAY = date(2025, 7, 24)
INSERT = text(
    "insert into attempts (user_id, lis_result_sourcedid, is_correct, attempt_type, created_at, "
    "course, task) values (:user_id, '', :is_correct, :kind, :at, 'c', 't')"
)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def exported(warehouse: Warehouse, to: Path, key: bytes | None) -> list[dict[str, str]]:
    zone = ZoneInfo("UTC")
    export_progsnap2(warehouse, DAY, DAY, to, zone=zone, names=Names(), key=key)
    return table(to / "MainTable.csv")


def load(warehouse: Warehouse) -> None:
    at = datetime(2025, 7, 24, 10)  # noqa: DTZ001
    rows = [("ann", True, "submit"), ("ann", None, "run"), ("bob", None, "submit")]
    with warehouse.begin() as connection:
        for user_id, verdict, kind in rows:
            values = {"user_id": user_id, "is_correct": verdict, "kind": kind, "at": at}
            connection.execute(INSERT, values)


def test_each_attempt_is_an_event_scored_only_where_it_is_graded(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load(warehouse)
    events = exported(warehouse, tmp_path, None)
    told = {(e["SubjectID"], e["EventType"], e["Score"]) for e in events}
    assert told == {("ann", "Run.Program", ""), ("ann", "Submit", "1"), ("bob", "Submit", "")}
    assert [e["Order"] for e in events] == ["1", "2", "3"]
    assert {e["CodeStateID"] for e in events} == {"0"}
    assert {(e["ToolInstances"], e["ServerTimezone"]) for e in events} == {("LMS", "+0000")}
    assert table(tmp_path / "CodeStates" / "CodeStates.csv") == [{"CodeStateID": "0", "Code": ""}]


def test_the_dataset_says_its_version_and_its_order(warehouse: Warehouse, tmp_path: Path) -> None:
    load(warehouse)
    exported(warehouse, tmp_path, None)
    said = {row["Property"]: row["Value"] for row in table(tmp_path / "DatasetMetadata.csv")}
    assert (said["Version"], said["EventOrderScope"]) == ("6", "Global")


def test_the_dataset_keeps_the_written_rules(warehouse: Warehouse, tmp_path: Path) -> None:
    load(warehouse)
    events = exported(warehouse, tmp_path, b"k")
    said = table(tmp_path / "DatasetMetadata.csv")
    assert [row["Property"] for row in said] == [
        "Version",
        "IsEventOrderingConsistent",
        "EventOrderScope",
        "EventOrderScopeColumns",
        "CodeStateRepresentation",
    ]
    for column in ("EventID", "EventType", "SubjectID", "ToolInstances", "CodeStateID"):
        assert all(event[column] for event in events), column
    assert len({event["EventID"] for event in events}) == len(events)
    states = {row["CodeStateID"] for row in table(tmp_path / "CodeStates" / "CodeStates.csv")}
    assert {event["CodeStateID"] for event in events} <= states
    stamps = [f"{event['ServerTimestamp']}{event['ServerTimezone']}" for event in events]
    moments = [datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S.%f%z") for stamp in stamps]
    assert moments == sorted(moments)
    assert {float(event["Score"]) for event in events if event["Score"]} <= {0.0, 1.0}
    problems = table(tmp_path / "LinkTables" / "Problem.csv")
    linked = {(row["CourseID"], row["ProblemID"]) for row in problems}
    assert {(event["CourseID"], event["ProblemID"]) for event in events} <= linked


def test_a_student_is_a_hash_that_is_the_same_with_the_same_key(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    load(warehouse)
    with_key = [
        {e["SubjectID"] for e in exported(warehouse, tmp_path, key)} for key in (b"k", b"k", b"j")
    ]
    assert with_key[0] == with_key[1]
    assert not with_key[0] & (with_key[2] | {"ann", "bob"})
