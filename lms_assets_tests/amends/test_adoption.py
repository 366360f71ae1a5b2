"""An earlier system's table is taken over: every row is an attempt or is set aside."""

import json
import resource
import sys
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import dagster as dg
import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lms_assets.amends.adoption import Adoption, adopt
from lms_assets.attempts.cleaning import clean_day
from lms_assets.attempts.keys import hash_of
from lms_assets.attempts.tombstones import Erasure
from lms_assets.days import Window, midnight
from lms_assets.faults import PermanentFault
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics.views import figure_views

NOW = datetime(2023, 6, 10, 9, tzinfo=UTC)
COURSE = "course-v1:Factory+SQL+1"
TASK = "lms.example.org-a7402acc9e67474b8a2fe6242b908c33"
URL = "https://lms.example.org/grade_handler"

COLUMNS = (
    "user_id",
    "oauth_consumer_key",
    "lis_result_sourcedid",
    "lis_outcome_service_url",
    "is_correct",
    "attempt_type",
    "created_at",
)
NAMES = "select relname from pg_class where relnamespace = 'public'::regnamespace order by 1"
PIPELINE = """
create table attempts (
    id serial primary key,
    user_id varchar(255) not null,
    oauth_consumer_key varchar(255),
    lis_result_sourcedid text,
    lis_outcome_service_url text,
    is_correct boolean,
    attempt_type varchar(10) not null check (attempt_type in ('run', 'submit')),
    created_at timestamp not null,
    constraint unique_attempt unique (user_id, attempt_type, created_at)
)
"""
ETL_PROJECT = """
create table lms_database (
    user_id text, oauth_consumer_key text, lis_result_sourcedid text,
    lis_outcome_service_url text, is_correct text, attempt_type text, created_at timestamptz
)
"""


def sourcedid(user: str) -> str:
    return f"{COURSE}:{TASK}:{user}"


def row(user: str | None, kind: str | None, at: str | None, verdict: object = None) -> list[object]:
    return [user, "", sourcedid(user or ""), URL, verdict, kind, at]


class Database:
    """The database as the earlier programs knew it."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg2.connect(url.replace("+psycopg2", ""))
        self.connection.autocommit = True
        self.execute("set timezone to 'UTC'")

    def execute(self, statement: str, values: list[Any] | None = None) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(statement, values)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def add(self, table: str, *rows: list[object]) -> None:
        for one in rows:
            values = ", ".join(["%s"] * len(COLUMNS))
            self.execute(f"insert into {table} ({', '.join(COLUMNS)}) values ({values})", one)

    def attempts(self) -> list[tuple[Any, ...]]:
        return self.rows(
            "select user_id, attempt_type, is_correct, created_at::text from attempts "
            "order by created_at, user_id"
        )

    def set_aside(self) -> list[tuple[Any, ...]]:
        return self.rows("select day::text, reason, field from rejected_records order by id")

    def books(self) -> list[tuple[Any, ...]]:
        return self.rows(
            "select day::text, received, inserted, rejected, stored from load_ledger order by id"
        )


@pytest.fixture
def database(database_url: str) -> Database:
    return Database(database_url)


@pytest.fixture
def pipeline(database: Database) -> Database:
    database.execute(PIPELINE)
    return database


@pytest.fixture
def etl_project(database: Database) -> Database:
    database.execute(ETL_PROJECT)
    return database


@pytest.fixture
def bare(database_url: str) -> Warehouse:
    return Warehouse(url=database_url)


def taken_over(
    warehouse: Warehouse, *, zone: str | None = None, day_zone: str = "UTC", **more: object
) -> tuple[Adoption, ...]:
    erasure = Erasure(key_file="/nowhere/erasure.key")
    return adopt(
        warehouse,
        zone_of_naive_times=zone,
        day_zone=day_zone,
        run_id="adoption",
        now=NOW,
        **{"erasure": erasure, **more},
    )


# ------------------------------------------------------------- the two tables


def test_attempts_of_the_pipeline_become_ours(bare: Warehouse, pipeline: Database) -> None:
    pipeline.add(
        "attempts",
        row("anna", "run", "2023-05-31 09:00:00.5"),
        row("anna", "submit", "2023-05-31 09:01:00", True),
        row("boris", "submit", "2023-06-01 00:00:00", False),
    )

    assert taken_over(bare) == (
        Adoption(
            source="lms_analytics_pipeline",
            rows_before=3,
            kept=3,
            set_aside={},
            erased=0,
            days=2,
            first_day=date(2023, 5, 31),
            last_day=date(2023, 6, 1),
            renamed_to="attempts_before_adoption",
        ),
    )
    assert pipeline.attempts() == [
        ("anna", "run", None, "2023-05-31 09:00:00.5"),
        ("anna", "submit", True, "2023-05-31 09:01:00"),
        ("boris", "submit", False, "2023-06-01 00:00:00"),
    ]
    assert pipeline.books() == [("2023-05-31", 2, 2, {}, 2), ("2023-06-01", 1, 1, {}, 1)]
    assert pipeline.rows("select distinct course, task from attempts") == [(COURSE, TASK)]


def test_lms_database_of_etl_project_becomes_ours(bare: Warehouse, etl_project: Database) -> None:
    etl_project.add(
        "lms_database",
        row("anna", "run", "2023-05-31 09:00:00+00"),
        row("anna", "submit", "2023-05-31 09:01:00+00", "1"),
        row("anna", "submit", "2023-05-31 09:02:00+00", "0.0"),
        row("anna", "submit", "2023-05-31 09:03:00+00", "1.0"),
        row("anna", "submit", "2023-05-31 09:04:00+00", "0"),
        row("anna", "submit", "2023-05-31 09:05:00+00", "NaN"),
        row("anna", "run", "2023-05-31 09:00:00+00"),
        row("anna", "submit", "2023-05-31 09:06:00+00", "2"),
    )

    (adoption,) = taken_over(bare, zone="UTC")

    assert (adoption.source, adoption.rows_before, adoption.kept) == ("etl_project", 8, 6)
    assert adoption.set_aside == {"adopted_duplicate": 1, "adopted_invalid": 1}
    assert adoption.renamed_to == "lms_database_before_adoption"
    assert [verdict for _, _, verdict, _ in etl_project.attempts()] == [
        None,
        True,
        False,
        True,
        False,
        None,
    ]
    assert etl_project.set_aside() == [
        ("2023-05-31", "adopted_duplicate", None),
        ("2023-05-31", "adopted_invalid", "is_correct"),
    ]
    assert etl_project.books() == [
        ("2023-05-31", 8, 6, {"adopted_duplicate": 1, "adopted_invalid": 1}, 6)
    ]


def test_the_utc_time_is_got_back_from_the_zone_of_the_session(
    bare: Warehouse, etl_project: Database
) -> None:
    etl_project.execute("set timezone to 'Europe/Moscow'")
    etl_project.add("lms_database", row("anna", "run", "2023-05-31 23:30:00.057570"))

    taken_over(bare, zone="Europe/Moscow", day_zone="Europe/Moscow")

    assert etl_project.attempts() == [("anna", "run", None, "2023-05-31 23:30:00.05757")]
    assert [day for day, *_ in etl_project.books()] == ["2023-06-01"]


def test_the_zone_of_lms_database_is_asked_for(bare: Warehouse, etl_project: Database) -> None:
    etl_project.add("lms_database", row("anna", "run", "2023-05-31 09:00:00+00"))

    with pytest.raises(PermanentFault) as fault:
        taken_over(bare)

    assert fault.value.code == "adoption.zone_needed"
    assert "--zone" in str(fault.value)
    assert etl_project.rows("select count(*) from lms_database") == [(1,)]


def test_a_zone_that_does_not_exist_is_refused(bare: Warehouse, etl_project: Database) -> None:
    with pytest.raises(PermanentFault, match="Moskow is no time zone"):
        taken_over(bare, zone="Europe/Moskow")


def test_times_without_a_zone_are_utc(bare: Warehouse, pipeline: Database) -> None:
    pipeline.add("attempts", row("anna", "run", "2023-05-31 23:30:00"))

    taken_over(bare, day_zone="Europe/Moscow")

    assert pipeline.attempts() == [("anna", "run", None, "2023-05-31 23:30:00")]
    assert [day for day, *_ in pipeline.books()] == ["2023-06-01"]


def test_times_without_a_zone_are_of_the_zone_that_is_given(
    bare: Warehouse, pipeline: Database
) -> None:
    pipeline.add("attempts", row("anna", "run", "2023-05-31 02:30:00"))

    taken_over(bare, zone="Europe/Moscow")

    assert pipeline.attempts() == [("anna", "run", None, "2023-05-30 23:30:00")]


@pytest.mark.parametrize(
    ("default", "given", "expected"),
    [
        ("UTC", None, "2023-05-31 09:00:00"),
        ("Europe/Moscow", "Europe/Moscow", "2023-05-31 12:00:00"),
        ("Europe/Moscow", "UTC", "2023-05-31 09:00:00"),
    ],
)
def test_attempts_with_instants_are_read_in_the_zone_of_the_session(
    bare: Warehouse, pipeline: Database, default: str, given: str | None, expected: str
) -> None:
    name = pipeline.rows("select current_database()")[0][0]
    pipeline.execute(f"alter database {name} set timezone to '{default}'")
    pipeline.execute("alter table attempts alter created_at type timestamptz")
    pipeline.add("attempts", row("anna", "run", "2023-05-31 09:00:00+00"))

    taken_over(bare, zone=given)

    assert pipeline.attempts() == [("anna", "run", None, expected)]


def test_the_zone_of_instants_is_asked_for_where_sessions_are_not_in_utc(
    bare: Warehouse, pipeline: Database
) -> None:
    name = pipeline.rows("select current_database()")[0][0]
    pipeline.execute(f"alter database {name} set timezone to 'Europe/Moscow'")
    pipeline.execute("alter table attempts alter created_at type timestamptz")

    with pytest.raises(PermanentFault, match="has Europe/Moscow in this database"):
        taken_over(bare)


def test_both_tables_are_adopted_and_the_pipelines_rows_come_first(
    bare: Warehouse, pipeline: Database
) -> None:
    pipeline.execute(ETL_PROJECT)
    pipeline.add("attempts", row("anna", "submit", "2023-05-31 09:00:00", True))
    pipeline.add(
        "lms_database",
        row("anna", "submit", "2023-05-31 06:00:00+00", "0.0"),
        row("boris", "submit", "2023-05-31 06:00:00+00", "0.0"),
    )

    first, second = taken_over(bare, zone="Europe/Moscow")

    assert (first.kept, first.set_aside) == (1, {})
    assert (second.kept, second.set_aside) == (1, {"adopted_duplicate": 1})
    assert pipeline.attempts() == [
        ("anna", "submit", True, "2023-05-31 09:00:00"),
        ("boris", "submit", False, "2023-05-31 09:00:00"),
    ]
    assert pipeline.books() == [
        ("2023-05-31", 1, 1, {}, 1),
        ("2023-05-31", 2, 1, {"adopted_duplicate": 1}, 2),
    ]
    watched = pipeline.rows("select watch->'adopted_conflicting' from load_ledger order by id")
    assert watched == [(0,), (1,)]


def test_lms_database_is_merged_into_a_table_that_is_ours_already(
    warehouse: Warehouse, etl_project: Database
) -> None:
    etl_project.add("attempts", row("anna", "submit", "2023-05-31 09:00:00", True))
    etl_project.add(
        "lms_database",
        row("anna", "submit", "2023-05-31 09:00:00+00", "1.0"),
        row("boris", "run", "2023-05-30 09:00:00+00"),
    )

    (adoption,) = taken_over(warehouse, zone="UTC")

    assert (adoption.kept, adoption.set_aside) == (1, {"adopted_duplicate": 1})
    assert len(etl_project.attempts()) == 2


def test_days_that_were_loaded_keep_their_rows_in_the_ledger(
    bare: Warehouse, pipeline: Database
) -> None:
    pipeline.add("attempts", row("anna", "run", "2023-05-31 09:00:00"))
    taken_over(bare)
    before = pipeline.rows("select * from load_ledger")
    pipeline.execute(ETL_PROJECT)
    pipeline.add("lms_database", row("anna", "run", "2023-05-31 09:00:00+00"))

    taken_over(bare, zone="UTC")

    assert pipeline.rows("select * from load_ledger order by id")[:1] == before
    assert pipeline.books()[1] == ("2023-05-31", 1, 0, {"adopted_duplicate": 1}, 1)


# ------------------------------------------------------------------- the rules

BROKEN = [
    ("user_id", row(None, "run", "2023-05-31 09:00:00+00")),
    ("user_id", row("", "run", "2023-05-31 09:00:00+00")),
    ("user_id", row("NaN", "run", "2023-05-31 09:00:00+00")),
    ("user_id", row("ю" * 256, "run", "2023-05-31 09:00:00+00")),
    ("attempt_type", row("anna", "Run", "2023-05-31 09:00:00+00")),
    ("attempt_type", row("anna", None, "2023-05-31 09:00:00+00")),
    ("is_correct", row("anna", "submit", "2023-05-31 09:00:00+00", "0.5")),
    ("is_correct", row("anna", "submit", "2023-05-31 09:00:00+00", "yes")),
    ("is_correct", row("anna", "run", "2023-05-31 09:00:00+00", "0.0")),
    ("record", [*row("anna", "run", "2023-05-31 09:00:00+00")[:3], "u" * 65536, None, "run", None]),
]


@pytest.mark.parametrize(("field", "broken"), BROKEN)
def test_a_row_that_breaks_a_rule_is_set_aside_whole(
    bare: Warehouse, etl_project: Database, field: str, broken: list[object]
) -> None:
    etl_project.add("lms_database", broken)

    (adoption,) = taken_over(bare, zone="UTC")

    assert adoption.set_aside == {"adopted_invalid": 1}
    assert [(reason, name) for _, reason, name in etl_project.set_aside()] == [
        ("adopted_invalid", field)
    ]
    record = json.loads(etl_project.rows("select record from rejected_records")[0][0])
    assert [record[name] for name in list(record)[:6]] == broken[:6]


@pytest.mark.parametrize(
    "moment",
    ["1999-12-31 23:59:59.999999", "2023-06-12 00:00:00", "infinity", "-infinity", "4713-01-01 BC"],
)
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati"])
def test_an_impossible_time_has_the_day_of_the_adoption(
    bare: Warehouse, pipeline: Database, moment: str, zone: str
) -> None:
    pipeline.execute("alter table attempts alter created_at type timestamptz")
    pipeline.add("attempts", row("anna", "run", moment))

    (adoption,) = taken_over(bare, zone="UTC", day_zone=zone)

    assert adoption.set_aside == {"adopted_invalid": 1}
    assert pipeline.set_aside() == [("2023-06-10", "adopted_invalid", "created_at")]
    assert pipeline.books() == []


def test_a_missing_time_has_the_day_of_the_adoption(bare: Warehouse, etl_project: Database) -> None:
    etl_project.add("lms_database", row("anna", "run", None))

    taken_over(bare, zone="UTC")

    assert etl_project.set_aside() == [("2023-06-10", "adopted_invalid", "created_at")]


@pytest.mark.parametrize("moment", ["2000-01-01 00:00:00", "2023-06-11 23:59:59.999999"])
def test_the_first_and_the_last_possible_time_are_kept(
    bare: Warehouse, pipeline: Database, moment: str
) -> None:
    pipeline.add("attempts", row("anna", "run", moment))

    assert taken_over(bare)[0].kept == 1


def test_a_day_of_which_every_row_was_refused_is_still_a_gap(
    bare: Warehouse, etl_project: Database
) -> None:
    etl_project.add(
        "lms_database",
        row("anna", "typo", "2023-05-30 09:00:00+00"),
        row("anna", "typo", "2023-05-31 09:00:00+00"),
        row("anna", "run", "2023-05-31 09:00:00+00"),
    )

    (adoption,) = taken_over(bare, zone="UTC")

    assert adoption.days == 1
    assert etl_project.books() == [("2023-05-31", 2, 1, {"adopted_invalid": 1}, 1)]


def test_a_missing_value_that_pandas_wrote_is_missing(
    bare: Warehouse, etl_project: Database
) -> None:
    etl_project.add(
        "lms_database", ["anna", "NaN", "NaN", "NaN", "NaN", "run", "2023-05-31 09:00:00+00"]
    )

    taken_over(bare, zone="UTC")

    assert etl_project.rows(
        "select oauth_consumer_key, lis_result_sourcedid, lis_outcome_service_url, course, task "
        "from attempts"
    ) == [(None, None, None, None, None)]


def test_a_set_aside_row_is_ascii_and_says_what_its_time_was_in_utc(
    bare: Warehouse, etl_project: Database
) -> None:
    etl_project.add("lms_database", row("анна 🎉", "бег", "2023-05-31 06:00:00+00"))

    taken_over(bare, zone="Europe/Moscow")

    record = etl_project.rows("select record from rejected_records")[0][0]
    assert record.isascii()
    assert json.loads(record) == {
        "user_id": "анна 🎉",
        "oauth_consumer_key": "",
        "lis_result_sourcedid": sourcedid("анна 🎉"),
        "lis_outcome_service_url": URL,
        "is_correct": None,
        "attempt_type": "бег",
        "created_at": "2023-05-31T06:00:00+00:00",
        "created_at_utc": "2023-05-31T09:00:00",
    }


def test_the_first_of_equal_keys_stays_and_the_others_that_differ_conflict(
    bare: Warehouse, etl_project: Database
) -> None:
    etl_project.add(
        "lms_database",
        row("anna", "submit", "2023-05-31 09:00:00+00", "0"),
        row("anna", "submit", "2023-05-31 09:00:00+00", "0.0"),
        row("anna", "submit", "2023-05-31 09:00:00+00", "1"),
    )

    (adoption,) = taken_over(bare, zone="UTC")

    assert adoption.set_aside == {"adopted_duplicate": 2}
    assert etl_project.attempts() == [("anna", "submit", False, "2023-05-31 09:00:00")]
    assert etl_project.rows("select watch from load_ledger") == [
        ({"adopted_from": "etl_project", "adopted_conflicting": 1, "ungraded": 0},)
    ]


def test_a_consumer_key_too_long_for_an_index_is_kept_without_a_task(
    bare: Warehouse, etl_project: Database
) -> None:
    one = row("anna", "run", "2023-05-31 09:00:00+00")
    etl_project.add("lms_database", [one[0], "k" * 3000, *one[2:]])

    taken_over(bare, zone="UTC")

    found = etl_project.rows("select length(oauth_consumer_key), course, task from attempts")
    assert found == [(3000, None, None)]


USERS = st.sampled_from(["anna", "boris", "", None, "x" * 256, "ю" * 255, "=1+1", 'a\nb,"c'])
MOMENTS = [
    None,
    "1999-12-31 23:59:59",
    "2000-01-01 00:00:00",
    "2023-05-31 09:00:00",
    "2023-05-31 09:00:00.000001",
    "2023-06-11 23:59:59.999999",
    "2023-06-12 00:00:00",
]
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "user_id": USERS,
            "oauth_consumer_key": st.sampled_from([None, "", "key", "k" * 600]),
            "lis_result_sourcedid": st.sampled_from(
                [None, "", "a:b", sourcedid("anna"), "course-v1%3AO%2BC:h-b:u", "{'data': 1}"]
            ),
            "lis_outcome_service_url": st.sampled_from([None, URL]),
            "is_correct": st.sampled_from([None, True, False]),
            "attempt_type": st.sampled_from(["run", "submit", "Submit", None]),
            "created_at": st.sampled_from(MOMENTS),
        }
    ),
    max_size=30,
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=ROWS)
def test_adoption_keeps_what_cleaning_keeps(
    bare: Warehouse, database: Database, rows: list[dict[str, Any]]
) -> None:
    database.execute("drop schema public cascade; create schema public")
    database.execute(PIPELINE)
    database.execute(
        "alter table attempts drop constraint unique_attempt, drop constraint "
        "attempts_attempt_type_check, alter user_id drop not null, alter attempt_type drop not "
        "null, alter created_at drop not null, alter user_id type text, "
        "alter oauth_consumer_key type text"
    )
    database.add("attempts", *([one[name] for name in COLUMNS] for one in rows))
    passback = ("oauth_consumer_key", "lis_result_sourcedid", "lis_outcome_service_url")
    records = [
        json.dumps(
            {
                "lti_user_id": one["user_id"],
                "passback_params": {name: one[name] for name in passback},
                **{name: one[name] for name in ("is_correct", "attempt_type", "created_at")},
            }
        ).encode()
        for one in rows
    ]
    tomorrow = datetime(2023, 6, 12)  # noqa: DTZ001
    window = Window(datetime(2000, 1, 1), tomorrow)  # noqa: DTZ001
    cleaned = list(clean_day([records], window=window, tomorrow=tomorrow))

    (adoption,) = taken_over(bare)

    names = cleaned[0].attempts.column_names
    expected = [tuple(row.values()) for row in cleaned[0].attempts.to_pylist()]
    found = database.rows(f"select {', '.join(names)} from attempts order by id")
    assert Counter(found) == Counter(expected)
    fates = cleaned[0].fates
    assert adoption.set_aside.get("adopted_duplicate", 0) == fates.duplicates
    assert adoption.set_aside.get("adopted_invalid", 0) == fates.rejected_in_all
    fields = [
        name
        for (name,) in database.rows(
            "select field from rejected_records where reason = 'adopted_invalid' order by id"
        )
    ]
    renamed = {"lti_user_id": "user_id"}
    expected_fields = [renamed.get(name, name) for name in cleaned[0].rejected["field"].to_pylist()]
    assert fields == expected_fields


# ---------------------------------------------------------- safe to repeat


def test_a_second_call_adopts_nothing(bare: Warehouse, pipeline: Database) -> None:
    pipeline.execute(ETL_PROJECT)
    pipeline.add("attempts", row("anna", "run", "2023-05-31 09:00:00"))
    pipeline.add("lms_database", row("anna", "run", "2023-05-31 09:00:00+00"))
    taken_over(bare, zone="UTC")
    before = (pipeline.attempts(), pipeline.set_aside(), pipeline.books())

    assert taken_over(bare, zone="UTC") == ()
    assert (pipeline.attempts(), pipeline.set_aside(), pipeline.books()) == before


def test_an_empty_database_has_nothing_to_adopt(bare: Warehouse, database: Database) -> None:
    assert taken_over(bare) == ()
    assert database.rows(NAMES) == []


class PulledPlug(BaseException):
    """Ends the process wherever it is."""


def test_a_crash_in_the_middle_leaves_the_database_unchanged(
    bare: Warehouse, pipeline: Database
) -> None:
    pipeline.add("attempts", row("anna", "run", "2023-05-31 09:00:00"))
    before = (pipeline.rows(NAMES), pipeline.rows("select * from attempts"))

    def crash(done: int, total: int) -> None:
        raise PulledPlug

    with pytest.raises(PulledPlug):
        taken_over(bare, progress=crash)

    assert (pipeline.rows(NAMES), pipeline.rows("select * from attempts")) == before
    assert taken_over(bare)[0].kept == 1


def test_progress_ends_at_all_rows(bare: Warehouse, pipeline: Database) -> None:
    pipeline.execute(ETL_PROJECT)
    pipeline.add("attempts", row("anna", "run", "2023-05-31 09:00:00"))
    pipeline.add(
        "lms_database",
        row("anna", "run", "2023-05-31 09:00:00+00"),
        row("boris", "run", "2023-05-31 09:00:00+00"),
    )
    told: list[tuple[int, int]] = []

    taken_over(bare, zone="UTC", progress=lambda done, total: told.append((done, total)))

    assert told == [(1, 3), (2, 3), (3, 3)]


def test_the_old_table_keeps_its_rows_and_goes_on_working(
    bare: Warehouse, pipeline: Database
) -> None:
    pipeline.execute("create index attempts_created_at on attempts (created_at)")
    pipeline.add("attempts", row("anna", "run", "2023-05-31 09:00:00"))
    before = pipeline.rows("select * from attempts")

    taken_over(bare)

    assert pipeline.rows("select * from attempts_before_adoption") == before
    pipeline.add("attempts_before_adoption", row("boris", "run", "2023-05-31 09:00:00"))
    assert pipeline.rows("select max(id) from attempts_before_adoption") == [(2,)]
    with pytest.raises(psycopg2.errors.UniqueViolation):
        pipeline.add("attempts_before_adoption", row("boris", "run", "2023-05-31 09:00:00"))


def test_the_pipeline_may_still_write_into_the_new_table(
    bare: Warehouse, pipeline: Database
) -> None:
    pipeline.add("attempts", row("anna", "run", "2023-05-31 09:00:00"))
    taken_over(bare)

    pipeline.execute(
        "insert into attempts (user_id, attempt_type, created_at) values "
        "('anna', 'run', '2023-05-31 09:00:00'), ('boris', 'run', '2023-05-31 09:00:00') "
        "on conflict (user_id, attempt_type, created_at) do nothing"
    )

    assert len(pipeline.attempts()) == 2


def test_a_name_that_is_taken_gets_a_number(bare: Warehouse, pipeline: Database) -> None:
    pipeline.execute("create table attempts_before_adoption (note text)")
    pipeline.execute(f'create index "{"ж" * 31}" on attempts (attempt_type)')
    pipeline.execute('create index "odd "":name" on attempts (is_correct)')

    assert taken_over(bare)[0].renamed_to == "attempts_before_adoption_2"


def test_ordinary_loading_goes_on_after_an_adoption(bare: Warehouse, pipeline: Database) -> None:
    pipeline.add("attempts", row("anna", "run", "2023-05-31 09:00:00"))

    taken_over(bare)
    bare.migrate(figure_views())

    assert len(pipeline.attempts()) == 1


# ------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "change",
    [
        "alter table attempts drop column is_correct",
        "alter table attempts add column score integer",
        "alter table attempts alter is_correct type text",
    ],
)
def test_a_table_that_is_not_known_is_refused(
    bare: Warehouse, pipeline: Database, change: str
) -> None:
    pipeline.execute(change)

    with pytest.raises(PermanentFault) as fault:
        taken_over(bare)

    assert fault.value.code == "adoption.unknown_table"
    assert "user_id character varying" in str(fault.value)
    assert "is_correct boolean" in str(fault.value.facts["expected"])
    assert pipeline.rows("select to_regclass('public.lms_assets_version')") == [(None,)]


def test_a_view_named_as_the_table_is_refused(bare: Warehouse, pipeline: Database) -> None:
    pipeline.execute("alter table attempts rename to stored")
    pipeline.execute("create view attempts as select * from stored")

    with pytest.raises(PermanentFault, match="not one that an earlier system made"):
        taken_over(bare)


def test_one_unknown_table_leaves_the_known_one_alone(bare: Warehouse, pipeline: Database) -> None:
    pipeline.execute("create table lms_database (note text)")
    pipeline.add("attempts", row("anna", "run", "2023-05-31 09:00:00"))

    with pytest.raises(PermanentFault, match="lms_database"):
        taken_over(bare)

    assert pipeline.rows("select count(*) from attempts") == [(1,)]


def test_days_cut_by_another_zone_are_refused(bare: Warehouse, pipeline: Database) -> None:
    pipeline.add("attempts", row("anna", "run", "2023-05-31 09:00:00"))
    taken_over(bare)
    pipeline.execute(ETL_PROJECT)

    with pytest.raises(PermanentFault) as fault:
        taken_over(bare, zone="UTC", day_zone="Europe/Moscow")

    assert fault.value.code == "settings.zone_changed"
    assert pipeline.rows("select count(*) from lms_database") == [(0,)]


# ----------------------------------------------------- zones, erased students


@pytest.mark.parametrize(
    "zone",
    ["UTC", "Europe/Moscow", "Europe/Berlin", "America/Sao_Paulo", "Asia/Beirut", "America/Havana"],
)
def test_the_window_of_an_adopted_day_is_the_one_that_the_partition_has(zone: str) -> None:
    days = dg.DailyPartitionsDefinition("2018-01-01", timezone=zone, end_date="2019-01-01")
    for key in days.get_partition_keys():
        window = days.time_window_for_partition_key(key)
        start = window.start.astimezone(UTC).replace(tzinfo=None)
        assert (key, midnight(date.fromisoformat(key), ZoneInfo(zone))) == (key, start)


KEY = b"k" * 32


def was_erased(database: Database, user_id: str) -> None:
    database.execute(
        "insert into tombstones (hash, key_check) values (%s, %s)",
        [hash_of(KEY, user_id), hash_of(KEY, "")],
    )


def test_rows_of_an_erased_student_are_dropped_and_counted(
    warehouse: Warehouse, etl_project: Database, tmp_path: Path
) -> None:
    key_file = tmp_path / "erasure.key"
    key_file.write_bytes(KEY)
    was_erased(etl_project, "anna")
    theirs = row("boris", "run", "2023-05-31 09:02:00+00")
    theirs[2] = sourcedid("anna")
    etl_project.add(
        "lms_database",
        row("anna", "run", "2023-05-31 09:00:00+00"),
        row("anna", "typo", "2023-05-31 09:01:00+00"),
        theirs,
        row("boris", "run", "2023-05-31 09:03:00+00"),
        row(None, "run", "2023-05-31 09:03:00+00"),
    )

    (adoption,) = taken_over(warehouse, zone="UTC", erasure=Erasure(key_file=str(key_file)))

    assert (adoption.kept, adoption.set_aside, adoption.erased) == (1, {"adopted_invalid": 1}, 3)
    assert [user for user, *_ in etl_project.attempts()] == ["boris"]
    assert etl_project.rows("select received, inserted, erased, rejected from load_ledger") == [
        (5, 1, 3, {"adopted_invalid": 1})
    ]
    assert etl_project.rows(f"select user_id from {adoption.renamed_to} order by 1") == [
        ("boris",),
        (None,),
    ]


def test_without_the_key_nothing_is_adopted_once_a_student_was_erased(
    warehouse: Warehouse, etl_project: Database
) -> None:
    was_erased(etl_project, "anna")
    etl_project.add("lms_database", row("anna", "run", "2023-05-31 09:00:00+00"))

    with pytest.raises(PermanentFault) as fault:
        taken_over(warehouse, zone="UTC")

    assert fault.value.code == "erasure.key_missing"


# ------------------------------------------------------------------- a million

MANY = """
select md5('u' || n % 5000), '', 'course-v1:O+C' || n % 5 || '+R:lms.example.org-'
        || md5('t' || n % 300) || ':' || md5('u' || n % 5000),
    'https://lms.example.org/courses/' || md5('t' || n % 300) || '/grade_handler',
    {verdict}, case when n % 2 = 0 then 'submit' else 'run' end,
    timestamp '2023-01-01' + n % {different} * interval '10 seconds'
from generate_series(1, 1000000) n
"""


@pytest.mark.slow
def test_a_million_rows_of_each_are_adopted_in_bounded_memory(
    bare: Warehouse, pipeline: Database
) -> None:
    pipeline.execute(ETL_PROJECT)
    pipeline.execute(
        f"insert into attempts ({', '.join(COLUMNS)})"
        + MANY.format(verdict="case when n % 2 = 0 then n % 3 = 0 end", different=1000000)
    )
    pipeline.execute("set timezone to 'Europe/Moscow'")
    pipeline.execute(
        f"insert into lms_database ({', '.join(COLUMNS)})"
        + MANY.format(verdict="case when n % 2 = 0 then '0.0' end", different=500000)
    )
    before_kib = peak_memory_kib()

    first, second = taken_over(bare, zone="Europe/Moscow")

    assert peak_memory_kib() - before_kib < 300 * 1024
    assert (first.rows_before, first.kept, first.set_aside) == (1000000, 1000000, {})
    assert (second.rows_before, second.kept) == (1000000, 0)
    assert second.set_aside == {"adopted_duplicate": 1000000}
    books = "select sum(received), sum(inserted), count(distinct day) from load_ledger"
    assert pipeline.rows(books) == [(2000000, 1000000, 116)]
    assert pipeline.rows("select count(*) from rejected_records") == [(1000000,)]
    assert pipeline.rows("select count(*) from attempts where task is null") == [(0,)]


def peak_memory_kib() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak
