"""Daily log files: events with durations, counts and tracebacks, and no secrets.

Dagster makes :class:`DailyLogHandler` by its dotted name, without arguments, from
``python_logs.dagster_handler_config`` of ``dagster.yaml``. No ``level`` stands there, because
Dagster reports the start and the end of a run at DEBUG. Our own processes get the handler from
:func:`configure_logging`.
"""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from lms_assets.faults import Fault
from lms_assets.faults.masking import Mask
from lms_assets.settings import Settings, SettingsError, load_settings

if TYPE_CHECKING:
    from dagster import DagsterEvent
    from dagster_shared.error import SerializableErrorInfo

OWN = "lms"
_OWN_NAMES = (OWN, "lms_assets", "dagster")
_ROOT_OF_OWN = re.compile(rf"^({'|'.join(_OWN_NAMES)})(\.|$)")
_NOT_PRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_CONTINUED = "\n    "

# The Dagster events that are logged, and at which level. Dagster's page shows all events.
_LEVEL_OF_EVENT = {
    "PIPELINE_START": logging.INFO,
    "PIPELINE_SUCCESS": logging.INFO,
    "PIPELINE_FAILURE": logging.ERROR,
    "PIPELINE_CANCELED": logging.WARNING,
    "STEP_SUCCESS": logging.INFO,
    "STEP_FAILURE": logging.ERROR,
    "STEP_UP_FOR_RETRY": logging.WARNING,
    "HOOK_ERRORED": logging.ERROR,
}


def _utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class LogSetup:
    """Where and how a process logs.

    Attributes:
        folder: Holds one file a day, ``YYYY-MM-DD.log``.
        zone: The zone of the days and of the times in the lines.
        keep_days: Files dated today − ``keep_days`` or earlier are deleted.
        form: Lines for people (``text``) or for log collectors (``json``).
        mask: Removes the secrets.
    """

    folder: Path
    zone: tzinfo
    keep_days: int
    form: Literal["text", "json"]
    mask: Mask

    @classmethod
    def of(cls, settings: Settings) -> "LogSetup":
        """As the settings say."""
        return cls(
            folder=settings.lms_home / "logs",
            zone=settings.zone,
            keep_days=settings.lms_log_days,
            form=settings.lms_log_format,
            mask=Mask(settings.secret_values),
        )


@dataclass(frozen=True)
class Entry:
    """The content of one log record, not masked yet.

    Attributes:
        run: The first eight characters of Dagster's run id, where there is a run.
        step: The asset or check that was at work, where there is one.
        traceback: With its causes, several lines; empty where nothing was raised.
    """

    level: int
    logger: str
    message: str
    run: str = ""
    step: str = ""
    traceback: str = ""


class DailyLogHandler(logging.Handler):
    """Each record is written whole to the file of its day, even if other processes write too.

    A record is one ``write`` at the end of the file, which the operating system does not divide.
    The file is opened anew for each record. So no line is lost to another process, to midnight
    or to a file that was deleted meanwhile.

    Args:
        setup: Where and how to log. Dagster leaves it out; then the settings say it at the first
            record.
        now: The clock; aware.
    """

    def __init__(
        self, setup: LogSetup | None = None, *, now: Callable[[], datetime] = _utc_now
    ) -> None:
        super().__init__()
        self._setup = setup
        self._now = now
        self._swept_on: date | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """The record is in the log, unless it is noise or another handler of this class wrote it.

        A record of one of our loggers comes here twice when Dagster captures that logger too.
        """
        if getattr(record, "is_in_daily_log", False):
            return
        record.is_in_daily_log = True
        entry = entry_of(record)
        if entry is None:
            return
        try:
            self._write(entry)
        except (OSError, SettingsError) as error:
            self._complain(error)

    def _write(self, entry: Entry) -> None:
        if self._setup is None:
            self._setup = LogSetup.of(load_settings())
        setup, moment = self._setup, self._now().astimezone(self._setup.zone)
        setup.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        line = _lines(setup.form)(entry, moment, setup.mask.mask)
        _append(setup.folder / f"{moment:%Y-%m-%d}.log", line.encode("utf-8", "backslashreplace"))
        if self._swept_on != moment.date():
            self._swept_on = moment.date()
            delete_old_logs(setup.folder, moment.date() - timedelta(days=setup.keep_days))

    def _complain(self, error: Exception) -> None:
        """Stderr says that the log cannot be written; the work goes on.

        ``logging.Handler.handleError`` would show the record with its arguments, unmasked.
        """
        if logging.raiseExceptions and sys.stderr:
            sys.stderr.write(f"The daily log cannot be written: {error}\n")


def configure_logging(
    settings: Settings, *, now: Callable[[], datetime] = _utc_now
) -> DailyLogHandler:
    """Our loggers and the libraries' warnings in this process write to the daily log.

    A second call replaces the first call's handler.
    """
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, DailyLogHandler)]:
        root.removeHandler(handler)
    handler = DailyLogHandler(LogSetup.of(settings), now=now)
    root.addHandler(handler)
    logging.getLogger(OWN).setLevel(logging.INFO)
    return handler


@contextmanager
def stage(log: logging.Logger, name: str, **about: object) -> Iterator[dict[str, object]]:
    """The log has a line for the stage's end, with its duration and the facts from the block.

    ``with stage(log, "pull", day=day) as facts: facts["records"] = 1640`` gives the line
    ``pull done: day=2025-07-24 records=1640 duration_s=27.813``; afterwards the facts hold
    ``duration_s`` (seconds) too. If the block raises, the line says ``failed`` with the fault's
    code or the error's type, never the error's text: that may quote a student's record.
    """
    facts: dict[str, object] = dict(about)
    started = time.perf_counter()
    outcome, level = "failed", logging.ERROR
    try:
        yield facts
        outcome, level = "done", logging.INFO
    except BaseException as error:
        facts["error"] = error.code if isinstance(error, Fault) else type(error).__name__
        raise
    finally:
        facts["duration_s"] = round(time.perf_counter() - started, 3)
        listed = " ".join(f"{key}={value}" for key, value in facts.items())
        log.log(level, "%s %s: %s", name, outcome, listed)


def entry_of(record: logging.LogRecord) -> Entry | None:
    """The log entry of a record, or None where the record is noise.

    The log keeps our records from INFO on and a library's from WARNING on. Of Dagster's events it
    keeps a run's start and end, a step's end, and every event that carries an error.
    """
    event: DagsterEvent | None = getattr(record, "dagster_event", None)
    if event is not None:
        return _entry_of_event(record, event)
    least = logging.INFO if _ROOT_OF_OWN.match(record.name) else logging.WARNING
    if record.levelno < least:
        return None
    meta = getattr(record, "dagster_meta", None) or {}
    return Entry(
        level=record.levelno,
        logger=record.name,
        message=meta.get("orig_message") or _message(record),
        run=(meta.get("run_id") or "")[:8],
        step=meta.get("step_key") or "",
        traceback=logging.Formatter().formatException(record.exc_info) if record.exc_info else "",
    )


def _entry_of_event(record: logging.LogRecord, event: "DagsterEvent") -> Entry | None:
    error = _error_of(event)
    level = _LEVEL_OF_EVENT.get(event.event_type_value, logging.ERROR if error else 0)
    if not level:
        return None
    meta = getattr(record, "dagster_meta", None) or {}
    return Entry(
        level=level,
        logger=record.name,
        message=meta.get("orig_message") or event.message or event.event_type_value,
        run=(meta.get("run_id") or "")[:8],
        step=event.step_key or "",
        traceback=error.to_string() if error else "",
    )


def _error_of(event: "DagsterEvent") -> "SerializableErrorInfo | None":
    """The error that our code raised, without Dagster's wrapper around it.

    The failure of a run repeats the error of its first failed step, so it has none here.
    """
    data = event.event_specific_data
    error: SerializableErrorInfo | None = getattr(data, "error", None)
    if getattr(data, "first_step_failure_event", None) is not None:
        return None
    if error and error.cause and error.cls_name == "DagsterExecutionStepExecutionError":
        return error.cause
    return error


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{record.msg} {record.args}"


def _lines(
    form: Literal["text", "json"],
) -> Callable[[Entry, datetime, Callable[[str], str]], str]:
    return _json_line if form == "json" else _text_line


def _text_line(entry: Entry, moment: datetime, mask: Callable[[str], str]) -> str:
    """``2026-11-22 07:00:03,123 INFO  lms.attempts: …``; further lines are indented.

    So no text from an outside system can pass for a log line.
    """
    stamp = f"{moment:%Y-%m-%d %H:%M:%S},{moment.microsecond // 1000:03d}"
    head = f"{stamp} {logging.getLevelName(entry.level):<5} {entry.logger}: "
    place = (f"[{entry.run}] " if entry.run else "") + (f"{entry.step}: " if entry.step else "")
    lines = _printable(f"{mask(entry.message)}\n{mask(entry.traceback)}").split("\n")
    return head + place + _CONTINUED.join(line for line in lines if line.strip()) + "\n"


def _json_line(entry: Entry, moment: datetime, mask: Callable[[str], str]) -> str:
    fields = {
        "time": moment.isoformat(timespec="milliseconds"),
        "level": logging.getLevelName(entry.level),
        "logger": entry.logger,
        "run": entry.run,
        "step": entry.step,
        "message": mask(entry.message),
        "traceback": mask(entry.traceback),
    }
    return json.dumps({key: value for key, value in fields.items() if value}) + "\n"


def _printable(text: str) -> str:
    return _NOT_PRINTABLE.sub(lambda match: f"\\x{ord(match[0]):02x}", text.replace("\r\n", "\n"))


def _append(path: Path, data: bytes) -> None:
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)


def delete_old_logs(folder: Path, last_old_day: date) -> list[Path]:
    """The daily logs dated ``last_old_day`` or earlier are deleted; other files stay."""
    expired = [path for path in folder.glob("*.log") if (_day_of(path) or date.max) <= last_old_day]
    for path in expired:
        path.unlink(missing_ok=True)
    return expired


def _day_of(path: Path) -> date | None:
    if not re.fullmatch(r"\d{4}-\d{2}-\d{2}", path.stem, re.ASCII):
        return None
    try:
        return date.fromisoformat(path.stem)
    except ValueError:
        return None
