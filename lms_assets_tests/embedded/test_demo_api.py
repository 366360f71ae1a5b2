import json
import statistics
import threading
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_assets.days import days_between
from lms_assets.embedded.demo_api import DemoApi, DemoGraderApi, days_in
from lms_assets.embedded.demo_students import DemoStudents
from lms_assets.faults import PermanentFault
from lms_assets.resources.grader_api import GraderApi
from lms_assets.statistics.alarms import COLLAPSED, SURGED, StudentDays, Task, judged_again

DATA = Path(__file__).parents[1] / "data"
REAL = DATA / "recodex_2017_attempts.json"
STUDENTS = DemoStudents(seed=1)
UTC = ZoneInfo("UTC")
HOUR, DAY, INSTANT = timedelta(hours=1), timedelta(days=1), timedelta(microseconds=1)
LONG_AGO, AHEAD = date(1990, 1, 1), date(2100, 1, 1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def of_day(day: str, students: DemoStudents = STUDENTS) -> list[bytes]:
    return list(students.between(at(day), at(day) + DAY - INSTANT))


def records_of(day: str) -> list[dict]:
    return [json.loads(text) for text in of_day(day)]


def ask(api: DemoApi, **params: str) -> requests.Response:
    given = {"client": api.client, "client_key": api.client_key} | params
    return requests.get(api.url, params=given, timeout=10)


# The contract


@pytest.mark.parametrize("wrong", [{"client": "x"}, {"client_key": "x"}, {"client_key": ""}])
def test_wrong_credentials_are_refused(wrong: dict[str, str]) -> None:
    with DemoApi() as api:
        answer = ask(api, start="2025-07-24", end="2025-07-25", **wrong)
    assert (answer.status_code, list(answer.json())) == (401, ["errors"])


def test_every_documented_form_of_a_moment_is_the_same_moment() -> None:
    forms = (
        "2025-07-24",
        "2025-07-24 00:00:00",
        "2025-07-24T00:00:00.0",
        "2025-07-24 00:00:00.000000",
    )
    with DemoApi() as api:
        bodies = {ask(api, start=form, end="2025-07-24T10:00:00").content for form in forms}
    assert len(bodies) == 1
    assert len(json.loads(bodies.pop())) > 100


@pytest.mark.parametrize(
    "start", ["", "yesterday", "2025-02-30", "2025-07-24 00:00:00Z", "24.07.25"]
)
def test_a_window_that_cannot_be_read_is_answered_with_errors_and_a_good_status(start: str) -> None:
    with DemoApi() as api:
        answer = ask(api, start=start, end="2025-07-25")
    assert (answer.status_code, list(answer.json())) == (200, ["errors"])


def test_nearly_every_record_has_the_five_keys_and_their_types() -> None:
    records = [record for n in range(20, 30) for record in records_of(f"2025-07-{n}")]
    regular = [
        record
        for record in records
        if list(record)
        == ["lti_user_id", "passback_params", "is_correct", "attempt_type", "created_at"]
        and len(record["lti_user_id"] or "") == 32
        and record["attempt_type"] in ("run", "submit")
        and (record["is_correct"] is None) == (record["attempt_type"] == "run")
        and str(record["passback_params"]).startswith("{'oauth_consumer_key': '', 'lis_result")
    ]
    assert 0.98 < len(regular) / len(records) < 1


def test_the_quirks_of_the_contract_occur_in_small_shares() -> None:
    records = [record for n in range(1, 31) for record in records_of(f"2025-06-{n:02}")]
    params = [record.get("passback_params", "absent") for record in records]
    texts = [text for text in params if text]
    twice = Counter((r["lti_user_id"], r["attempt_type"], r["created_at"]) for r in records)
    shares = {
        "null": params.count(None),
        "empty": params.count(""),
        "absent": params.count("absent"),
        "no outcome url": sum("lis_outcome_service_url" not in text for text in texts),
        "None inside": sum("None" in text for text in texts),
        "apostrophe": sum("\"Dijkstra's" in text for text in texts),
        "quoted": sum("course-v1%3A" in text for text in texts),
        "boolean": sum(isinstance(record["is_correct"], bool) for record in records),
        "whole second": sum("." not in record["created_at"] for record in records),
        "repeated": sum(count - 1 for count in twice.values()),
        "ungraded": sum(r["attempt_type"] == "submit" and r["is_correct"] is None for r in records),
        "invalid": sum(r["attempt_type"] == "run" and r["is_correct"] is not None for r in records),
        "no date": sum(record["created_at"].startswith("0000") for record in records),
    }
    assert {name: share for name, share in shares.items() if not share} == {}
    assert shares.pop("no outcome url") < 0.2 * len(records)
    assert max(shares.values()) < 0.02 * len(records)


def test_a_record_on_the_border_of_two_days_is_in_the_answer_for_either() -> None:
    days = [at("2025-07-01") + n * DAY for n in range(20)]
    both = [
        set(STUDENTS.between(day - DAY, day)) & set(STUDENTS.between(day, day + DAY))
        for day in days
    ]
    assert {len(shared) for shared in both} == {0, 1}


# The same answer


@given(st.dates(LONG_AGO, AHEAD), st.integers(0, 3))
@settings(max_examples=8, deadline=None)
def test_the_same_day_is_the_same_bytes_whoever_asked_what_before(day: date, seed: int) -> None:
    text = day.isoformat()
    fresh = of_day(text, DemoStudents(seed))
    others = DemoStudents(seed)
    of_day((day + 2 * DAY).isoformat(), others)
    assert of_day(text, others) == fresh
    assert fresh != of_day(text, DemoStudents(seed + 1))


@given(st.dates(LONG_AGO, AHEAD), st.lists(st.floats(0, 30), max_size=5))
@settings(max_examples=15, deadline=None)
def test_a_window_is_the_sum_of_its_parts(day: date, cuts_h: list[float]) -> None:
    start = at(day.isoformat())
    edges = [start, *sorted(start + cut * HOUR for cut in cuts_h), start + 30 * HOUR]
    parts = [STUDENTS.between(a, b - INSTANT) for a, b in pairwise(edges)]
    whole = list(STUDENTS.between(start, start + 30 * HOUR - INSTANT))
    assert [text for part in parts for text in part] == whole


# Lifelike


def test_a_weekday_has_about_2000_attempts_of_a_hundred_students_and_a_weekend_fewer() -> None:
    attempts: dict[int, list[int]] = defaultdict(list)
    students: dict[int, list[int]] = defaultdict(list)
    for n in range(56):
        day = at("2025-06-02") + n * DAY
        records = records_of(day.date().isoformat())
        attempts[day.weekday()].append(len(records))
        students[day.weekday()].append(len({record["lti_user_id"] for record in records}))
    for weekday in range(5):
        assert 1_500 < statistics.mean(attempts[weekday]) < 2_500
        assert 80 < statistics.mean(students[weekday]) < 150
    for weekday in (5, 6):
        assert 500 < statistics.mean(attempts[weekday]) < 1_200


def test_students_come_back_new_ones_join_and_some_stay_away() -> None:
    seen = [
        {
            record["lti_user_id"]
            for n in range(7)
            for record in records_of(f"2025-03-{first + n:02}")
        }
        for first in (3, 10, 17)
    ]
    first, second, third = seen
    assert len(first & second) > 0.4 * len(first)
    assert len(second - first) > 20
    assert len(first - second - third) > 20


def test_tasks_are_shared_and_success_grows_with_tries() -> None:
    tries: dict[tuple[str, str], list[int]] = defaultdict(list)
    students: dict[str, set[str]] = defaultdict(set)
    hours: Counter[str] = Counter()
    courses: set[str] = set()
    for n in range(28):
        for record in records_of((at("2025-02-03") + n * DAY).date().isoformat()):
            params = record.get("passback_params") or ""
            hours[record["created_at"][11:13]] += 1
            if record["attempt_type"] == "submit" and ":lms.example.org-" in params:
                course, _, rest = params.partition(":lms.example.org-")
                courses.add(course.rpartition("course-v1:")[2])
                students[rest[:32]].add(record["lti_user_id"])
                tries[record["lti_user_id"], rest[:32]].append(record["is_correct"] or 0)
    assert len({course for course in courses if "%" not in course and "'" not in course}) == 4
    assert max(len(who) for who in students.values()) > 50
    first_tries = statistics.mean(given[0] for given in tries.values())
    ever = statistics.mean(max(given) for given in tries.values())
    assert 0.3 < first_tries < 0.6
    assert 0.8 < ever < 0.98
    assert sum(not max(given) and len(given) >= 5 for given in tries.values()) > 20
    assert hours["17"] > 5 * hours["02"]


# Faulty tasks

FAULTY = at("2025-07-24")


def student_days(day: date, students: DemoStudents) -> dict[Task, StudentDays]:
    """How many tried each task on the day, and how many solved it."""
    solved: dict[tuple[Task, str], bool] = defaultdict(bool)
    for text in of_day(day.isoformat(), students):
        record = json.loads(text)
        course, found, rest = (record.get("passback_params") or "").partition(":lms.example.org-")
        if found and record["attempt_type"] == "submit" and record["is_correct"] is not None:
            task = Task("", course.rpartition("'")[2], rest[:32])
            solved[task, record["lti_user_id"]] |= bool(record["is_correct"])
    tasks = {task for task, _ in solved}
    verdicts = {task: [v for (of, _), v in solved.items() if of == task] for task in tasks}
    return {task: StudentDays(len(given), sum(given)) for task, given in verdicts.items()}


@pytest.mark.parametrize("newest", [date(2025, 7, 21) + n * DAY for n in range(7)], ids=str)
def test_three_days_show_one_broken_task_and_one_leaked_one_on_any_day_of_the_week(
    newest: date,
) -> None:
    students = DemoStudents(faults_from=at(newest.isoformat()))
    days = {day: student_days(day, students) for day in days_between(newest - 2 * DAY, newest)}
    first = newest - 2 * DAY
    verdicts = dict(judged_again(days, {}, first=first, last_changed=newest, as_of=newest))
    kinds = [alarm.kind for verdict in verdicts.values() for alarm in verdict.alarms.values()]
    assert sorted(kinds) == [COLLAPSED, SURGED]
    assert {alarm.since for alarm in verdicts[newest].alarms.values()} == {newest}


def test_before_its_faults_the_demo_is_as_if_there_were_none() -> None:
    faulty, well = DemoStudents(faults_from=FAULTY), DemoStudents()
    start = FAULTY - 3 * DAY
    assert list(faulty.between(start, FAULTY - INSTANT)) == list(
        well.between(start, FAULTY - INSTANT)
    )
    assert of_day("2025-07-24", faulty) != of_day("2025-07-24", well)


def test_a_faulty_day_is_the_same_bytes_whoever_asked_what_before() -> None:
    fresh, used = DemoStudents(faults_from=FAULTY), DemoStudents(faults_from=FAULTY)
    of_day("2025-07-30", used)
    assert of_day("2025-07-26", used) == of_day("2025-07-26", fresh)


def test_tasks_of_the_demo_have_a_number_in_their_course_and_those_that_turn_faulty_a_name() -> (
    None
):
    numbers: dict[str, list[int]] = defaultdict(list)
    names = []
    for course, _, name in STUDENTS.blocks():
        numbers[course] += [name] if isinstance(name, int) else []
        names += [name] if isinstance(name, str) else []
    assert names == ["quiz", "puzzle"]
    assert list(numbers.values()) == [list(range(1, 91))] * 4


# A recorded answer


def test_a_recorded_answer_comes_back_as_it_was_recorded_window_by_window(tmp_path: Path) -> None:
    got = []
    with DemoApi(records=REAL) as api:
        client = GraderApi(url=api.url, client=api.client, client_key=api.client_key)
        for day in days_in(REAL, UTC):
            start = at(day.isoformat())
            client.attempts_between(start, start + DAY, to=tmp_path / "day.json")
            got += json.loads((tmp_path / "day.json").read_bytes())
    assert got == json.loads(REAL.read_bytes())


def test_the_days_of_the_recorded_fortnight_are_those_with_attempts() -> None:
    known = json.loads((DATA / "recodex_2017_statistics.json").read_bytes())["01_days"]
    assert [day.isoformat() for day in days_in(REAL, UTC)] == sorted(known)


def test_a_recorded_day_is_one_of_the_zone(tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    path.write_text(
        '[{"created_at": "2025-07-24 21:30:00"}, {"created_at": "2025-07-24T20:00:00Z"}]'
    )
    assert days_in(path, UTC) == [date(2025, 7, 24)]
    assert days_in(path, ZoneInfo("Europe/Moscow")) == [date(2025, 7, 24), date(2025, 7, 25)]


def test_the_end_of_a_window_and_a_record_without_a_moment_are_placed(tmp_path: Path) -> None:
    path = tmp_path / "records.json"
    records = [
        b'{"created_at": "2025-07-23 23:59:59.999999"}',
        b'{ "created_at" : "2025-07-24", "x": 1.50e1, "y": "\\u00e9\\ud800" }',
        b'{"created_at": "0000-00-00 00:00:00", "z": NaN}',
        b"null",
        b'{"created_at": "2025-07-25 00:00:00"}',
    ]
    path.write_bytes(b"[" + b",\n".join(records) + b"]\n")
    with DemoApi(records=path) as api:
        body = ask(api, start="2025-07-24", end="2025-07-25").content
    assert body == b"[" + b", ".join(records[1:4]) + b"]"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"errors": []}',
        b"[1, 2]",
        b'[{"created": 1}]',
        b'[{"created_at": "20',
        b'[{"created_at": "2025-07-24 00:00:00"}, {"a": 01}]',
        b"\xff",
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_its_name(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "records.json"
    path.write_bytes(content)
    for use in (lambda: days_in(path, UTC), lambda: DemoApi(records=path)):
        with pytest.raises(PermanentFault) as raised:
            use()
        assert raised.value.code == "api.records_unreadable"
        assert "records.json" in raised.value.cause()


def test_a_file_that_is_not_there_is_refused_and_an_empty_recording_has_no_days(
    tmp_path: Path,
) -> None:
    with pytest.raises(PermanentFault) as raised:
        days_in(tmp_path / "gone.json", UTC)
    assert raised.value.code == "api.records_unreadable"
    (tmp_path / "empty.json").write_bytes(b"[]")
    assert days_in(tmp_path / "empty.json", UTC) == []


# The server and the resource


def test_questions_at_once_are_counted_and_all_held_back() -> None:
    with DemoApi(latency_s=0.3) as api:
        asking = [
            threading.Thread(
                target=ask, args=(api,), kwargs={"start": "2025-01-01", "end": "2025-01-01"}
            )
            for _ in range(4)
        ]
        for thread in asking:
            thread.start()
        for thread in asking:
            thread.join()
    assert (api.asked, api.max_seen_concurrency) == (4, 4)


def test_nothing_of_a_question_is_written_to_the_terminal(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with DemoApi(client_key="very-secret") as api:
        ask(api, start="2025-01-01", end="2025-01-01")
        ask(api, start="?", end="?")
    assert capfd.readouterr() == ("", "")


def test_the_resource_answers_as_the_real_one_does(tmp_path: Path) -> None:
    start, to = at("2025-07-24"), tmp_path / "day.json"
    answer = DemoGraderApi().attempts_between(start, start + DAY, to=to)
    assert to.read_bytes() == b"[" + b", ".join(STUDENTS.between(start, start + DAY)) + b"]"
    assert (answer.records, answer.size) == (len(json.loads(to.read_bytes())), to.stat().st_size)
    assert DemoGraderApi().check() > 0


def test_the_resource_notices_that_the_recording_is_another_one(tmp_path: Path) -> None:
    path, to, start = tmp_path / "records.json", tmp_path / "day.json", at("2025-07-24")
    for count in (1, 2):
        path.write_text(json.dumps([{"created_at": "2025-07-24 10:00:00"}] * count))
        api = DemoGraderApi(records=str(path))
        assert api.attempts_between(start, start + DAY, to=to).records == count
