"""Both languages say everything with the same facts, and code asks for no sentence in vain."""

import ast
import re
from pathlib import Path
from string import Formatter

import pytest

import lms_assets
from lms_assets.attempts.cleaning import RULES
from lms_assets.texts import LANGUAGES, Texts, catalogue

PACKAGE = Path(lms_assets.__file__).parent
OTHERS = [language for language in LANGUAGES if language != "en"]
MODULES = sorted(PACKAGE.rglob("*.py"))


def placeholders(sentence: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(sentence) if name is not None}


def calls(module: Path) -> list[ast.Call]:
    tree = ast.parse(module.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Call)]


def name_of(call: ast.Call) -> str:
    return getattr(call.func, "attr", getattr(call.func, "id", ""))


def is_look_up(call: ast.Call) -> bool:
    """Whether it is ``texts.text(…)``, not SQLAlchemy's ``text(…)`` or ``sa.text(…)``."""
    if not (isinstance(call.func, ast.Attribute) and call.func.attr == "text" and call.args):
        return False
    return getattr(call.func.value, "id", "") not in ("sa", "sqlalchemy")


def pattern_of(key: ast.expr) -> str | None:
    """The text of a key, with ``.+`` where code fills something in; None for a variable."""
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        return re.escape(key.value)
    if isinstance(key, ast.JoinedStr):
        parts = [pattern_of(part) or ".*" for part in key.values]
        return "".join(parts)
    return None


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_has_the_same_sentences(language: str) -> None:
    assert sentences(language) == sentences("en")


def sentences(language: str) -> set[str]:
    """Keys; the forms of a plural, which each language has of its own, are one."""
    return {re.sub(r"\.(one|few|many|other)$", "", key) for key in catalogue(language)}


@pytest.mark.parametrize("language", OTHERS)
def test_a_sentence_holds_the_same_facts_in_every_language(language: str) -> None:
    english, other = catalogue("en"), catalogue(language)
    differing = [key for key in english if placeholders(english[key]) != placeholders(other[key])]
    assert differing == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_sentence_is_empty(language: str) -> None:
    assert [key for key, sentence in catalogue(language).items() if not sentence.strip()] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_fault_has_a_cause_and_a_remedy(language: str) -> None:
    faults = {key.rpartition(".")[0] for key in catalogue(language) if key.startswith("faults.")}
    wanted = {f"{fault}.{part}" for fault in faults for part in ("cause", "remedy")}
    assert wanted - set(catalogue(language)) == set()


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_reason_of_the_quarantine_has_words_in_letters(language: str) -> None:
    reasons = {f"letters.reason.{rule.reason}" for rule in RULES}
    assert reasons - set(catalogue(language)) == set()


def test_every_stage_of_a_fault_has_a_name_in_letters() -> None:
    stages = {key.split(".")[1] for key in catalogue("en") if key.startswith("faults.")}
    assert {stage for stage in stages if f"letters.stage.{stage}" not in catalogue("en")} == set()


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_every_key_that_code_asks_for_is_there(module: Path) -> None:
    asked = [
        pattern
        for call in calls(module)
        if is_look_up(call) and (pattern := pattern_of(call.args[0]))
    ]
    keys = catalogue("en")
    assert [key for key in asked if not any(re.fullmatch(key, known) for known in keys)] == []


@pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(PACKAGE)))
def test_every_fault_that_code_raises_has_the_facts_of_its_sentences(module: Path) -> None:
    untold = []
    for call in calls(module):
        if name_of(call) not in ("TemporaryFault", "PermanentFault") or not call.args:
            continue
        code = call.args[0]
        if not isinstance(code, ast.Constant):
            continue
        sentences = [catalogue("en").get(f"faults.{code.value}.{p}") for p in ("cause", "remedy")]
        given = {keyword.arg for keyword in call.keywords}
        wanted = set().union(*(placeholders(sentence or "") for sentence in sentences))
        if None in sentences or (None not in given and not wanted <= given):
            untold.append((code.value, call.lineno))
    assert untold == []


@pytest.mark.parametrize(
    ("language", "number", "percent", "unknown"),
    [("en", "1,640.5", "35.9 %", "—"), ("ru", "1\xa0640,5", "35,9 %", "—")],
)
def test_numbers_follow_the_languages_custom(
    language: str, number: str, percent: str, unknown: str
) -> None:
    texts = Texts(language)
    assert texts.number(1640.5, 1) == number
    assert texts.percent(35.877) == percent
    assert texts.number(None) == texts.percent(None) == unknown


def test_a_sentence_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError):
        Texts("en").text("letters.no.such.sentence")
