"""The small chart of a letter, as PNG: mail clients show neither SVG nor scripts."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from babel.dates import format_date
from babel.numbers import get_decimal_symbol, get_group_symbol

from lms_assets.last_writing import made_once
from lms_assets.letters.facts import DayFigures
from lms_assets.statistics.figures import name_of
from lms_assets.texts import Texts

# The same colours as on the page.
COLOURS = {"runs": "#2f6fce", "correct": "#0f8a6d", "wrong": "#cf6a1b", "ungraded": "#8a92a0"}
SHARPNESS = 2


class Drawing(NamedTuple):
    """A chart in Vega-Lite, and the language's notation of numbers for it."""

    spec: dict[str, Any]
    numbers: dict[str, Any]


Draw = Callable[[Drawing], bytes]


def png_of(drawing: Drawing) -> bytes:
    """The chart as PNG; the first one of a process takes 0.3 s, in which its engine starts."""
    import vl_convert

    spec, numbers = drawing
    return bytes(vl_convert.vegalite_to_png(spec, scale=SHARPNESS, format_locale=numbers))


def png_kept_at(path: Path, drawing: Drawing) -> bytes:
    """The chart as PNG; the file keeps it, so that the same chart is not drawn again."""
    return made_once(path, drawing, lambda: png_of(drawing))


def drawing_of(recent: Sequence[DayFigures], texts: Texts) -> Drawing:
    """A bar of attempts for each day, split by kind and verdict.

    The background is white, so that the chart can be read in a dark mailbox too.
    """
    numbers = {
        "decimal": get_decimal_symbol(texts.language),
        "thousands": get_group_symbol(texts.language),
        "grouping": [3],
        "currency": ["", ""],
    }
    return Drawing(_chart(recent, texts), numbers)


def _chart(recent: Sequence[DayFigures], texts: Texts) -> dict[str, Any]:
    """The chart in Vega-Lite; kinds of attempts that do not occur are left out."""
    shown = [kind for kind in COLOURS if any(getattr(day, kind) for day in recent)]
    names = {kind: name_of(kind, texts) for kind in shown}
    days = {day.day: _label(day, texts) for day in recent}
    values = [
        {
            "day": days[day.day],
            "kind": names[kind],
            "layer": layer,
            "attempts": getattr(day, kind),
        }
        for day in recent
        for layer, kind in enumerate(shown)
    ]
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "width": 410,
        "height": 170,
        "background": "white",
        "padding": 6,
        "data": {"values": values},
        "mark": {"type": "bar", "cornerRadius": 1},
        "encoding": {
            "x": {
                "field": "day",
                "type": "ordinal",
                "sort": list(days.values()),
                "title": None,
                "axis": {"labelAngle": 0, "labelExpr": "split(datum.label, '|')"},
            },
            "y": {"field": "attempts", "type": "quantitative", "title": None},
            "color": {
                "field": "kind",
                "type": "nominal",
                "title": None,
                "scale": {
                    "domain": list(names.values()),
                    "range": [COLOURS[kind] for kind in shown],
                },
                "legend": {"orient": "top", "columns": 2},
            },
            "order": {"field": "layer"},
        },
        "config": _LOOK,
    }


def _label(day: DayFigures, texts: Texts) -> str:
    """The day as ``24|Jul``: the axis shows it in two lines."""
    return str(format_date(day.day, "d|MMM", locale=texts.language)).rstrip(".")


_LOOK = {
    "font": "Arial, Helvetica, DejaVu Sans, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelFontSize": 12,
        "labelColor": "#444",
        "domain": False,
        "ticks": False,
        "gridColor": "#e6e9ee",
        "labelPadding": 6,
        "tickCount": 4,
    },
    "legend": {
        "labelFontSize": 13,
        "labelColor": "#333",
        "labelLimit": 220,
        "symbolType": "square",
    },
}
