"""A line in the daily log is whole, in its day's file, masked, and gone when it is old."""

import json
import logging
import os
import re
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import pytest

from lms_assets.faults import PermanentFault
from lms_assets.faults.logs import (
    DailyLogHandler,
    LogSetup,
    configure_logging,
    delete_old_logs,
    stage,
)
from lms_assets.faults.masking import Mask
from lms_assets.settings import load_settings

MORNING = datetime(2026, 11, 22, 7, 0, 3, 123456, tzinfo=UTC)


@pytest.fixture
def setup(tmp_path: Path) -> LogSetup:
    folder = tmp_path / "logs"
    return LogSetup(folder=folder, zone=UTC, keep_days=3, form="text", mask=Mask(["sup3rs3cret"]))


@pytest.fixture
def log() -> logging.Logger:
    """A logger apart from all others: pytest's report, which no lone surrogate fits in, sees none.

    Its name is what a line says."""
    return logging.Logger("lms.attempts", logging.INFO)


def handled(log: logging.Logger, setup: LogSetup, *moments: datetime) -> DailyLogHandler:
    clock = iter(moments)
    handler = DailyLogHandler(setup, now=lambda: next(clock, moments[-1]))
    log.addHandler(handler)
    return handler


def written(setup: LogSetup) -> dict[str, str]:
    files = sorted(setup.folder.iterdir())
    return {file.name: file.read_text(encoding="utf-8") for file in files}


def test_a_record_is_one_line_with_time_level_and_logger(
    log: logging.Logger, setup: LogSetup
) -> None:
    handled(log, setup, MORNING)
    log.info("%d records", 1640)
    assert written(setup) == {
        "2026-11-22.log": "2026-11-22 07:00:03,123 INFO  lms.attempts: 1640 records\n"
    }


def test_a_day_ends_at_midnight_of_the_set_zone(log: logging.Logger, setup: LogSetup) -> None:
    moscow = replace(setup, zone=ZoneInfo("Europe/Moscow"))
    handled(
        log,
        moscow,
        datetime(2026, 11, 22, 20, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 11, 22, 21, 0, tzinfo=UTC),
    )
    log.info("last")
    log.info("first")
    assert written(setup) == {
        "2026-11-22.log": "2026-11-22 23:59:59,999 INFO  lms.attempts: last\n",
        "2026-11-23.log": "2026-11-23 00:00:00,000 INFO  lms.attempts: first\n",
    }


def test_files_dated_three_days_ago_or_earlier_are_deleted(
    log: logging.Logger, setup: LogSetup
) -> None:
    setup.folder.mkdir()
    kept = ["2026-11-20.log", "2026-11-21.log", "notes.log", "2026-11-01.txt", "2026-13-01.log"]
    for name in (*kept, "2026-11-19.log", "2025-01-01.log"):
        (setup.folder / name).touch()
    handled(log, setup, MORNING)
    log.info("today")
    assert sorted(written(setup)) == sorted([*kept, "2026-11-22.log"])


def test_old_files_are_deleted_at_midnight_too(log: logging.Logger, setup: LogSetup) -> None:
    days = [MORNING + timedelta(days=n) for n in range(6)]
    handled(log, setup, *days)
    for _ in days:
        log.info("x")
    assert list(written(setup)) == ["2026-11-25.log", "2026-11-26.log", "2026-11-27.log"]


def test_deleting_says_what_it_deleted(tmp_path: Path) -> None:
    (tmp_path / "2026-11-19.log").touch()
    assert delete_old_logs(tmp_path, date(2026, 11, 19)) == [tmp_path / "2026-11-19.log"]
    assert delete_old_logs(tmp_path, date(2026, 11, 19)) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_the_owner_may_read_a_log(log: logging.Logger, setup: LogSetup) -> None:
    handled(log, setup, MORNING)
    log.info("x")
    assert stat.S_IMODE((setup.folder / "2026-11-22.log").stat().st_mode) == 0o600
    assert stat.S_IMODE(setup.folder.stat().st_mode) == 0o700


def test_a_traceback_stays_with_its_message_and_is_masked(
    log: logging.Logger, setup: LogSetup
) -> None:
    handled(log, setup, MORNING)
    try:
        raise ValueError("https://api.example/?client_key=sup3rs3cret")
    except ValueError:
        log.exception("the pull failed with sup3rs3cret")
    (text,) = written(setup).values()
    lines = text.splitlines()
    assert lines[0] == "2026-11-22 07:00:03,123 ERROR lms.attempts: the pull failed with ***"
    assert lines[1] == "    Traceback (most recent call last):"
    assert lines[-1] == "    ValueError: https://api.example/?client_key=***"


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "evil",
    [
        "a\n2026-11-22 07:00:04,000 INFO  lms: forged",
        "a\r\nb",
        "a\x1b[2Kb",
        "a\x85b\u2028c",
        "\ud800",
    ],
    ids=ascii,
)
def test_a_message_cannot_forge_a_line(
    log: logging.Logger, setup: LogSetup, form: str, evil: str
) -> None:
    handled(log, replace(setup, form=form), MORNING)
    log.info(evil)
    (text,) = written(setup).values()
    starts = [line for line in text.splitlines() if not line.startswith("    ")]
    assert len(starts) == 1
    assert "\x1b" not in text


def test_json_lines_are_for_collectors(log: logging.Logger, setup: LogSetup) -> None:
    zone = timezone(timedelta(hours=3))
    handled(log, replace(setup, form="json", zone=zone), MORNING)
    log.warning("строка 1\nstring 2 sup3rs3cret")
    (text,) = written(setup).values()
    assert json.loads(text) == {
        "time": "2026-11-22T10:00:03.123+03:00",
        "level": "WARNING",
        "logger": "lms.attempts",
        "message": "строка 1\nstring 2 ***",
    }


def test_libraries_are_heard_from_warning_on(setup: LogSetup) -> None:
    handler = DailyLogHandler(setup, now=lambda: MORNING)
    for name, level in [("urllib3", 20), ("urllib3", 30), ("lms", 10), ("lms", 20), ("lmsx", 20)]:
        handler.handle(logging.LogRecord(name, level, "", 1, f"{name} {level}", (), None))
    (text,) = written(setup).values()
    assert re.findall(r": (.*)", text) == ["urllib3 30", "lms 20"]


def test_a_record_that_two_handlers_see_is_written_once(
    log: logging.Logger, setup: LogSetup
) -> None:
    handled(log, setup, MORNING)
    handled(log, setup, MORNING)
    log.info("once")
    (text,) = written(setup).values()
    assert text.count("once") == 1


def test_wrong_arguments_lose_no_record(setup: LogSetup) -> None:
    handler = DailyLogHandler(setup, now=lambda: MORNING)
    handler.handle(logging.LogRecord("lms", logging.INFO, "", 1, "%d rows", ("many",), None))
    (text,) = written(setup).values()
    assert text.endswith("lms: %d rows ('many',)\n")


def test_a_full_disk_stops_no_work(
    log: logging.Logger, setup: LogSetup, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a_file").touch()
    handled(log, replace(setup, folder=tmp_path / "a_file" / "logs"), MORNING)
    log.info("sup3rs3cret")
    assert capsys.readouterr().err.startswith("The daily log cannot be written: ")


WRITER = """
import logging, sys
from datetime import UTC, datetime
from pathlib import Path
from lms_assets.faults.logs import DailyLogHandler, LogSetup
from lms_assets.faults.masking import Mask
setup = LogSetup(folder=Path(sys.argv[1]), zone=UTC, keep_days=3, form="text", mask=Mask([]))
log = logging.getLogger("lms"); log.setLevel(logging.INFO)
turn = iter(range(10**9))
before, after = datetime(2026, 11, 22, 23, 59, 59, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
log.addHandler(DailyLogHandler(setup, now=lambda: before if next(turn) < 150 else after))
for n in range(300):
    log.info("%s %d %s", sys.argv[2], n, sys.argv[2] * 9000)
"""


def test_lines_of_several_processes_stay_whole_over_midnight(setup: LogSetup) -> None:
    command = [sys.executable, "-c", WRITER, str(setup.folder)]
    writers = [subprocess.Popen([*command, name]) for name in "abcd"]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0, 0]
    for name, numbers in (("2026-11-22.log", range(150)), ("2026-11-23.log", range(150, 300))):
        lines = written(setup)[name].splitlines()
        found = sorted(re.fullmatch(r".* lms: (\w) (\d+) (\1{9000})", line)[2] for line in lines)
        assert found == sorted(str(n) for n in numbers for _ in "abcd")


def test_a_stage_is_logged_with_its_facts_and_its_duration(
    log: logging.Logger, setup: LogSetup
) -> None:
    handled(log, setup, MORNING)
    with stage(log, "pull", day=date(2025, 7, 24)) as facts:
        facts["records"] = 1640
    (text,) = written(setup).values()
    assert re.search(
        r"INFO  lms.attempts: pull done: day=2025-07-24 records=1640 duration_s=[\d.]+\n$", text
    )
    assert isinstance(facts["duration_s"], float)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        (ValueError("the record of anna"), "ValueError"),
        (
            PermanentFault("mail.tls_failed", server="smtp.example.org", reason="x"),
            "mail.tls_failed",
        ),
    ],
)
def test_a_stage_that_fails_is_logged_without_the_errors_text(
    log: logging.Logger, setup: LogSetup, error: Exception, name: str
) -> None:
    handled(log, setup, MORNING)
    with pytest.raises(type(error)), stage(log, "merge", day="2025-07-24"):
        raise error
    (text,) = written(setup).values()
    assert f"ERROR lms.attempts: merge failed: day=2025-07-24 error={name} duration_s=" in text
    assert "anna" not in text


def test_the_process_logs_once_however_often_it_is_configured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = load_settings(demo=True, lms_home=tmp_path, lms_language="en")
    configure_logging(settings, now=lambda: MORNING)
    handler = configure_logging(settings, now=lambda: MORNING)
    try:
        logging.getLogger("lms.cli").info("hello")
        logging.getLogger("lms_assets.x").warning("there")
    finally:
        logging.getLogger().removeHandler(handler)
    text = (settings.lms_home / "logs" / "2026-11-22.log").read_text()
    assert re.findall(r"lms.*", text) == ["lms.cli: hello", "lms_assets.x: there"]


DAGSTER_YAML = """
telemetry: {enabled: false}
python_logs:
  managed_python_loggers: [lms]
  dagster_handler_config:
    handlers:
      daily: {class: lms_assets.faults.logs.DailyLogHandler}
"""


@dg.asset
def pulled(context: dg.AssetExecutionContext) -> None:
    context.log.info("the day is %s", "2025-07-24")
    with stage(logging.getLogger("lms.attempts"), "pull") as facts:
        facts["records"] = 3


@dg.asset(deps=[pulled])
def broken() -> None:
    raise ValueError("GET /?client_key=sup3rs3cret")


def test_dagster_writes_its_runs_into_the_daily_log_by_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LMS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LMS_DEMO", "1")
    (tmp_path / "dagster.yaml").write_text(DAGSTER_YAML)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        run = dg.materialize([pulled, broken], instance=instance, raise_on_error=False)
    (file,) = (tmp_path / "home" / "demo" / "logs").iterdir()
    text = file.read_text()
    told = [line.split(": ", 1)[1] for line in text.splitlines() if not line.startswith("    ")]
    tag = f"[{run.run_id[:8]}]"
    assert told[0].startswith(f"{tag} Started execution of run")
    assert told[1] == f"{tag} pulled: the day is 2025-07-24"
    assert told[2].startswith(f"{tag} pulled: pull done: records=3 duration_s=")
    assert told[3].startswith(f'{tag} pulled: Finished execution of step "pulled"')
    assert told[4] == f'{tag} broken: Execution of step "broken" failed.'
    assert told[5].startswith(f"{tag} Execution of run ")
    assert len(told) == 6
    assert text.count("ValueError: GET /?client_key=***") == 1
    assert "sup3rs3cret" not in text.replace('raise ValueError("GET /?client_key=sup3rs3cret")', "")
