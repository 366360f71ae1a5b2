"""What the charts of the page look like: Vega-Lite specs without their data; pure.

A spec reads rows named ``rows``, which the page's script makes from the figures of the chosen
period and course; fields ``tip_…`` hold what a tooltip says, in the reader's language. Colours
are CSS variables of the page, so that one drawing serves light, dark and paper; a heat map's
strength is the opacity of one colour for the same reason.
"""

import json
from collections.abc import Callable
from typing import Any

Spec = dict[str, Any]
Word = Callable[[str], str]

KINDS = ("correct", "wrong", "ungraded", "runs")
LONG_SPAN_MS = 200 * 86_400_000
HEIGHT_PX = 240
BAR_STEP_PX = 26
CELL_STEP_PX = 22
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


def chart_specs(word: Word) -> dict[str, Spec]:
    """The spec of each chart, by the name of its section in the page.

    Args:
        word: The text under a key of ``page.toml``, as ``column.runs``.
    """
    return {
        "activity": _activity(word),
        "users": _users(word),
        "success": _success(word),
        "hardest": _hardest(word),
        "help": _help(),
        "time": _time(word),
        "retention": _retention(word),
        "heat": _heat(word),
    }


def _by_row(step_px: int, **rest: Any) -> Spec:  # noqa: ANN401
    """A chart as high as its places; the script counts them.

    Vega-Lite would do so by a height of steps, but warns whenever the width is the container's.
    """
    return _chart(None, usermeta={"step": step_px}, **rest)


def _chart(height: int | None = HEIGHT_PX, **rest: Any) -> Spec:  # noqa: ANN401
    return {
        "data": {"name": "rows"},
        "width": "container",
        **({"height": height} if height else {}),
        "autosize": {"contains": "padding"},
        "config": CONFIG,
        **rest,
    }


def _tooltip(**columns: str) -> list[Spec]:
    return [{"field": f"tip_{field}", "title": title} for field, title in columns.items()]


def _day_axis(field: str = "day") -> Spec:
    shape = f"last - first > {LONG_SPAN_MS} ? '%b %Y' : '%-d %b'"
    return {
        "field": field,
        "type": "temporal",
        "scale": {"type": "utc", "domainMin": {"expr": "first"}, "domainMax": {"expr": "last"}},
        "axis": {
            "title": None,
            "grid": False,
            "labelOverlap": "greedy",
            "tickCount": 8,
            "labelSeparation": 6,
            "labelExpr": f"utcFormat(datum.value, {shape})",
        },
    }


def _colours(domain: list[str], variables: list[str]) -> Spec:
    return {
        "type": "nominal",
        "scale": {"domain": domain, "range": [f"var(--{name})" for name in variables]},
        "legend": {"title": None, "orient": "top", "symbolType": "square"},
    }


def _percent_axis(**rest: Any) -> Spec:  # noqa: ANN401
    return {
        "type": "quantitative",
        "scale": {"domain": [0, 100]},
        "axis": {"title": None, "labelExpr": "datum.label + ' %'", "tickCount": 5, **rest},
    }


def _on_hover(tooltip: list[Spec]) -> Spec:
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
            "x": _day_axis(),
            "x2": {"field": "until"},
            "opacity": {"condition": band, "value": 0},
            "tooltip": tooltip,
        },
    }


def _activity(word: Word) -> Spec:
    """Rows: a day or week and a kind; ``day``, ``until`` (UTC ms), ``kind``, ``from``, ``to``."""
    kinds = [word(f"column.{kind}") for kind in KINDS]
    tooltip = _tooltip(
        day=word("column.day"),
        attempts=word("column.attempts"),
        **{kind: word(f"column.{kind}") for kind in KINDS},
    )
    return _chart(
        mark={"type": "bar", "x2Offset": -0.5},
        encoding={
            "x": _day_axis(),
            "x2": {"field": "until"},
            "y": {"field": "from", "type": "quantitative", "axis": {"title": None}},
            "y2": {"field": "to"},
            "color": {"field": "kind", **_colours(kinds, list(KINDS))},
            "tooltip": tooltip,
        },
    )


def _users(word: Word) -> Spec:
    """Rows: a day; ``day``, ``middle``, ``until`` (UTC ms), ``dau``, ``wau``, ``mau``."""
    names = {name: word(f"column.{name}") for name in ("dau", "wau", "mau")}
    lines = {
        "transform": [
            {"fold": list(names), "as": ["window", "students"]},
            {"filter": "isValid(datum.students)"},
            {"calculate": f"({json.dumps(names)})[datum.window]", "as": "window"},
        ],
        "mark": {"type": "line", "strokeWidth": 2, "point": False},
        "encoding": {
            "x": _day_axis("middle"),
            "y": {"field": "students", "type": "quantitative", "axis": {"title": None}},
            "color": {
                "field": "window",
                **_colours(list(names.values()), ["wrong", "runs", "mau"]),
            },
            "strokeDash": {
                "field": "window",
                "type": "nominal",
                "scale": {"domain": list(names.values()), "range": [[1, 0], [6, 3], [2, 2]]},
                "legend": {"title": None, "orient": "top"},
            },
        },
    }
    return _chart(layer=[lines, _on_hover(_tooltip(day=word("column.day"), **names))])


def _success(word: Word) -> Spec:
    """Rows: a day or week; ``day``, ``middle``, ``until`` (UTC ms).

    ``success``, ``low`` and ``high`` are in percent.
    """
    x = _day_axis("middle")
    columns = {name: word(f"column.{name}") for name in ("day", "success", "interval", "n")}
    return _chart(
        layer=[
            {
                "mark": {"type": "area", "color": "var(--correct)", "opacity": 0.22},
                "encoding": {
                    "x": x,
                    "y": {"field": "low", **_percent_axis()},
                    "y2": {"field": "high"},
                },
            },
            {
                "mark": {
                    "type": "line",
                    "color": "var(--correct)",
                    "point": {"color": "var(--correct)", "size": {"expr": "dot"}},
                },
                "encoding": {"x": x, "y": {"field": "success", **_percent_axis()}},
            },
            _on_hover(_tooltip(**columns)),
        ],
    )


def _task_axis() -> Spec:
    """Titles may repeat, places do not: the row is its place, its label the title after it."""
    return {
        "field": "place",
        "type": "ordinal",
        "sort": None,
        "axis": {"title": None, "labelExpr": "split(datum.label, '\\t')[1]", "ticks": False},
    }


def _hardest(word: Word) -> Spec:
    """Rows: a task; ``place`` (rank, tab, title), ``value``, ``low``, ``high``, in percent."""
    y = _task_axis()
    tooltip = _tooltip(
        task=word("column.task"),
        value=word("column.first_try"),
        interval=word("column.interval"),
        students=word("column.students"),
    )
    return _by_row(
        BAR_STEP_PX,
        layer=[
            {
                "mark": {"type": "bar", "color": "var(--wrong)", "height": {"band": 0.6}},
                "encoding": {
                    "y": y,
                    "x": {"field": "value", **_percent_axis(orient="top")},
                    "tooltip": tooltip,
                },
            },
            {
                "mark": {"type": "rule", "color": "var(--ink)", "strokeWidth": 1.5},
                "encoding": {
                    "y": y,
                    "x": {"field": "low", **_percent_axis(orient="top")},
                    "x2": {"field": "high"},
                    "tooltip": tooltip,
                },
            },
        ],
    )


def _help() -> Spec:
    """Rows: a task; ``place`` (rank, tab, title), ``value`` students, ``label``."""
    y = _task_axis()
    x = {
        "field": "value",
        "type": "quantitative",
        "axis": {"title": None, "orient": "top", "tickMinStep": 1, "tickCount": 5},
    }
    return _by_row(
        BAR_STEP_PX,
        layer=[
            {
                "mark": {"type": "bar", "color": "var(--runs)", "height": {"band": 0.6}},
                "encoding": {"y": y, "x": x},
            },
            {
                "mark": {"type": "text", "align": "left", "dx": 5, "color": "var(--ink)"},
                "encoding": {"y": y, "x": x, "text": {"field": "label"}},
            },
        ],
    )


def _time(word: Word) -> Spec:
    """Rows: a task; ``place`` (rank, tab, title), ``value`` and ``high`` in minutes."""
    y = _task_axis()
    tooltip = _tooltip(
        task=word("column.task"),
        median=word("column.active_median"),
        p90=word("column.active_p90"),
        n=word("column.timed"),
    )
    axis = {"title": word("column.minutes"), "orient": "top", "tickCount": 5}
    x = {"field": "value", "type": "quantitative", "axis": axis}
    return _by_row(
        BAR_STEP_PX,
        layer=[
            {
                "mark": {"type": "bar", "color": "var(--mau)", "height": {"band": 0.6}},
                "encoding": {"y": y, "x": x, "tooltip": tooltip},
            },
            {
                "mark": {"type": "rule", "color": "var(--ink)", "strokeWidth": 1.5},
                "encoding": {"y": y, "x": x, "x2": {"field": "high"}, "tooltip": tooltip},
            },
        ],
    )


def _cells(field: str, strongest: float, scale: Spec) -> Spec:
    return {
        "field": field,
        "type": "quantitative",
        "scale": {"range": [0.05, strongest], **scale},
        "legend": None,
    }


def _retention(word: Word) -> Spec:
    """Rows: a cohort and weeks later; ``place``, ``later``, ``pct``, ``label``, ``is_complete``."""
    x = {
        "field": "later",
        "type": "ordinal",
        "axis": {"title": word("column.weeks_later"), "orient": "top", "labelAngle": 0},
    }
    tooltip = _tooltip(
        cohort=word("column.cohort"),
        later=word("column.weeks_later"),
        active=word("column.active"),
    )
    cells = {
        "y": _task_axis(),
        "x": x,
        "fillOpacity": _cells("pct", 0.65, {"domain": [0, 100]}),
        "tooltip": tooltip,
    }
    complete = {"type": "rect", "fill": "var(--heat)", "stroke": "var(--card)"}
    running = {**complete, "stroke": "var(--ink)", "strokeDash": [3, 2], "strokeWidth": 1.5}
    numbers = {
        "mark": {"type": "text", "fontSize": 10, "color": "var(--ink)"},
        "encoding": {
            "y": _task_axis(),
            "x": x,
            "text": {"field": "label"},
            "tooltip": tooltip,
        },
    }
    return _by_row(
        CELL_STEP_PX,
        layer=[
            {
                "mark": complete,
                "encoding": cells,
                "transform": [{"filter": "datum.is_complete"}],
            },
            {
                "mark": running,
                "encoding": cells,
                "transform": [{"filter": "!datum.is_complete"}],
            },
            numbers,
        ],
    )


def _heat(word: Word) -> Spec:
    """Rows: a weekday and an hour; ``place`` (number, tab, name), ``hour``, ``attempts``."""
    return _by_row(
        CELL_STEP_PX,
        mark={"type": "rect", "fill": "var(--heat)", "stroke": "var(--card)"},
        encoding={
            "y": _task_axis(),
            "x": {
                "field": "hour",
                "type": "ordinal",
                "axis": {
                    "title": word("column.hour"),
                    "labelAngle": 0,
                    "labelOverlap": True,
                    "domain": False,
                },
            },
            "fillOpacity": _cells("attempts", 0.95, {"type": "sqrt"}),
            "tooltip": _tooltip(
                when=word("column.weekday"),
                attempts=word("column.attempts"),
                users=word("column.users"),
            ),
        },
    )
