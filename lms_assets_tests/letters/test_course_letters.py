"""Each course's authors get their course's week, alone, once, without small groups."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from email.policy import default
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lms_assets.letters.channels import Letters
from lms_assets.letters.course_readers import CourseReaders, read_course_letters
from lms_assets.letters.messenger import Messenger
from lms_assets.resources.lake import Lake
from lms_assets.resources.mail import Mailer
from lms_assets.resources.warehouse import Warehouse
from lms_assets.settings import Settings, SettingsError
from lms_assets.statistics import measures
from lms_assets.systems import resources
from lms_assets_tests.day_loads import COURSE, body_of, cleaned, merged, record, stored
from lms_assets_tests.smtp_server import post_office

SUNDAY = date(2025, 7, 20)
NOW = datetime(2025, 7, 21, 8, tzinfo=UTC)


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


class Department:
    """Courses whose days are loaded, and whoever writes to their authors."""

    def __init__(self, instance: dg.DagsterInstance, warehouse: Warehouse, home: Path) -> None:
        self.warehouse, self.lake = warehouse, Lake(url=str(home / "lake"))
        file = home / "courses.csv"
        file.write_text(
            f"course,recipients,language\n{COURSE},ann@example.org;bob@example.org,ru\n"
            "course-v1:None+Such+Course,eve@example.org,\n",
            encoding="utf-8",
        )
        own = Settings(lms_home=home, lms_course_letters=file, _env_file=None, is_demo=True)
        systems = resources(own) | {"course_letters": read_course_letters(file)}
        self.messenger = Messenger(own, warehouse, instance, systems)

    def loads(self, day: date, students: int, *, as_of: date | None = None) -> None:
        """So many students solved the task that day."""
        records = [record(f"user{n}", day=day, correct=n % 2) for n in range(students)]
        answer = stored(self.lake, body_of(records), records=students, day=day)
        merged(self.warehouse, self.lake, cleaned(self.lake, answer), run_id=f"run-{day}")
        with self.warehouse.begin() as connection:
            measures.refresh(connection, [day], zone="UTC", as_of=as_of or day)

    def letters(self) -> list[dict[str, Any]]:
        self.messenger.tell_of_courses(now=NOW)
        return self.warehouse.rows("select * from letters order by id")


@pytest.fixture
def department(instance: dg.DagsterInstance, warehouse: Warehouse, tmp_path: Path) -> Department:
    return Department(instance, warehouse, tmp_path)


def test_a_courses_readers_get_its_letter_once_a_sunday_is_in(department: Department) -> None:
    department.loads(SUNDAY - timedelta(days=1), 6)
    assert department.letters() == []
    department.loads(SUNDAY, 12)
    (letter,) = department.letters()
    assert (letter["kind"], letter["day"]) == ("course", SUNDAY)
    assert letter["recipients"] == ["ann@example.org", "bob@example.org"]
    assert letter["subject"] == "[LMS attempts] Org+Course+Run: неделя по 2025-07-20"
    assert letter["facts"]["week"]["users"] == 12
    assert letter["facts"]["week"]["attempts"] == 18
    assert len(department.letters()) == 1


def test_a_history_has_a_letter_for_its_newest_sunday_alone(department: Department) -> None:
    for weeks in (3, 2, 1, 0):
        department.loads(SUNDAY - timedelta(weeks=weeks), 6)
    (letter,) = department.letters()
    assert letter["day"] == SUNDAY
    assert letter["facts"]["week_before"]["users"] == 6


@pytest.mark.parametrize(("days_later", "letters"), [(7, 1), (8, 0)])
def test_a_sunday_over_seven_days_old_has_no_letter(
    department: Department, days_later: int, letters: int
) -> None:
    department.loads(SUNDAY, 6, as_of=SUNDAY + timedelta(days=days_later))
    assert len(department.letters()) == letters


def test_a_week_whose_figures_lag_waits(department: Department) -> None:
    department.loads(SUNDAY, 6)
    with department.warehouse.begin() as connection:
        connection.exec_driver_sql("insert into lagging_days (day) values ('2025-07-20')")
    assert department.letters() == []


def test_fewer_than_five_students_are_not_shown(department: Department) -> None:
    department.loads(SUNDAY, 4)
    (letter,) = department.letters()
    facts = letter["facts"]
    assert (facts["week"], facts["hardest"], facts["stuck"], facts["recent"]) == ({}, [], [], [])


def test_the_letter_reaches_the_courses_readers_and_no_one_else(department: Department) -> None:
    department.loads(SUNDAY, 12)
    department.letters()
    with post_office() as office:
        mail = Mailer(
            server="127.0.0.1",
            port=office.port,
            sender="robot@example.org",
            recipients=["boss@example.org"],
        )
        department.messenger.__dict__["channels"] = [Letters(mail)]
        department.messenger.send(now=datetime.now(UTC))
    (delivery,) = office.deliveries
    assert delivery.recipients == ["ann@example.org", "bob@example.org"]
    body = delivery.letter.get_body(("plain",))
    assert body is not None
    text = body.get_content()
    assert "Самые трудные задачи, по решению с первого раза" in text
    assert "user1" not in delivery.letter.as_string(policy=default)


HEADING = "course,recipients,language\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("course;recipients\n", "line 1 must be the heading course,recipients,language"),
        (HEADING + "c,ann@example.org\n", "line 2 has 2 columns instead of 3"),
        (HEADING + ",ann@example.org,en\n", "line 2 names no course"),
        (HEADING + "c,,en\n", "line 2 must name mail addresses, separated by ';'"),
        (HEADING + "c,ann,en\n", "line 2 must name mail addresses, separated by ';'"),
        (HEADING + "c,a@b.example,de\n", "line 2 must give one of the languages en, ru"),
        (HEADING + "c,a@b.example,\n\nc,x@b.example,\n", "line 4 names again the course"),
        (HEADING + 'c,"a@b.example,en\n', "line 2 is not CSV"),
    ],
)
def test_a_wrong_line_of_the_file_is_named(tmp_path: Path, content: str, reason: str) -> None:
    file = tmp_path / "courses.csv"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(SettingsError, match=reason.replace("'", ".")):
        read_course_letters(file)


def test_a_file_of_a_spreadsheet_program_is_read(tmp_path: Path) -> None:
    file = tmp_path / "courses.csv"
    content = f"\ufeff{HEADING}c , a@b.example; x@b.example ,ru\r\n,,\r\n".replace("\n", "\r\n")
    file.write_bytes(content.encode())
    lines = read_course_letters(file).lines
    assert lines == (CourseReaders("c", ("a@b.example", "x@b.example"), "ru"),)
