"""The page `report.html`: the figures of the database in one file that needs no network.

The page holds the figures of the tables of statistics, rounded. Its script selects and shows
them; it computes no figure. Names and definitions come from the registry of figures. No
student's id is read.
"""

import json
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import jinja2
from babel.dates import format_datetime
from markupsafe import Markup
from sqlalchemy import Connection

from lms_assets.last_writing import made_once
from lms_assets.statistics.figures import TILES, definition_of, name_of
from lms_assets.statistics.names import Names
from lms_assets.statistics.page.payload import PERIODS, payload_of, shown_figures
from lms_assets.statistics.page.queries import ALL_COURSES, PageFigures, figures_for_page
from lms_assets.statistics.presentation import Presentation
from lms_assets.texts import Texts, catalogue

# Section → the figures that its question mark explains. A section without a heading of its own
# gets the name of the first figure.
EXPLAINED: Mapping[str, tuple[str, ...]] = {
    "alarms": ("alarm_kind", "q"),
    "activity": ("attempts", "submits", "runs", "ungraded"),
    "users": ("users", "wau", "mau", "stickiness_pct"),
    "success": ("success_pct",),
    "hardest": ("first_try_pct", "difficulty"),
    "items": ("discrimination", "discrimination_state"),
    "help": ("stuck", "gave_up"),
    "time": ("median_active_min", "median_wall_min", "instant_pairs"),
    "runs": ("runs_per_submit", "blind_pct"),
    "stops": ("stopped", "stopped_solvers", "stopped_pct"),
    "retention": ("active_pct", "active_students", "at_risk_students", "dropped_students"),
    "heat": ("attempts", "users"),
}
# The parts of the script; each uses only parts before it.
SCRIPTS = ("words", "choice", "tiles", "drawings", "charts", "tables", "task", "page")


def page_of(
    connection: Connection, presentation: Presentation, *, made_at: datetime, edition: str
) -> str:
    """The page with the present figures of the database."""
    return render(
        figures_for_page(connection),
        language=presentation.language,
        names=presentation.names,
        made_at=made_at,
        vega=kept_bundle(Path(presentation.charts_file)),
        edition=edition,
    )


def render(
    figures: PageFigures,
    *,
    language: str,
    names: Names,
    made_at: datetime,
    vega: str,
    edition: str = "",
) -> str:
    """The page as HTML: one file, no network, no student.

    Args:
        figures: The figures to show.
        language: ``en`` or ``ru``.
        names: Titles and links of courses and tasks.
        made_at: The time of making, aware; the page shows it in the figures' zone.
        vega: The bundle of Vega from :func:`vega_bundle`.
        edition: The hash from ``edition.py``.
    """
    texts = Texts(language)

    def word(key: str, **facts: object) -> str:
        return texts.text(f"page.{key}", **facts)

    def defined(*shown: str) -> list[tuple[str, str]]:
        return [(name_of(figure, texts), definition_of(figure, texts)) for figure in shown]

    return _template().render(
        text=word,
        language=language,
        edition=edition,
        periods=PERIODS,
        tiles=TILES,
        defined=defined,
        headings={section: _heading(section, texts) for section in (*EXPLAINED, "task")},
        explained=EXPLAINED,
        definitions=defined(*_with_a_definition_of_their_own()),
        style=Markup(_part("page.css")),
        vega=Markup(vega),
        **_filled(figures, texts, names, made_at),
    )


def _heading(section: str, texts: Texts) -> str:
    """The section's own heading, else the name of its first explained figure."""
    own = catalogue(texts.language).get(f"page.section.{section}")
    return own or name_of(EXPLAINED[section][0], texts)


def _with_a_definition_of_their_own() -> list[str]:
    explained = [name for shown in EXPLAINED.values() for name in shown]
    figures = {**shown_figures(), **dict.fromkeys(explained)}
    return [name for name, figure in figures.items() if figure is None or not figure.pattern]


def _filled(figures: PageFigures, texts: Texts, names: Names, made_at: datetime) -> dict[str, Any]:
    title = texts.text("page.head.title")
    if figures.as_of is None or not figures.days:
        return {"title": title, "lines": [], "is_empty": True}
    first = min(row["day"] for row in figures.days)
    payload = payload_of(figures, figures.as_of, first, names, texts)
    return {
        "title": f"{title} · {figures.as_of.isoformat()}",
        "lines": _lines(figures, figures.as_of, first, texts, made_at),
        "is_empty": False,
        "script": Markup(_script()),
        "figures": Markup(as_json_in_html({**payload, "locale": _locale(texts)})),
    }


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_part("html.jinja"))


@cache
def _part(name: str) -> str:
    return files(__package__).joinpath(f"template/{name}").read_text(encoding="utf-8")


@cache
def _script() -> str:
    """The script, wrapped in a function, so that its names are not global in the page."""
    parts = "\n".join(_part(f"{name}.js") for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}\n}})();'


def kept_bundle(file: Path) -> str:
    """The bundle as the file keeps it; making it takes a second, and each page has the same."""
    of_engine = version("vl-convert-python")
    return made_once(file, of_engine, lambda: vega_bundle().encode()).decode()


@cache
def vega_bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as a script for use in HTML; it defines `vegaEmbed`.

    ``</script`` and ``<!--`` occur only in the script's strings, where a backslash before a
    character changes nothing.
    """
    # Imported late, because it starts a JavaScript engine.
    import vl_convert

    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return bundle.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def as_json_in_html(value: object) -> str:
    """The value as JSON that is safe in a script element, whatever texts it contains."""
    plain = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return plain.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _lines(
    figures: PageFigures, as_of: date, first: date, texts: Texts, made_at: datetime
) -> list[str]:
    """The lines under the heading: the figures' day, their history, and the time of making."""
    local = made_at.astimezone(ZoneInfo(figures.zone))
    moment = format_datetime(local, "d MMMM y, HH:mm", locale=texts.language)
    attempts = sum(row["attempts"] for row in figures.days if row["course"] == ALL_COURSES)
    last = texts.day(as_of)
    return [
        texts.text("page.head.as_of", day=last, zone=figures.zone),
        texts.text("page.head.history", first=texts.day(first), last=last),
        texts.text("page.head.made", moment=moment, attempts=texts.number(attempts)),
    ]


def _locale(texts: Texts) -> dict[str, Any]:
    import vl_convert

    charts: Any = texts.text("page.locale.charts")
    return {
        "dates": texts.text("page.locale.dates"),
        "numbers": vl_convert.get_format_locale(charts),
        "days": vl_convert.get_time_format_locale(charts),
    }
