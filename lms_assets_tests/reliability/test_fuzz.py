"""Whatever people and programs put in, a clear error or a result comes out: no traceback, no hang.

A minute of each kind with `./lms test --all`, two hundred inputs in the quick tests; the same
ones each time.
"""

import gzip
import io
import itertools
import json
import os
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import date, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import seed as hypothesis_seed
from hypothesis import strategies as st

from lms_assets.amends.student import student_of
from lms_assets.attempts.cleaning import (
    NotAnArray,
    clean_answer,
    count_records,
    cut_sourcedid,
)
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.table_schema import check_table
from lms_assets.commands.cli import COMMANDS, lms
from lms_assets.embedded.demo_api import days_in
from lms_assets.faults import Fault
from lms_assets.letters.course_readers import read_course_letters
from lms_assets.resources.grader_api import GraderApi
from lms_assets.resources.lake import Lake
from lms_assets.settings import Settings, SettingsError, load_settings
from lms_assets.statistics.names import read_names, read_staff
from lms_assets_tests.api_server import ApiServer, answer
from lms_assets_tests.day_loads import body_of, cleaned, record, stored, window_of

QUICK, ROUND, THOROUGH_S = 200, 1_000, 60
DAY = window_of(date(2025, 7, 24))
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
JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)
PASSBACK_PARTS = [
    *(
        "{",
        "}",
        "'",
        '"',
        ":",
        ",",
        "\\",
        "(",
        ")",
        "\\x00",
        "None",
        "__import__('os')",
        "9" * 5000,
    ),
    *("'lis_result_sourcedid'", '"oauth_consumer_key"', "'lis_outcome_service_url'", "[" * 60),
]
OTHERS = [json.dumps(record("a student of the course")).encode()]
ARGUMENTS = st.lists(
    st.sampled_from(
        ["--days", "--json", "--to", "--csv", "--again", "--", "-", "2025-07-24", "2025-02-30"]
    )
    # No system can hand over an argument with NUL.
    | TEXTS.map(lambda text: text.replace("\0", "")),
    max_size=6,
)


def all_commands() -> Iterator[tuple[str, click.Command]]:
    """Every command, and those of groups, by all their words."""
    for name in COMMANDS:
        command = lms.get_command(click.Context(lms), name)
        assert command is not None
        yield name, command
        if isinstance(command, click.Group):
            yield from ((f"{name} {inner}", one) for inner, one in command.commands.items())


COMMAND_OF = dict(all_commands())


def fuzzed(
    strategy: st.SearchStrategy[object], examples: int, seed: int = 0
) -> Callable[..., Callable[[], None]]:
    """So many inputs of a kind, the same ones for a seed."""
    own = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    return lambda test: hypothesis_seed(seed)(own(given(strategy)(test)))


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
    command = COMMAND_OF[name]
    with suppress(click.exceptions.Exit, click.ClickException):
        command.make_context(name, list(arguments), resilient_parsing=False)


def try_answer(body: bytes, folder: Path) -> None:
    """An answer is refused as a whole, or each of its records has its one fate."""
    try:
        count = count_records(io.BytesIO(body))
    except NotAnArray:
        return
    fates = Fates()
    for chunk in clean_answer(io.BytesIO(body), window=DAY, tomorrow=datetime(2030, 1, 1)):  # noqa: DTZ001
        check_table(chunk.attempts)
        fates += chunk.fates
    known = fates.unchanged + fates.duplicates + fates.outside_window + sum(fates.rejected.values())
    assert fates.received == known == count


def try_passback(said: str, folder: Path) -> None:
    try_answer(body_of([record(passback_params=said)]), folder)


def try_course_letters(content: bytes, folder: Path) -> None:
    file = folder / "letters.csv"
    file.write_bytes(content)
    with only_clear_errors():
        read_course_letters(file)


def try_student(user_id: str, _: Path) -> None:
    with only_clear_errors():
        assert list(student_of(user_id, ()).owns(OTHERS)) == [False] * len(OTHERS)


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
    "arguments": (st.tuples(st.sampled_from(sorted(COMMAND_OF)), ARGUMENTS), try_arguments),
    "an answer": (
        st.binary(max_size=200)
        | st.lists(RECORD | JSON, max_size=8).map(json.dumps).map(str.encode),
        try_answer,
    ),
    "a passback": (
        TEXTS | st.lists(st.sampled_from(PASSBACK_PARTS) | TEXTS, max_size=20).map("".join),
        try_passback,
    ),
    "course letters": (CSV_LIKE.map(str.encode) | st.binary(max_size=80), try_course_letters),
    "a student's id": (TEXTS | st.text(max_size=300), try_student),
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
def test_a_minute_of_inputs_of_each_kind_meets_no_traceback(kind: str, alone: Path) -> None:
    strategy, attempt = INPUTS[kind]
    until, seeds = time.monotonic() + THOROUGH_S, itertools.count()
    while time.monotonic() < until:
        round_of_inputs = fuzzed(strategy, ROUND, seed=next(seeds))
        round_of_inputs(lambda given_input: attempt(given_input, alone))()


@contextmanager
def at_most_mb(limit: int) -> Iterator[None]:
    """So much memory is taken at most by what Python and Arrow allocate inside."""
    tracemalloc.start()
    pool = pa.default_memory_pool()
    before = pool.bytes_allocated()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1] + pool.bytes_allocated() - before
    finally:
        tracemalloc.stop()
    assert peak < limit * 1_000_000, f"{peak / 1e6:.0f} MB"


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda body: gzip.compress(body, 1),
    "deflate": lambda body: zlib.compress(body, 1),
    "zstd": lambda body: pa.Codec("zstd").compress(body, asbytes=True),
    # What nobody here can unpack.
    "br": lambda body: gzip.compress(body, 1),
}


@pytest.mark.parametrize("packing", PACKERS)
def test_a_body_that_unpacks_to_a_hundredfold_is_refused_in_bounded_memory(
    alone: Path, packing: str
) -> None:
    packed = PACKERS[packing](b"[" + b" " * 400_000_000)
    assert len(packed) < 4_000_000
    with ApiServer(answer(packed, Content_Encoding=packing)) as api, at_most_mb(60):
        asked = GraderApi(
            url=api.url, client="c", client_key="k", max_bytes=20_000_000, first_wait_s=0.01
        )
        with pytest.raises(Fault) as refused:
            asked.attempts_between(DAY.start, DAY.end, to=alone / "answer.json")
    assert refused.value.code in ("api.answer_too_large", "api.not_an_array", "api.cut_short")
    assert [path for path in alone.iterdir() if path.name.startswith("answer")] == []


def test_a_body_without_end_is_refused_in_bounded_memory(alone: Path) -> None:
    def pour(handler: Any) -> None:  # noqa: ANN401
        handler.send_response_only(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"[" * (1 << 16))

    with ApiServer(pour) as api, at_most_mb(60):
        asked = GraderApi(url=api.url, client="c", client_key="k", max_bytes=50_000_000)
        with pytest.raises(Fault) as refused:
            asked.attempts_between(DAY.start, DAY.end, to=alone / "answer.json")
    assert refused.value.code == "api.answer_too_large"


@pytest.mark.slow
def test_a_million_empty_objects_are_a_million_refused_records_in_bounded_memory(
    alone: Path,
) -> None:
    lake = Lake(url=str(alone / "lake"))
    stored_answer = stored(lake, b"[" + b"{}," * 999_999 + b"{}]", records=1_000_000)
    with at_most_mb(400):
        fates = cleaned(lake, stored_answer).fates
    assert (fates.received, sum(fates.rejected.values())) == (1_000_000, 1_000_000)


@pytest.mark.parametrize("moment", ["0001-01-01", "2199-01-01", "9999-12-31"])
def test_a_recorded_day_at_the_end_of_the_calendar_is_no_traceback(
    alone: Path, moment: str
) -> None:
    """R7."""
    body = json.dumps([{"created_at": f"{moment} 00:00:00", "lti_user_id": "ann"}])
    try_records(body.encode(), alone)
