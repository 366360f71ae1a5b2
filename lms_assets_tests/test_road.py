"""The whole road as its users drive it: a command, and what stands everywhere afterwards."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import openpyxl
import psycopg2
import pytest
import trustme

from lms_assets.resources.warehouse import Warehouse
from lms_assets_tests.api_server import ApiServer, answer, free_port, hang
from lms_assets_tests.day_loads import record
from lms_assets_tests.driving import (
    Checkout,
    Said,
    checkout,
    connected,
    kill,
    secrets_in_database,
    secrets_in_folder,
    until,
)
from lms_assets_tests.sheets_server import SheetsServer
from lms_assets_tests.smtp_server import LOGIN, PostOffice, dialogue, post_office, talking

DAY = date(2025, 7, 24)
RECORDED = Path(__file__).parent / "data" / "recodex_2017_attempts.json"

# ------------------------------------------------------------------ the demo


@pytest.fixture(scope="module")
def fortnight() -> Iterator[tuple[Checkout, Said, Said]]:
    """The demo on the recorded fortnight, twice."""
    with checkout() as place:
        first = place.lms("demo", "--records", str(RECORDED))
        yield place, first, place.lms("demo", "--records", str(RECORDED))


def test_the_demo_loads_the_recorded_fortnight_with_its_figures_of_volume(
    fortnight: tuple[Checkout, Said, Said], known: dict[str, Any]
) -> None:
    place, first, _ = fortnight
    assert first.code == 0, first.err
    assert place.query("select count(*), count(distinct day) from load_ledger") == ["26,13"]
    assert place.query("select count(*) from attempts") == ["1000"]
    expected = [
        f"{day},{n['attempts']},{n.get('run', 0)},{n['submit']},"
        f"{n.get('correct', 0)},{n.get('wrong', 0)},{n.get('ungraded', 0)}"
        for day, n in sorted(known["01_days"].items())
    ]
    columns = "day, attempts, runs, submits, correct, wrong, ungraded"
    assert place.query(f"select {columns} from daily_statistics order by day") == expected


def test_the_demo_run_again_changes_nothing_and_says_so(
    fortnight: tuple[Checkout, Said, Said],
) -> None:
    place, first, second = fortnight
    assert second.code == 0, second.err
    assert "Nothing changed" in second.out
    assert "Nothing changed" not in first.out
    assert place.query(
        "select sum(inserted), sum(updated), sum(unchanged) from load_ledger group by run_id "
        "in (select run_id from load_ledger where inserted > 0) order by 1 desc"
    ) == ["1000,0,0", "0,0,1000"]


def test_the_demo_leaves_one_letter_each_time_the_workbook_and_the_page(
    fortnight: tuple[Checkout, Said, Said],
) -> None:
    place, first, _ = fortnight
    demo = place.home / "demo"
    assert len(list((demo / "outbox").glob("*.eml"))) == 2
    workbook = openpyxl.load_workbook(demo / "statistics.xlsx")
    assert [row[1] for row in _days_of(workbook)] == _attempts_of_days(place)
    assert "</html>" in (demo / "report.html").read_text(encoding="utf-8")
    for said in ("statistics.xlsx", "outbox", "report.html", "daily_statistics"):
        assert said in first.out


def _days_of(workbook: openpyxl.Workbook) -> list[list[Any]]:
    """The rows of the tab of days, oldest first: day and attempts."""
    tab = next(sheet for sheet in workbook if sheet.max_row == 14)
    rows = [[cell.value for cell in row] for row in tab.iter_rows(min_row=2)]
    return sorted(rows, key=lambda row: row[0])


def _attempts_of_days(place: Checkout) -> list[int]:
    return [int(n) for n in place.query("select attempts from daily_statistics order by day")]


def test_each_load_of_the_demo_is_in_the_ledger_with_its_balance(
    fortnight: tuple[Checkout, Said, Said],
) -> None:
    place, _, _ = fortnight
    unbalanced = """
        select day from load_ledger where received <> inserted + updated + unchanged + duplicates
        + outside_window + erased
        + coalesce((select sum(value::int) from jsonb_each_text(rejected)), 0)
    """
    assert place.query(unbalanced) == []


def test_every_asset_of_the_fortnight_shows_as_materialized(
    fortnight: tuple[Checkout, Said, Said],
) -> None:
    place, _, _ = fortnight
    materialized = """
        select asset_key, count(distinct partition) from dagster.event_logs
        where dagster_event_type = 'ASSET_MATERIALIZATION' group by 1 order by 1
    """
    assert place.query(materialized) == [
        '"[""attempts_table""]",13',
        '"[""cleaned_attempts""]",13',
        '"[""daily_statistics""]",13',
        '"[""raw_attempts""]",13',
        '"[""statistics_page""]",1',
        '"[""statistics_sheet""]",1',
    ]


def test_the_demo_of_made_up_students_fills_the_newest_whole_day_whatever_is_configured() -> None:
    configured = {
        "API_URL": "http://127.0.0.1:9/attempts",
        "API_CLIENT": "client",
        "API_CLIENT_KEY": "key",
        "DB_HOST": "127.0.0.1",
        "DB_PORT": "9",
        "DB_NAME": "real",
        "DB_USER": "real",
    }
    with checkout(**configured) as place:
        said = place.lms("demo", "--days", "1")
        assert said.code == 0, said.err
        place.variables = {}
        loaded = "select received > 100, inserted > 100, day from load_ledger"
        assert place.query(loaded) == [f"t,t,{_yesterday()}"] or place.query(loaded) == [
            f"True,True,{_yesterday()}"
        ]
        assert list((place.home / "demo" / "outbox").glob("*.eml"))


def _yesterday() -> date:
    from datetime import UTC, datetime, timedelta

    return datetime.now(UTC).date() - timedelta(days=1)


@pytest.fixture
def known(data: Path) -> dict[str, Any]:
    """What an independent computation of the figures gives on the recorded fortnight."""
    import json

    found: dict[str, Any] = json.loads((data / "recodex_2017_statistics.json").read_text())
    return found
