"""Axes, frames and tooltips of the charts; pure.

Colours are CSS variables of the page, so that one chart works on light, dark and paper.
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
    # The page itself labels the chart and holds its figures as a table.
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
    """A chart with ``step_px`` of height for each row; the page's script sets the height.

    Vega-Lite's own height by steps warns when the width is that of the container.
    """
    return chart(None, usermeta={"step": step_px}, **rest)


def chart(height: int | None = HEIGHT_PX, **rest: Any) -> Spec:  # noqa: ANN401
    """A chart as wide as its container."""
    return {
        "data": {"name": "rows"},
        "width": "container",
        **({"height": height} if height else {}),
        "autosize": {"contains": "padding"},
        "config": CONFIG,
        **rest,
    }


def tooltip(**columns: str) -> list[Spec]:
    """A tooltip that shows the fields ``tip_…`` of a row, each with its title."""
    return [{"field": f"tip_{field}", "title": title} for field, title in columns.items()]


def tooltip_of(name: Name, *figures: str) -> list[Spec]:
    """A tooltip that shows these figures with their names."""
    return tooltip(**{figure: name(figure) for figure in figures})


def day_axis(field: str = "day") -> Spec:
    """The axis of days, from the first to the last day of the selection."""
    shape = f"last - first > {LONG_SPAN_MS} ? '%b %Y' : '%-d %b'"
    return {
        "field": field,
        "type": "temporal",
        "scale": {"type": "utc", "domainMin": {"expr": "first"}, "domainMax": {"expr": "last"}},
        "axis": {
            "title": None,
            "grid": False,
            "labelOverlap": "greedy",
            # At most one tick per day, or else a day would be labelled twice.
            "tickCount": {"expr": f"min(8, max(1, (last - first) / {DAY_MS}))"},
            "labelSeparation": 6,
            "labelExpr": f"utcFormat(datum.value, {shape})",
        },
    }


def task_axis() -> Spec:
    """An axis of ``place``, which is ``rank<tab>title``; only the title is shown.

    The rank keeps tasks with the same title apart.
    """
    return {
        "field": "place",
        "type": "ordinal",
        "sort": None,
        "axis": {"title": None, "labelExpr": "split(datum.label, '\\t')[1]", "ticks": False},
    }


def colours(domain: list[str], variables: list[str]) -> Spec:
    """A colour of the page for each kind, with a legend."""
    return {
        "type": "nominal",
        "scale": {"domain": domain, "range": [f"var(--{name})" for name in variables]},
        "legend": {"title": None, "orient": "top", "symbolType": "square"},
    }


def count_axis() -> Spec:
    """Above the chart, whole numbers: where the most is 2, Vega would also write 0.5 and 1.5."""
    whole = "datum.value % 1 ? '' : format(datum.value, ',')"
    return {"title": None, "orient": "top", "tickMinStep": 1, "tickCount": 5, "labelExpr": whole}


def percent_axis(**rest: Any) -> Spec:  # noqa: ANN401
    """An axis from 0 to 100 percent."""
    return {
        "type": "quantitative",
        "scale": {"domain": [0, 100]},
        "axis": {"title": None, "labelExpr": "datum.label + ' %'", "tickCount": 5, **rest},
    }


def on_hover(tooltip: list[Spec]) -> Spec:
    """A band under the pointer, as wide as its day or week, with a tooltip.

    Vega-Lite's selection of the nearest point is not used: its tooltips show texts as "undefined".
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
