"""`docs/reliability.md` from the results: python -m lms_assets_tests.reliability.table

Runs every test that the rows name, the slow ones too, and writes what each came to. With `--all` it
runs the tests that no row names too, as `./lms test --all` does. With pytest's arguments, as
`-m "not slow"` or `-k kills`, it runs some of them: of the others the page goes on saying what they
came to, and when.
"""

import ast
import re
import sys
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import pytest

from lms_assets.commands.developing import SIDE_BY_SIDE
from lms_assets_tests.reliability.rows import BEYOND, ROWS

TESTS = Path(__file__).resolve().parents[1]
PAGE = TESTS.parent / "docs" / "reliability.md"
MARK = "<!-- rows -->"


@cache
def places() -> dict[str, Path]:
    """Each test's function → the file that defines it."""
    found: dict[str, Path] = {}
    for file in sorted(TESTS.rglob("test_*.py")):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.setdefault(node.name, file)
    return found


class Outcomes:
    """Keeps how often each test function held, failed or was skipped; a pytest plugin."""

    def __init__(self) -> None:
        self.held: dict[str, int] = {}
        self.others: dict[str, int] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("::")[2].partition("[")[0]
        if report.when == "call" and report.passed:
            self.held[name] = self.held.get(name, 0) + 1
        elif not report.passed:
            self.others[name] = self.others.get(name, 0) + 1


def as_words(test: str) -> str:
    """``test_a_day_run_three_times`` as a sentence."""
    words = test.removeprefix("test_").replace("_", " ")
    return words[:1].upper() + words[1:]


def said_before(page: str) -> dict[str, tuple[str, str]]:
    """Test in words → how many cases held and the day of that, as the page says."""
    rows = re.findall(r"(?m)^\|[^|]*\|[^|]*\| ([^|]+) \| ([^|]+) \| ([^|]*) \|$", page)
    return {test: (held, day) for test, held, day in rows if test != "what happens"}


def table(outcomes: Outcomes, before: dict[str, tuple[str, str]], today: str) -> str:
    """A line for each test of each row."""
    lines = [
        "| row | what goes wrong | what happens | cases held | on |",
        "|---|---|---|---:|---|",
    ]
    for number, row in (ROWS | BEYOND).items():
        for nth, test in enumerate(row.tests):
            held, others = outcomes.held.get(test, 0), outcomes.others.get(test, 0)
            cases, day = f"{held} of {held + others}" if others else f"{held}", today
            if not held + others:
                cases, day = before.get(as_words(test), ("0", ""))
            head = f"| {number} | {row.fault} " if nth == 0 else "| | "
            lines.append(f"{head}| {as_words(test)} | {cases} | {day} |")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    """Exit code 0 where every test that was run held."""
    where, outcomes = places(), Outcomes()
    names = [test for row in (ROWS | BEYOND).values() for test in row.tests]
    nodes = dict.fromkeys(f"{where[name]}::{name}" for name in names)
    if "--all" in arguments:
        arguments.remove("--all")
        nodes = {str(TESTS): None}
    code = pytest.main(["-q", *SIDE_BY_SIDE, *arguments, *nodes], plugins=[outcomes])
    page = PAGE.read_text(encoding="utf-8")
    rows = table(outcomes, said_before(page), f"{datetime.now(UTC):%Y-%m-%d}")
    pattern = re.compile(f"{MARK}.*?{MARK}", re.DOTALL)
    PAGE.write_text(pattern.sub(lambda _: f"{MARK}\n{rows}\n{MARK}", page), encoding="utf-8")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
