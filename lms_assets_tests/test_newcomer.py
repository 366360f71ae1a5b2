"""What somebody sees who has nothing but a checkout: the demo, and what it is there to show."""

import csv
import email
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import openpyxl
import pytest
from playwright.sync_api import expect

from lms_assets_tests.browser import chromium
from lms_assets_tests.driving import Checkout, checkout

BROKEN, LEAKED = "Quiz of the day", "Puzzle of the day"
COURSES = {"Data Science", "Data Science Pro", "Python for the Web", "SQL"}


def demo_of(place: Checkout, *arguments: str) -> Path:
    said = place.lms("demo", *arguments)
    assert said.code == 0, said.err
    return place.home / "demo"


@pytest.fixture(scope="module")
def shown() -> Iterator[Path]:
    """The demo's home after the first call of a newcomer."""
    with checkout() as place:
        yield demo_of(place)


def letters(home: Path, kind: str) -> list[EmailMessage]:
    files = (home / "outbox").glob(f"*-{kind}-*.eml")
    return [email.message_from_bytes(file.read_bytes(), policy=default) for file in sorted(files)]


def text_of(letter: EmailMessage) -> str:
    body = letter.get_body(("plain",))
    assert body
    return str(body.get_content()).replace("\r\n", "\n")


def alarms_in_letter(home: Path) -> list[str]:
    """The lines of the letter's first section: the alarms of its newest day."""
    [letter] = letters(home, "history")
    assert str(letter["subject"]).endswith("2 task alarms")
    section = text_of(letter).split("\n\n")[1]
    return section.splitlines()[2:]


def test_the_letter_begins_with_the_broken_task_and_then_names_the_leaked_one(shown: Path) -> None:
    broken, leaked = alarms_in_letter(shown)
    assert broken.startswith(f"{BROKEN} (Data Science): ")
    assert leaked.startswith(f"{LEAKED} (Data Science): ")


def alarms_in_sheet(home: Path) -> list[tuple[object, ...]]:
    """Course, task, kind, how many tried it and how many solved it."""
    rows = openpyxl.load_workbook(home / "statistics.xlsx")["Alarms"].iter_rows(values_only=True)
    return [row[1:6] for row in rows if row[3] in ("collapsed", "surged")]


def test_the_sheet_shows_both_alarms(shown: Path) -> None:
    broken, leaked = alarms_in_sheet(shown)
    assert broken[:3] == ("Data Science", BROKEN, "collapsed")
    assert broken[4] == 0
    assert leaked[:3] == ("Data Science", LEAKED, "surged")
    assert leaked[3] == leaked[4]


def test_the_page_begins_with_both_alarms(shown: Path) -> None:
    with chromium() as browser:
        page = browser.new_page()
        page.goto((shown / "report.html").as_uri())
        rows = page.locator('#alarms [data-table="alarms"] tbody tr')
        expect(rows).to_have_count(2)
        expect(rows.nth(0)).to_contain_text(f"{BROKEN}Data Sciencecollapsed")
        expect(rows.nth(1)).to_contain_text(f"{LEAKED}Data Sciencesurged")


@pytest.mark.slow
def test_a_demo_with_a_sunday_writes_to_each_course_and_leaves_a_dataset_for_researchers() -> None:
    with checkout() as place:
        home = demo_of(place, "--days", "7")
        assert alarms_in_letter(home)[0].startswith(f"{BROKEN} (Data Science): ")
        assert [row[1] for row in alarms_in_sheet(home)][:2] == [BROKEN, LEAKED]
        subjects = [str(letter["subject"]) for letter in letters(home, "course")]
        assert {subject.partition("] ")[2].partition(":")[0] for subject in subjects} == COURSES
        newest = datetime.now(UTC).date() - timedelta(days=1)
        days = (f"{newest - timedelta(days=6)}", f"{newest}")
        to = place.folder / "dataset"
        said = place.lms("export", *days, "--to", str(to), "--as", "progsnap2")
        assert said.code == 0, said.err
        with (to / "LinkTables" / "Problem.csv").open(encoding="utf-8", newline="") as file:
            titles = [row["ProblemTitle"] for row in csv.DictReader(file)]
        assert {BROKEN, LEAKED} <= set(titles)
        said = place.lms("demo", "--records", str(to), LMS_HOME=str(place.folder / "again"))
        assert said.code == 0, said.err
        figures = "select day, attempts, users, correct, wrong from daily_statistics order by day"
        there_and_back = place.embedded("again/demo").rows(figures)
        assert there_and_back == place.embedded(".lms/demo").rows(figures)
