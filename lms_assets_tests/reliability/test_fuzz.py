"""Whatever people and programs put in, a clear error or a result comes out: no traceback, no hang.

Ten thousand inputs each with `./lms test --all`, a few hundred in the quick tests.
"""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from zoneinfo import ZoneInfo

import click
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lms_assets.attempts.cleaning import cut_sourcedid
from lms_assets.commands.cli import COMMANDS, lms
from lms_assets.embedded.demo_api import days_in
from lms_assets.faults import Fault
from lms_assets.settings import Settings, SettingsError, load_settings
from lms_assets.statistics.names import read_names, read_staff

QUICK, THOROUGH = 200, 10_000
TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)
NAMES = sorted(name.upper() for name in Settings.model_fields)

# What is near to right goes deeper than what is nonsense from the first byte.
RECORD = st.dictionaries(
    st.sampled_from(
        ["lti_user_id", "passback_params", "is_correct", "attempt_type", "created_at", "other"]
    ),
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXTS
    | st.sampled_from(["2025-07-24 10:00:00", "0001-01-01", "9999-12-31 23:59:59", "run"]),
)
CSV_LIKE = st.lists(
    st.sampled_from(["course", "task", "title", "link", ",", ";", '"', "\n", "\r\n", "\ufeff", "ы"])
    | TEXTS,
    max_size=30,
).map("".join)
ENV_LIKE = st.lists(
    st.sampled_from([*NAMES, "=", "'", '"', "\n", "#", "$", "{", "}", "\\", " "]) | TEXTS,
    max_size=30,
).map("".join)
ARGUMENTS = st.lists(
    st.sampled_from(
        ["--days", "--json", "--to", "--csv", "--again", "--", "-", "2025-07-24", "2025-02-30"]
    )
    | TEXTS,
    max_size=6,
)


def fuzzed(strategy: st.SearchStrategy[object], examples: int) -> Callable[..., object]:
    """So many inputs of a kind, the same ones each time."""
    own = settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: own(given(strategy)(test))


@contextmanager
def only_clear_errors() -> Iterator[None]:
    """What is raised inside is one of ours and says something; anything else is a traceback."""
    said = "nothing was raised"
    with suppress(Fault, SettingsError):
        try:
            yield
        except (Fault, SettingsError) as error:
            said = str(error)
            raise
    assert said


def try_records(body: bytes, folder: Path) -> None:
    file = folder / "records.json"
    file.write_bytes(body)
    with only_clear_errors():
        days_in(file, ZoneInfo("America/Havana"))


def try_names(content: bytes, folder: Path) -> None:
    file = folder / "names.csv"
    file.write_bytes(content)
    for read in (read_names, read_staff):
        with only_clear_errors():
            read(file)


def try_env(content: bytes, folder: Path) -> None:
    (folder / ".env").write_bytes(content)
    with only_clear_errors():
        load_settings()


def try_variables(variables: dict[str, str], folder: Path) -> None:
    (folder / ".env").unlink(missing_ok=True)
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        with only_clear_errors():
            load_settings()
    finally:
        os.environ.clear()
        os.environ.update(before)


def try_arguments(call: tuple[str, list[str]], _: Path) -> None:
    """The arguments are understood or refused; the command itself is not run."""
    name, arguments = call
    command = lms.get_command(click.Context(lms), name)
    assert command is not None
    with suppress(click.exceptions.Exit, click.ClickException):
        command.make_context(name, list(arguments), resilient_parsing=False)


def try_sourcedid(text: str, _: Path) -> None:
    assert all(part is None or isinstance(part, str) for part in cut_sourcedid(text))


INPUTS: dict[str, tuple[st.SearchStrategy[object], Callable[[object, Path], None]]] = {
    "recorded bytes": (st.binary(max_size=200), try_records),
    "recorded records": (
        st.lists(RECORD, max_size=5).map(lambda records: json.dumps(records).encode()),
        try_records,
    ),
    "names and staff": (CSV_LIKE.map(str.encode) | st.binary(max_size=80), try_names),
    "an .env": (ENV_LIKE.map(str.encode) | st.binary(max_size=80), try_env),
    "variables": (
        st.dictionaries(st.sampled_from(NAMES), TEXTS.filter(lambda t: "\0" not in t)),
        try_variables,
    ),
    "arguments": (st.tuples(st.sampled_from(sorted(COMMANDS)), ARGUMENTS), try_arguments),
    "a sourcedid": (
        TEXTS | st.lists(st.sampled_from([":", "%", "{", '"', "%3A", "data"]) | TEXTS).map("".join),
        try_sourcedid,
    ),
}


@pytest.fixture
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder of its own, and an environment without settings."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("lms_assets.settings.project_folder", lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize("kind", INPUTS)
def test_whatever_is_put_in_a_result_or_a_clear_error_comes_out(kind: str, alone: Path) -> None:
    strategy, attempt = INPUTS[kind]
    fuzzed(strategy, QUICK)(lambda given_input: attempt(given_input, alone))()


@pytest.mark.slow
@pytest.mark.parametrize("kind", INPUTS)
def test_ten_thousand_inputs_of_each_kind_meet_no_traceback(kind: str, alone: Path) -> None:
    strategy, attempt = INPUTS[kind]
    fuzzed(strategy, THOROUGH)(lambda given_input: attempt(given_input, alone))()


@pytest.mark.parametrize("moment", ["0001-01-01", "2199-01-01", "9999-12-31"])
def test_a_recorded_day_at_the_end_of_the_calendar_is_no_traceback(
    alone: Path, moment: str
) -> None:
    """R7."""
    body = json.dumps([{"created_at": f"{moment} 00:00:00", "lti_user_id": "ann"}])
    try_records(body.encode(), alone)
