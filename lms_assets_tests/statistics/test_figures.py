"""One name and one definition per figure and language, wherever the figure is shown."""

import pytest

from lms_assets.statistics import figures, figures_page
from lms_assets.statistics.figures import FIGURES, PLACES
from lms_assets.texts import LANGUAGES, Texts, catalogue, rounded


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_two_figures_bear_one_name(language: str) -> None:
    """R52"""
    names = [figures.name_of(figure, Texts(language)) for figure in FIGURES]
    assert sorted({name for name in names if names.count(name) > 1}) == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_figure_is_defined_in_a_sentence(language: str) -> None:
    definitions = [figures.definition_of(figure, Texts(language)) for figure in FIGURES]
    assert [one for one in definitions if not one.endswith((".", "?", "ISO."))] == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_of_a_figure_belongs_to_a_figure_of_the_registry(language: str) -> None:
    worded = {key.split(".")[1] for key in catalogue(language) if key.startswith("figures.")}
    defined = {figure.name for figure in FIGURES.values() if figure.pattern is None}
    assert worded - {"pattern", "unit"} == defined


def test_every_place_shows_figures_of_the_registry() -> None:
    unknown = {name for shown in PLACES.values() for name in shown} - set(FIGURES)
    assert unknown == set()


def test_the_n_of_a_figure_is_a_figure() -> None:
    assert {figure.n for figure in FIGURES.values() if figure.n} - set(FIGURES) == set()


def test_a_bound_and_a_period_are_named_after_their_figure() -> None:
    texts = Texts("en")
    assert figures.name_of("success_low_pct", texts) == "Submit success, from"
    assert figures.name_of("success_low_pct_28", texts) == "Submit success, 28 days, from"
    assert figures.name_of("previous_users_28", texts) == "Active students, 28 days before"


@pytest.mark.parametrize(
    ("figure", "value", "text"),
    [
        ("success_pct", 6.25, "6.3 %"),
        ("stickiness_pct", None, "—"),
        ("attempts_trend_pct", -6.25, "−6.3 %"),
        ("attempts_trend_pct", -0.04, "0.0 %"),
        ("median_active_min", 12.25, "12.3"),
        ("runs_per_submit", 0.125, "0.13"),
        ("busiest_hour", 9, "09:00"),
        ("attempts", 1640, "1,640"),
    ],
)
def test_a_figure_is_rounded_half_away_from_zero_where_it_is_read(
    figure: str, value: float | None, text: str
) -> None:
    """R50: 1 correct of 16 submits is 6.3 % everywhere. R52: minus is U+2212."""
    assert figures.as_text(figure, value, Texts("en")) == text


def test_a_number_is_rounded_as_it_is_written() -> None:
    assert str(rounded(1.005, 2)) == "1.01"
    assert str(rounded(-2.5)) == "-3"
    assert str(rounded(0.5)) == "1"


def test_a_sheet_knows_its_headings_under_earlier_names_and_in_other_languages() -> None:
    names = figures.other_names("stickiness_pct", Texts("ru"))
    assert names == ("Вовлечённость", "Stickiness")


def test_a_columns_comment_says_name_unit_and_meaning() -> None:
    comments = figures.column_comments("daily_statistics")
    assert comments["success_pct"] == (
        "Submit success (percent). Correct submits / (correct + wrong submits). "
        "Ungraded submits are in neither part."
    )
    assert comments["zone"] == "IANA zone that says what a day and an hour are."


def test_a_column_may_mean_another_figure_in_a_table_of_its_own() -> None:
    assert figures.column_comments("task_statistics")["submits"].startswith("Graded submits")
    assert figures.column_comments("retention")["students"].startswith("Students who began")


def test_the_documentation_of_the_figures_is_current() -> None:
    """Else: python -m lms_assets.statistics.figures_page"""
    page = figures_page.PAGE.read_text(encoding="utf-8")
    assert figures_page.page_written(page) == page


def test_the_documentation_has_each_of_the_fifteen_and_every_defined_figure() -> None:
    page = figures_page.PAGE.read_text(encoding="utf-8")
    headings = [line for line in page.splitlines() if line.startswith("### ")]
    assert [int(h[4:].split(".")[0]) for h in headings[:-1]] == list(range(1, 16))
    defined = [f.name for f in FIGURES.values() if not f.pattern]
    assert [name for name in defined if f"| `{name}`" not in page] == []
