"""A fault keeps its name and its facts on its way through Dagster to the letter."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lms_assets.faults import PermanentFault, TemporaryFault
from lms_assets.faults.causes import Cause
from lms_assets.faults.failures import FACTS, FAULT, failure
from lms_assets.settings import Settings
from lms_assets.texts import catalogue

KEY = 's3cret"key\\of/the=API'
CODES = sorted(
    {
        key.split(".", 1)[1].rpartition(".")[0]
        for key in catalogue("en")
        if key.startswith("faults.")
    }
)


@pytest.fixture(autouse=True)
def settings_with_a_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in (name.upper() for name in Settings.model_fields):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("lms_assets.settings.project_folder", lambda: tmp_path)
    monkeypatch.setenv("API_URL", "http://127.0.0.1:9/attempts")
    monkeypatch.setenv("API_CLIENT", "client")
    monkeypatch.setenv("API_CLIENT_KEY", KEY)


def facts_of(code: str) -> dict[str, Any]:
    """A fact for each place of the fault's sentences, a number where one is formatted."""
    sentences = " ".join(catalogue("en")[f"faults.{code}.{part}"] for part in ("cause", "remedy"))
    return {
        name: 12.5 if form else f'"a" {{b}} client_key={KEY}'
        for name, form in re.findall(r"(?<!{){(\w+)(:[^}]*)?}", sentences)
    }


def told(code: str, facts: Mapping[str, Any], language: str) -> tuple[str, str]:
    """What a letter says of a fault that came by way of Dagster's events."""
    metadata = failure(PermanentFault(code, **facts)).metadata
    read = json.loads(str(metadata[FACTS].value))
    cause = Cause(stage=code.partition(".")[0], code=str(metadata[FAULT].value), facts=read)
    explanation = cause.explained(language)
    return explanation.cause, explanation.remedy


@pytest.mark.parametrize("code", CODES)
def test_every_fault_reaches_the_letter_in_both_languages_without_a_secret(code: str) -> None:
    for language in ("en", "ru"):
        said, remedy = told(code, facts_of(code), language)
        assert said
        assert remedy
        assert KEY not in f"{said} {remedy}"


def test_numbers_are_still_numbers_when_the_letter_is_written() -> None:
    said, _ = told("api.too_slow", {"timeout_s": 300.0}, "en")
    assert "within 300 seconds" in said
    said, _ = told("api.wait_too_long", {"status": 429, "wait_s": 3600.4, "cap_s": 120.0}, "ru")
    assert "3600 с" in said


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(min_size=1), JSON), st.sampled_from(["", "Bearer ", "client_key="]))
def test_facts_of_any_type_become_json_without_the_secret(
    facts: dict[str, Any], before: str
) -> None:
    facts = {f"_{name}": fact for name, fact in facts.items()} | {"reason": f'{before}{KEY}"}}'}
    metadata = failure(TemporaryFault("database.unreachable", **facts)).metadata
    read = json.loads(str(metadata[FACTS].value))
    assert set(read) == set(facts)
    assert KEY not in str(read)
