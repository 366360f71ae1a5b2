"""Every fault that is known of has a test that shows what happens then."""

import pytest

from lms_assets_tests.reliability.rows import BEYOND, ROWS
from lms_assets_tests.reliability.table import PAGE, as_words, places, said_before

NUMBERS = [
    *(f"A{n}" for n in range(1, 15)),
    *(f"B{n}" for n in range(1, 8)),
    *(f"C{n}" for n in range(1, 8)),
    *(f"D{n}" for n in range(1, 7)),
    *(f"E{n}" for n in range(1, 8)),
    *(f"F{n}" for n in range(1, 8)),
]


def test_no_row_is_left_out() -> None:
    assert list(ROWS) == NUMBERS
    assert [number for number, row in ROWS.items() if not row.tests] == []


@pytest.mark.parametrize("number", ROWS | BEYOND)
def test_the_tests_of_a_row_exist(number: str) -> None:
    known = places()
    assert [test for test in (ROWS | BEYOND)[number].tests if test not in known] == []


def test_the_page_shows_every_test_of_every_row() -> None:
    page = PAGE.read_text(encoding="utf-8")
    tests = [test for row in (ROWS | BEYOND).values() for test in row.tests]
    assert [test for test in tests if as_words(test) not in page] == []


def test_every_case_that_the_page_counts_held() -> None:
    counts = said_before(PAGE.read_text(encoding="utf-8"))
    assert len(counts) > 100
    assert {test: held for test, (held, _) in counts.items() if not held.isdigit()} == {}
