"""The commands that mend what is loaded: what they ask, say and publish, and how they end."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from datetime import date
from threading import Event
from typing import Any

import pytest
from sqlalchemy import text

from lms_assets.attempts.merge import lock_day
from lms_assets_tests.api_server import ApiServer, answer
from lms_assets_tests.day_loads import record
from lms_assets_tests.driving import filled, secrets_in_database, secrets_in_folder, small_disk
from lms_assets_tests.homes import LMS, Grader, Home, end, home, wait_until

pytestmark = pytest.mark.slow

DAY, NEXT_DAY = "2025-03-01", "2025-03-02"
STUDENT, STRANGER = f"{1:032x}", f"{77:032x}"
FIGURES = "select day, attempts from daily_statistics order by day"
LMS_DATABASE = """
create table lms_database (
    user_id text, oauth_consumer_key text, lis_result_sourcedid text,
    lis_outcome_service_url text, is_correct text, attempt_type text, created_at timestamptz
)
"""


@pytest.fixture
def place() -> Iterator[Home]:
    with ApiServer(Grader()) as api, home(api, lms_first_day=DAY) as place:
        yield place


def set_aside(place: Home, day: str) -> None:
    """Three records that rules of before refused and today's do not."""
    with place.warehouse.begin() as connection:
        for number in range(3):
            refused = record(f"{100 + number:032x}", day=date.fromisoformat(day))
            connection.execute(
                text(
                    "insert into rejected_records (day, reason, field, record, run_id) "
                    "values (:day, 'is_correct_invalid', 'is_correct', :record, 'before')"
                ),
                {"day": day, "record": json.dumps(refused)},
            )


def figures(place: Home) -> dict[str, int]:
    return {str(row["day"]): row["attempts"] for row in place.rows(FIGURES)}


def attempts(place: Home) -> int:
    return int(place.rows("select count(*) as n from attempts")[0]["n"])


def lags(place: Home) -> bool:
    """Whether the sheet or the page shows less than the figures."""
    return bool(place.rows("select from unpublished_changes"))


def answered(place: Home, answer: str, *arguments: str) -> tuple[int, str]:
    """The command asked in a terminal; its exit code and what stood there."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(LMS), *arguments], env=place.environment, stdin=theirs, stdout=theirs, stderr=theirs
    )
    place.started.append(process)  # type: ignore[arg-type]
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    said = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # What Linux says when nobody is at the other end any more.
            break
        if not part:
            break
        said += part
    os.close(ours)
    return process.wait(60), said.decode()


def test_a_replay_that_was_interrupted_is_completed_and_published_by_the_next(
    place: Home,
) -> None:  # R9
    place.lms("backfill", DAY, NEXT_DAY)
    for day in (DAY, NEXT_DAY):
        set_aside(place, day)
    first_is_in = f"select from attempts where user_id = '{100:032x}'"
    with place.warehouse.begin() as other:
        lock_day(other, date.fromisoformat(NEXT_DAY))
        interrupted = place.start("quarantine", "replay")
        wait_until(lambda: place.rows(first_is_in))
        assert end(interrupted, with_signal=signal.SIGINT) == 130
    assert (attempts(place), figures(place)) == (13, {DAY: 5, NEXT_DAY: 5})

    said = place.lms("quarantine", "replay")

    assert (said.returncode, attempts(place)) == (0, 16)
    assert "3 records tried: 3 inserted" in said.stdout
    assert figures(place) == {DAY: 8, NEXT_DAY: 8}
    assert not lags(place)


def test_a_replay_killed_before_it_published_is_published_by_the_next(place: Home) -> None:  # R9
    place.lms("run", DAY)
    set_aside(place, DAY)
    with place.warehouse.begin() as other:
        # The figures are computed, and the publication cannot begin.
        other.execute(text("lock table dagster.runs in access exclusive mode"))
        killed = place.start("quarantine", "replay")
        wait_until(lambda: figures(place) == {DAY: 8})
        end(killed, with_signal=signal.SIGKILL)
    assert lags(place)

    said = place.lms("quarantine", "replay")

    assert said.returncode == 0, said.stderr
    assert not lags(place)


def test_adopted_days_are_in_the_figures_the_sheet_and_the_page(place: Home) -> None:  # R17
    with place.warehouse.begin() as connection:
        connection.execute(text(LMS_DATABASE))
        connection.execute(
            text(
                "insert into lms_database select 'anna', '', 'c:t:anna', null, '1', 'submit', "
                "timestamptz '2024-05-01 09:00Z' + n * interval '1 day' "
                "from generate_series(0, 9) n"
            )
        )

    said = place.lms("adopt", "--zone", "UTC")

    assert said.returncode == 0, said.stderr
    assert "10 rows, 10 kept" in said.stdout
    assert figures(place) == {f"2024-05-{n:02d}": 1 for n in range(1, 11)}
    assert (place.folder / "statistics.xlsx").is_file()
    assert (place.folder / "report.html").is_file()
    assert not lags(place)


def test_without_a_terminal_nobody_is_erased_unless_yes_is_given(place: Home) -> None:  # R30
    place.lms("run", DAY)

    said = place.lms("erase", STUDENT)

    assert (said.returncode, attempts(place)) == (2, 5)
    assert "give --yes" in said.stderr

    said = place.lms("erase", STUDENT, "--yes")

    assert (said.returncode, attempts(place)) == (0, 4), said.stderr
    assert "1 attempt, 0 refused records, 1 raw record in 1 answer removed" in said.stdout
    assert "write-ahead log" in said.stdout
    assert (figures(place), lags(place)) == ({DAY: 4}, False)


def test_in_a_terminal_an_erasure_says_how_much_and_asks(place: Home) -> None:  # R30
    place.lms("run", DAY)

    status, said = answered(place, "n", "erase", STUDENT)

    assert (status, attempts(place)) == (2, 5)
    assert "1 attempt and 0 refused records on 1 day" in said
    assert "Nothing was removed." in said
    assert answered(place, "y", "erase", STUDENT)[0] == 0
    assert attempts(place) == 4


def test_an_unknown_id_leaves_no_tombstone_unless_yes_is_given(place: Home) -> None:  # R30
    place.lms("run", DAY)
    tombstones = "select count(*) as n from tombstones"

    status, said = answered(place, "y", "erase", STRANGER)

    assert (status, place.rows(tombstones)) == (2, [{"n": 0}])
    assert "Nothing of this id is here." in said
    assert place.lms("erase", STRANGER, "--yes").returncode == 0
    assert place.rows(tombstones) == [{"n": 1}]


def test_who_was_erased_does_not_come_back_beside_a_neighbour_with_a_nul() -> None:  # R3
    ann, hidden, bob = (record(user, day=date.fromisoformat(DAY)) for user in ("ann", "ann\0", "b"))
    answers = answer([ann, bob]), answer([hidden, ann, bob])
    with ApiServer(*answers) as api, home(api, lms_first_day=DAY) as place:
        assert place.lms("run", DAY).returncode == 0
        assert place.lms("erase", "ann", "--yes").returncode == 0

        said = place.lms("run", DAY, "--json")

        assert said.returncode == 0, said.stderr
        told = json.loads(said.stdout.splitlines()[-1])
        assert (told["erased"], told["rejected"]) == (1, {"text_invalid": 1})
        assert place.rows("select user_id from attempts") == [{"user_id": "b"}]


def test_who_is_erased_while_the_api_answers_is_nowhere_when_the_pull_has_ended() -> None:  # R15
    student, other = f"{1:032x}", f"{2:032x}"
    asked, over = Event(), Event()

    def slow(handler: Any) -> None:  # noqa: ANN401
        asked.set()
        over.wait(120)
        day = date.fromisoformat(DAY)
        answer([record(user, day=day) for user in (student, other)])(handler)

    with ApiServer(slow) as api, home(api, lms_first_day=DAY) as place:
        pull = place.start("run", DAY)
        assert asked.wait(60)

        erased = place.lms("erase", student, "--yes")
        over.set()

        assert (erased.returncode, pull.wait(120)) == (0, 0), place.said("run")
        assert place.rows("select user_id from attempts") == [{"user_id": other}]
        assert place.rows("select erased from load_ledger") == [{"erased": 1}]
        url = place.warehouse.server_url
        assert secrets_in_database(url, {"the student": student}) == []
        assert secrets_in_folder(place.folder / "lake", {"the student": student}) == []


def test_an_answer_that_cannot_be_read_ends_an_erasure_as_work_that_failed(
    place: Home,
) -> None:  # R30
    place.lms("run", DAY)
    (answer,) = (place.folder / "lake" / "raw" / DAY).glob("*.json.zst")
    answer.write_bytes(b"cut")

    said = place.lms("erase", STUDENT, "--yes")

    assert (said.returncode, attempts(place)) == (1, 4)
    assert "cannot be read" in said.stderr


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="Only root may mount a disk")
def test_a_full_disk_under_an_erasure_is_told_and_no_answer_is_called_unreadable() -> None:
    with (
        small_disk(4) as disk,
        ApiServer(Grader()) as api,
        home(api, lms_first_day=DAY, lms_lake=disk / "lake") as place,
    ):
        place.lms("run", DAY)
        filling = filled(disk, left=0)

        said = place.lms("erase", STUDENT, "--yes")

        assert said.returncode == 1
        assert f"LMS_LAKE={disk / 'lake'}, on the disk at {disk}, cannot be" in said.stderr
        assert "erase the student again" in said.stderr
        assert "of no use" not in said.stderr

        filling.unlink()
        assert place.lms("erase", STUDENT, "--yes").returncode == 0
        assert secrets_in_folder(disk / "lake", {"the student": STUDENT}) == []


def test_an_erasure_that_cannot_be_published_fails_has_a_letter_and_is_published_later(
    place: Home,
) -> None:
    place.lms("run", DAY)
    workbook = place.folder / "statistics.xlsx"
    workbook.unlink()
    workbook.mkdir()
    before = place.letters()

    said = place.lms("erase", STUDENT, "--yes")

    assert (said.returncode, attempts(place)) == (1, 4)
    assert "Publication failed: " in said.stderr
    assert place.letters() == [*before, ("failure", "sent")]

    workbook.rmdir()
    assert place.lms("erase", STUDENT, "--yes").returncode == 0
    assert workbook.is_file()
    assert not lags(place)
