"""A student who was erased is nowhere in the home, and comes back by no way that there is.

All is searched: every file, packed ones unpacked, and every row of every table, Dagster's and the
server's own too. Of the embedded PostgreSQL's folder only its log is read as a file: its tables
are read as tables, and its write-ahead log is not reached by an erasure, which says so.
"""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import text

from lms_assets.attempts.cleaning import CODE_VERSION
from lms_assets_tests.api_server import ApiServer, answer, as_bytes
from lms_assets_tests.day_loads import record
from lms_assets_tests.driving import secrets_in_database, secrets_in_folder
from lms_assets_tests.homes import Home, end, home, wait_until

STUDENT = "3583bf109f8b458e13ae1ac9d85c396a"
ESCAPED = "".join(f"%{ord(letter):02x}" for letter in STUDENT)
FIRST = date(2025, 3, 3)
LOADED, WRAPPED, CUT, LATE = (FIRST + timedelta(days=n) for n in (1, 2, 3, 4))
EARLIER_TABLE = """
create table lms_database (
    user_id text, oauth_consumer_key text, lis_result_sourcedid text,
    lis_outcome_service_url text, is_correct text, attempt_type text, created_at timestamptz
)
"""


def records_of(day: date) -> list[dict[str, Any]]:
    """A day on which the student tries in vain, spells itself oddly, and is refused once."""
    hours = [f"{hour:02d}:00:00" for hour in range(6, 18)]
    return [
        *(record(STUDENT, at=hour, correct=0, day=day) for hour in hours),
        record(STUDENT, at="18:00:00", is_correct="odd", day=day),
        record("eve", at="18:01:00", sourcedid_user=ESCAPED, day=day),
        *(record(f"{number:032x}", at="19:00:00", day=day) for number in range(20)),
    ]


@dataclass
class Grader:
    """The API: a day as it is, one in an object, one cut in the middle, one that comes late."""

    is_asked_late: threading.Event = field(default_factory=threading.Event)
    is_released: threading.Event = field(default_factory=threading.Event)

    def __call__(self, handler: Any) -> None:  # noqa: ANN401
        asked = parse_qs(urlsplit(handler.path).query)["start"][0][:10]
        records = records_of(date.fromisoformat(asked))
        if asked == str(WRAPPED):
            return answer({"attempts": records})(handler)
        if asked == str(CUT):
            return never_ending(as_bytes(records * 500))(handler)
        if asked == str(LATE):
            self.is_asked_late.set()
            self.is_released.wait(240)
        return answer(records)(handler)


def never_ending(body: bytes) -> Any:  # noqa: ANN401
    """So much of an answer, and then nothing more."""

    def behave(handler: Any) -> None:  # noqa: ANN401
        handler.send_response_only(200)
        handler.send_header("Content-Length", str(1 << 30))
        handler.end_headers()
        handler.wfile.write(body[:-1])
        handler.owner.closing.wait(240)

    return behave


@contextmanager
def grading(tmp_path: Path) -> Iterator[tuple[Home, Grader, Path]]:
    """A home that shows students in its workbook, the API, and the folder for temporary files."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    settings = {"lms_first_day": FIRST, "lms_sheet_students": 1, "tmpdir": temporary}
    grader = Grader()
    with ApiServer(grader) as api, home(api, **settings) as place:
        yield place, grader, temporary


def traces(place: Home, temporary: Path) -> list[str]:
    """Where the student stands, in the home, its database and the temporary files."""
    spelled = {"as it is": STUDENT, "escaped": ESCAPED}
    files = secrets_in_folder(place.folder, spelled)
    return [
        *(
            one
            for one in files
            if not one.startswith("postgres/") or one.startswith("postgres/log")
        ),
        *secrets_in_database(place.warehouse.server_url, spelled),
        *(f"temporary {one}" for one in secrets_in_folder(temporary, spelled)),
    ]


def ended_well(place: Home, *arguments: str) -> str:
    said = place.lms(*arguments)
    assert said.returncode == 0, (arguments, said.stdout, said.stderr)
    return said.stdout


def earlier_table(place: Home) -> None:
    """The table of an earlier system, with an attempt of the student and one of another."""
    row = (
        "insert into lms_database values (:user, '', :sourcedid, null, '1', 'submit', "
        "timestamptz '2024-05-01 09:00Z')"
    )
    with place.warehouse.begin() as connection:
        connection.execute(text(EARLIER_TABLE))
        for user in (STUDENT, "anna"):
            connection.execute(text(row), {"user": user, "sourcedid": f"c:t:{user}"})


def set_aside_again(place: Home) -> None:
    """A record of the student is in the quarantine, as an old copy of the table would bring it."""
    row = (
        "insert into rejected_records (day, reason, field, record, run_id) "
        "values (:day, 'is_correct_invalid', 'is_correct', :record, 'before')"
    )
    refused = json.dumps(record(STUDENT, at="20:00:00", day=FIRST))
    with place.warehouse.begin() as connection:
        connection.execute(text(row), {"day": FIRST, "record": refused})


def killed_in_the_middle_of_an_answer(place: Home, temporary: Path) -> None:
    killed = place.start("run", str(CUT))
    wait_until(lambda: secrets_in_folder(temporary, {"student": STUDENT}))
    end(killed, with_signal=signal.SIGKILL)


def test_after_an_erasure_the_student_is_in_no_file_and_no_table(tmp_path: Path) -> None:
    with grading(tmp_path) as (place, _, temporary):
        ended_well(place, "run", str(FIRST))
        mistaken = place.lms("query", f"select nothing from attempts where user_id = '{STUDENT}'")
        assert mistaken.returncode != 0
        killed_in_the_middle_of_an_answer(place, temporary)
        with place.warehouse.begin() as connection:
            connection.execute(text("analyze"))
        found = " ".join(traces(place, temporary))
        for where in (
            *("public.attempts", "public.rejected_records", "pg_catalog.pg_statistic"),
            *(
                "statistics.xlsx",
                ".json.zst",
                ".rejected.parquet",
                f"-v{CODE_VERSION}.parquet",
                "temporary lms",
            ),
        ):
            assert where in found, where

        ended_well(place, "erase", STUDENT, "--yes")

        assert traces(place, temporary) == []


@pytest.mark.slow
def test_an_erased_student_comes_back_by_no_way_that_there_is(tmp_path: Path) -> None:
    with grading(tmp_path) as (place, grader, temporary):
        ended_well(place, "backfill", str(FIRST), str(LOADED))
        assert place.lms("run", str(WRAPPED)).returncode == 1
        earlier_table(place)
        ended_well(place, "adopt", "--zone", "UTC")
        ended_well(place, "backup", str(tmp_path / "kept"))
        late = place.start("run", str(LATE))
        assert grader.is_asked_late.wait(120)

        ended_well(place, "erase", STUDENT, "--yes")
        assert traces(place, temporary) == []
        grader.is_released.set()
        assert late.wait(120) == 0
        assert traces(place, temporary) == []

        ended_well(place, "backfill", str(FIRST), str(LOADED), "--again")
        ended_well(place, "reclean", str(FIRST), str(LOADED))
        assert traces(place, temporary) == []
        set_aside_again(place)
        ended_well(place, "quarantine", "replay")
        assert traces(place, temporary) == []
        earlier_table(place)
        ended_well(place, "adopt", "--zone", "UTC")
        assert traces(place, temporary) == []
        ended_well(place, "restore", str(tmp_path / "kept"), "--yes")
        assert traces(place, temporary) == []
        [others] = place.rows("select count(distinct user_id) as n from attempts")
        assert others == {"n": 21}
