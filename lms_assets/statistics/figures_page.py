"""Makes the part of ``docs/figures.md`` about each figure, from the registry and the views' SQL.

``python -m lms_assets.statistics.figures_page`` replaces the text between the file's two markers.
People write the text around the markers.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from lms_assets.files import write_whole
from lms_assets.statistics.figures import (
    FIGURES,
    PAGE_LISTS,
    PLACES,
    TILES,
    definition_of,
    figure_of,
    name_of,
    relation_comments,
)
from lms_assets.statistics.views import figure_views
from lms_assets.texts import Texts

PAGE = Path(__file__).resolve().parents[2] / "docs" / "figures.md"
BEGIN, END = "<!-- made by lms_assets.statistics.figures_page -->", "<!-- end of what is made -->"
TITLES = (
    "Volume",
    "Active students",
    "Submit success",
    "First-try success",
    "Solve rate",
    "Attempts to solve",
    "Time to solve",
    "Hardest tasks",
    "Stuck students",
    "Runs before submits",
    "Inactivity and retention",
    "Heat map",
    "Task alarms",
    "Discrimination",
    "Where students stop",
)
KEYS = ("day", "course", "task")
_VIEW = re.compile(r"create view (figure_(\d\d)_\w+) as\s+select\s+(.*?)\s+from\s", re.DOTALL)
_PARENTHESES = re.compile(r"\([^()]*\)")


def page_written(page: str) -> str:
    """The page with the made part brought up to date."""
    before, _, after = page.partition(BEGIN)
    _, _, after = after.partition(END)
    sections = "\n".join(_sections())
    return f"{before}{BEGIN}\n\n{sections}\n{END}{after}"


def _sections() -> Iterator[str]:
    texts, views = Texts("en"), _views()
    listed: dict[str, None] = {}
    for number, title in enumerate(TITLES, start=1):
        shown = {view: columns for view, (of, columns) in views.items() if of == number}
        figures = _figures(shown)
        listed |= dict.fromkeys(figures)
        yield f"### {number}. {title}\n"
        yield from (f"- `{view}`: {relation_comments()[view]}" for view in shown)
        yield ""
        yield from _table(figures, texts)
    others = {f.name: f.name for f in FIGURES.values() if not f.pattern and f.name not in listed}
    yield "### Beside them\n"
    yield from _table(others, texts)
    yield "## Tables and views\n\n| name | what it holds |\n|---|---|"
    yield from (
        f"| `{relation}` | {meaning} |"
        for relation, meaning in relation_comments().items()
        if relation not in views
    )
    yield ""


def _views() -> dict[str, tuple[int, list[str]]]:
    """View → the number of its figure and its columns."""
    return {
        view: (int(number), [item.split()[-1] for item in _items(columns)])
        for script in figure_views().scripts
        for view, number, columns in _VIEW.findall(script)
    }


def _items(columns: str) -> list[str]:
    return [item for item in _PARENTHESES.sub("", columns).split(",") if item.strip()]


def _figures(views: dict[str, list[str]]) -> dict[str, str]:
    """Figure → its column; bounds of intervals are left out, as they stand with their figures."""
    columns = [(view, column) for view, names in views.items() for column in names]
    figures = [(figure_of(view, column), column) for view, column in columns if column not in KEYS]
    return {figure.name: column for figure, column in figures if figure and not figure.pattern}


def _table(figures: Mapping[str, str], texts: Texts) -> Iterator[str]:
    yield "| figure | column | definition | unit | n | shown in |\n|---|---|---|---|---|---|"
    for name, column in figures.items():
        figure = FIGURES[name]
        here = "" if column == name else f", here `{column}`"
        unit = texts.text(f"figures.unit.{figure.unit}")
        interval = ", with its 95 % interval" if figure.has_interval else ""
        n = f"`{figure.n}`" if figure.n else ""
        yield (
            f"| {name_of(name, texts)} | `{name}`{here} | {definition_of(name, texts)} | "
            f"{unit}{interval} | {n} | {', '.join(_places(name))} |"
        )
    yield ""


def _places(figure: str) -> list[str]:
    """Those of sheet, letter and page that show the figure or a figure made from it."""
    shown = [(place.partition(".")[0], name) for place, names in PLACES.items() for name in names]
    shown += [("page", name) for names in PAGE_LISTS.values() for name in names]
    shown += [("page", name) for tile, others in TILES.items() for name in (tile, *others)]
    places = {"sheet": "sheet", "letters": "letter", "page": "page"}
    used = {place for place, name in shown if figure in (name, _origin(name))}
    return [title for place, title in places.items() if place in used]


def _origin(figure: str) -> str:
    """The figure from which ``figure`` is made: ``success_pct`` for ``success_low_pct_28``."""
    base = FIGURES[figure].base
    return _origin(base) if base else figure


def main() -> None:
    """``docs/figures.md`` of this checkout is up to date."""
    write_whole(PAGE, page_written(PAGE.read_text(encoding="utf-8")), mode=0o644)


if __name__ == "__main__":
    main()
