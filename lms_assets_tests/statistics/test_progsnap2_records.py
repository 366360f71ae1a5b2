"""A ProgSnap2 dataset, ours or another's, as records of the API."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from lms_assets.attempts.cleaning.sourcedid import cut_sourcedid
from lms_assets.faults import PermanentFault
from lms_assets.statistics.progsnap2_records import EventCounts, names_in, write_records

HEADING = ("EventType", "SubjectID", "ServerTimestamp", "ServerTimezone", "ProblemID", "Score")
AT, ZONE = "2019-03-09T04:58:39", "+0000"


def dataset(folder: Path, *events: Sequence[str], heading: Sequence[str] = HEADING) -> Path:
    with (folder / "MainTable.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows((heading, *events))
    return folder


def taken_from(folder: Path) -> tuple[EventCounts, list[dict[str, Any]]]:
    taken = write_records(folder, folder / "records.json")
    return taken, json.loads((folder / "records.json").read_bytes())


def test_a_run_and_a_submit_are_attempts_and_a_full_score_is_a_correct_one(tmp_path: Path) -> None:
    folder = dataset(
        tmp_path,
        ("Run.Program", "ann", AT, ZONE, "p1", ""),
        ("Submit", "ann", AT, ZONE, "p1", "1.0"),
        ("Submit", "ann", AT, ZONE, "p1", "0"),
        ("Submit", "ann", AT, ZONE, "p1", ""),
    )
    taken, records = taken_from(folder)
    assert [(r["attempt_type"], r["is_correct"]) for r in records] == [
        ("run", None),
        ("submit", 1),
        ("submit", 0),
        ("submit", None),
    ]
    assert {r["created_at"] for r in records} == {"2019-03-09 04:58:39"}
    assert (taken.attempts, +taken.left_out, +taken.changed) == (4, {}, {})


def test_what_an_attempt_cannot_hold_is_counted_by_its_kind(tmp_path: Path) -> None:
    folder = dataset(
        tmp_path,
        ("Compile.Error", "ann", AT, ZONE, "p1", ""),
        ("Compile.Error", "ann", AT, ZONE, "p1", ""),
        ("Submit", "UNKNOWN", AT, ZONE, "p1", "1"),
        ("Submit", "ann", "", "", "p1", "1"),
        ("Submit", "ann", AT, ZONE, "p1", "0.5"),
        ("Submit", "ann", AT, ZONE, "p1", "A+"),
        ("Run.Program", "ann", AT, ZONE, "p1", "1"),
    )
    taken, records = taken_from(folder)
    assert taken.left_out == {"Compile.Error": 2, "no subject": 1, "no time": 1}
    assert +taken.changed == {
        "a partial score, taken as wrong": 1,
        "a score that is no number, taken as ungraded": 1,
        "a run with a score, taken as a submit": 1,
    }
    assert [(r["attempt_type"], r["is_correct"]) for r in records] == [
        ("submit", 0),
        ("submit", None),
        ("submit", 1),
    ]


@pytest.mark.parametrize(
    ("written", "zone", "utc"),
    [
        (AT, "+0300", "2019-03-09 01:58:39"),
        (AT, "-05:00", "2019-03-09 09:58:39"),
        (f"{AT}.250000+03:00", "", "2019-03-09 01:58:39.250000"),
        (AT, "0", "2019-03-09 04:58:39"),
    ],
)
def test_a_time_is_understood_with_its_zone_and_without_one_as_utc(
    tmp_path: Path, written: str, zone: str, utc: str
) -> None:
    _, [record] = taken_from(dataset(tmp_path, ("Submit", "ann", written, zone, "p1", "1")))
    assert record["created_at"] == utc


def test_where_the_server_has_no_clock_the_clients_counts(tmp_path: Path) -> None:
    heading = ("EventType", "SubjectID", "ClientTimestamp", "ServerTimestamp")
    folder = dataset(tmp_path, ("Submit", "ann", AT, ""), heading=heading)
    _, [record] = taken_from(folder)
    assert record["created_at"] == "2019-03-09 04:58:39"
    assert record["passback_params"] is None


@pytest.mark.parametrize("name", ["p1", "a:b", "50 % 'off'", 'with "quotes"', "Задача 1"])
def test_course_and_task_come_back_whatever_they_are_called(tmp_path: Path, name: str) -> None:
    heading = ("EventType", "SubjectID", "ServerTimestamp", "CourseID", "AssignmentID")
    folder = dataset(tmp_path, ("Submit", name, AT, name, name), heading=heading)
    _, [record] = taken_from(folder)
    prefix, sourcedid, _ = record["passback_params"].rsplit("'", 2)
    assert prefix == "{'oauth_consumer_key': '', 'lis_result_sourcedid': "
    assert cut_sourcedid(sourcedid) == (name, name, name)


def test_a_dataset_of_one_course_is_called_as_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "CS1-Spring"
    folder.mkdir()
    _, [record] = taken_from(dataset(folder, ("Submit", "ann", AT, ZONE, "p1", "1")))
    assert "CS1-Spring:p1:ann" in record["passback_params"]


@pytest.mark.parametrize("missing", ["EventType", "SubjectID", "ServerTimestamp"])
def test_a_table_without_what_is_needed_is_refused_with_its_name(
    tmp_path: Path, missing: str
) -> None:
    heading = [name for name in HEADING if name != missing]
    folder = dataset(tmp_path, heading, heading=heading)
    with pytest.raises(PermanentFault) as raised:
        taken_from(folder)
    assert missing in raised.value.cause()
    assert str(tmp_path) in raised.value.cause()


def test_a_folder_without_a_main_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PermanentFault) as raised:
        taken_from(tmp_path)
    assert raised.value.code == "api.dataset_unreadable"


def test_titles_are_taken_from_the_link_tables_once_and_links_only_of_the_web(
    tmp_path: Path,
) -> None:
    links = tmp_path / "LinkTables"
    links.mkdir()
    (links / "Course.csv").write_text(
        "CourseID,CourseTitle,CourseURL\nc,Python,https://a.example\nc,Again,\n", encoding="utf-8"
    )
    (links / "Problem.csv").write_text(
        "CourseID,ProblemID,ProblemTitle,ProblemURL\nc,p1,Loops,javascript:x\nc,p2,,\n",
        encoding="utf-8",
    )
    assert list(names_in(tmp_path)) == [
        ("c", "", "Python", "https://a.example"),
        ("c", "p1", "Loops", ""),
    ]


def test_a_dataset_without_link_tables_has_no_titles(tmp_path: Path) -> None:
    assert list(names_in(tmp_path)) == []
