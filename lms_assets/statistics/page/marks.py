"""Axes, frames and tooltips of the charts; pure.

Colours are CSS variables of the page, so that one drawing serves light, dark and paper.
"""

from collections.abc import Callable
from typing import Any

Spec = dict[str, Any]
Word = Callable[[str], str]
Name = Callable[[str], str]

DAY_MS = 86_400_000
LONG_SPAN_MS = 200 * DAY_MS
HEIGHT_PX = 240
CONFIG: Spec = {
    # The drawing as a whole has its label in the page, and its figures are there as a table.
    "aria": False,
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
    },
    "axisY": {"domain": False, "ticks": False},
    "legend": {"labelColor": "var(--ink)", "labelFontSize": 12, "labelLimit": 0},
}


def by_row(step_px: int, **rest: Any) -> Spec:  # noqa: ANN401
    """A chart as high as its places; the script counts them.

    Vega-Lite would do so by a height of steps, but warns whenever the width is the container's.
    """
    return chart(None, usermeta={"step": step_px}, **rest)


def chart(height: int | None = HEIGHT_PX, **rest: Any) -> Spec:  # noqa: ANN401
    """A chart as wide as its place in the page."""
    return {
        "data": {"name": "rows"},
        "width": "container",
        **({"height": height} if height else {}),
        "autosize": {"contains": "padding"},
        "config": CONFIG,
        **rest,
    }


def tooltip(**columns: str) -> list[Spec]:
    """What a tooltip says: field ``tip_…`` of a row → its title."""
    return [{"field": f"tip_{field}", "title": title} for field, title in columns.items()]


def tooltip_of(name: Name, *figures: str) -> list[Spec]:
    """A tooltip that says these figures by their names."""
    return tooltip(**{figure: name(figure) for figure in figures})


def day_axis(field: str = "day") -> Spec:
    """Days from the first to the last of what is shown."""
    shape = f"last - first > {LONG_SPAN_MS} ? '%b %Y' : '%-d %b'"
    return {
        "field": field,
        "type": "temporal",
        "scale": {"type": "utc", "domainMin": {"expr": "first"}, "domainMax": {"expr": "last"}},
        "axis": {
            "title": None,
            "grid": False,
            "labelOverlap": "greedy",
            # No more marks than days: a day must not be named twice.
            "tickCount": {"expr": f"min(8, max(1, (last - first) / {DAY_MS}))"},
            "labelSeparation": 6,
            "labelExpr": f"utcFormat(datum.value, {shape})",
        },
    }


def task_axis() -> Spec:
    """Titles may repeat, places do not: the row is its place, its label the title after it."""
    return {
        "field": "place",
        "type": "ordinal",
        "sort": None,
        "axis": {"title": None, "labelExpr": "split(datum.label, '\\t')[1]", "ticks": False},
    }


def colours(domain: list[str], variables: list[str]) -> Spec:
    """A colour of the page for each kind, told by a legend."""
    return {
        "type": "nominal",
        "scale": {"domain": domain, "range": [f"var(--{name})" for name in variables]},
        "legend": {"title": None, "orient": "top", "symbolType": "square"},
    }


def percent_axis(**rest: Any) -> Spec:  # noqa: ANN401
    """0 to 100 percent."""
    return {
        "type": "quantitative",
        "scale": {"domain": [0, 100]},
        "axis": {"title": None, "labelExpr": "datum.label + ' %'", "tickCount": 5, **rest},
    }


def on_hover(tooltip: list[Spec]) -> Spec:
    """A band under the pointer, as wide as its day or week, that says its figures.

    Not the nearest point by Vega-Lite's own way: its tooltips then say "undefined" of texts.
    """
    band = {"param": "pointed", "empty": False, "value": 0.1}
    return {
        "params": [
            {
                "name": "pointed",
                "select": {"type": "point", "on": "pointerover", "clear": "pointerout"},
            }
        ],
        "mark": {"type": "rect", "color": "var(--ink)"},
        "encoding": {
            "x": day_axis(),
            "x2": {"field": "until"},
            "opacity": {"condition": band, "value": 0},
            "tooltip": tooltip,
        },
    }
