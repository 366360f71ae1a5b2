"""The charts of the page: Vega-Lite specs without their data; pure.

A spec reads the data set ``rows``, which the page's script makes from the figures of the selected
period and course. Fields ``tip_…`` hold the texts of a tooltip. Colours are CSS variables of the
page, so that one chart works on light, dark and paper. For the same reason a heat map varies the
opacity of one colour.
"""

import json

from lms_assets.statistics.page import task_charts
from lms_assets.statistics.page.marks import (
    Name,
    Spec,
    Word,
    by_row,
    chart,
    colours,
    day_axis,
    on_hover,
    percent_axis,
    task_axis,
    tooltip,
    tooltip_of,
)

KINDS = ("correct", "wrong", "ungraded", "runs")
CELL_STEP_PX = 22


def chart_specs(word: Word, name: Name) -> dict[str, Spec]:
    """The spec of each chart, by the name of its section in the page.

    Args:
        word: Gives the text under a key of ``page.toml``, such as ``word.hour``.
        name: Gives the name of a figure for people.
    """
    return {
        "activity": _activity(name),
        "users": _users(name),
        "success": _success(word, name),
        "hardest": task_charts.hardest(word, name),
        "items": task_charts.items(word, name),
        "help": task_charts.help_needed(),
        "time": task_charts.time_to_solve(word, name),
        "stops": task_charts.stops(name),
        "retention": _retention(name),
        "heat": _heat(word, name),
        "task": task_charts.task(word, name),
    }


def _activity(name: Name) -> Spec:
    """Rows: a day or week and a kind; ``day``, ``until`` (UTC ms), ``kind``, ``from``, ``to``."""
    kinds = [name(kind) for kind in KINDS]
    tips = tooltip_of(name, "day", "attempts", *KINDS)
    return chart(
        mark={"type": "bar", "x2Offset": -0.5},
        encoding={
            "x": day_axis(),
            "x2": {"field": "until"},
            "y": {"field": "from", "type": "quantitative", "axis": {"title": None}},
            "y2": {"field": "to"},
            "color": {"field": "kind", **colours(kinds, list(KINDS))},
            "tooltip": tips,
        },
    )


def _users(name: Name) -> Spec:
    """Rows: a day; ``day``, ``middle``, ``until`` (UTC ms), ``users``, ``wau``, ``mau``."""
    names = {figure: name(figure) for figure in ("users", "wau", "mau")}
    lines = {
        "transform": [
            {"fold": list(names), "as": ["window", "students"]},
            {"filter": "isValid(datum.students)"},
            {"calculate": f"({json.dumps(names)})[datum.window]", "as": "window"},
        ],
        "mark": {"type": "line", "strokeWidth": 2, "point": False},
        "encoding": {
            "x": day_axis("middle"),
            "y": {"field": "students", "type": "quantitative", "axis": {"title": None}},
            "color": {
                "field": "window",
                **colours(list(names.values()), ["wrong", "runs", "mau"]),
            },
            "strokeDash": {
                "field": "window",
                "type": "nominal",
                "scale": {"domain": list(names.values()), "range": [[1, 0], [6, 3], [2, 2]]},
                "legend": {"title": None, "orient": "top"},
            },
        },
    }
    return chart(layer=[lines, on_hover(tooltip(day=name("day"), **names))])


def _success(word: Word, name: Name) -> Spec:
    """Rows: a day or week; ``day``, ``middle``, ``until`` (UTC ms).

    ``success``, ``low`` and ``high`` are in percent.
    """
    x = day_axis("middle")
    columns = {
        "day": name("day"),
        "success_pct": name("success_pct"),
        "interval": word("word.interval"),
        "graded": name("graded"),
    }
    return chart(
        layer=[
            {
                "mark": {"type": "area", "color": "var(--correct)", "opacity": 0.22},
                "encoding": {
                    "x": x,
                    "y": {"field": "low", **percent_axis()},
                    "y2": {"field": "high"},
                },
            },
            {
                "mark": {
                    "type": "line",
                    "color": "var(--correct)",
                    "point": {"color": "var(--correct)", "size": {"expr": "dot"}},
                },
                "encoding": {"x": x, "y": {"field": "success", **percent_axis()}},
            },
            on_hover(tooltip(**columns)),
        ],
    )


def _cells(field: str, strongest: float, scale: Spec) -> Spec:
    return {
        "field": field,
        "type": "quantitative",
        "scale": {"range": [0.05, strongest], **scale},
        "legend": None,
    }


def _retention(name: Name) -> Spec:
    """Rows: a cohort and weeks later; ``place``, ``later``, ``pct``, ``label``, ``is_complete``."""
    x = {
        "field": "later",
        "type": "ordinal",
        "axis": {"title": name("weeks_later"), "orient": "top", "labelAngle": 0},
    }
    tips = tooltip(
        cohort=name("cohort_week"),
        later=name("weeks_later"),
        active=name("active"),
    )
    cells = {
        "y": task_axis(),
        "x": x,
        "fillOpacity": _cells("pct", 0.65, {"domain": [0, 100]}),
        "tooltip": tips,
    }
    complete = {"type": "rect", "fill": "var(--heat)", "stroke": "var(--card)"}
    running = {**complete, "stroke": "var(--ink)", "strokeDash": [3, 2], "strokeWidth": 1.5}
    numbers = {
        "mark": {"type": "text", "fontSize": 10, "color": "var(--ink)"},
        "encoding": {
            "y": task_axis(),
            "x": x,
            "text": {"field": "label"},
            "tooltip": tips,
        },
    }
    return by_row(
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


def _heat(word: Word, name: Name) -> Spec:
    """Rows: a weekday and an hour; ``place`` (number, tab, name), ``hour``, ``attempts``."""
    return by_row(
        CELL_STEP_PX,
        mark={"type": "rect", "fill": "var(--heat)", "stroke": "var(--card)"},
        encoding={
            "y": task_axis(),
            "x": {
                "field": "hour",
                "type": "ordinal",
                "axis": {
                    "title": name("hour"),
                    "labelAngle": 0,
                    "labelOverlap": True,
                    "domain": False,
                },
            },
            "fillOpacity": _cells("attempts", 0.95, {"type": "sqrt"}),
            "tooltip": tooltip(
                when=word("word.when"),
                attempts=name("attempts"),
                users=name("users"),
            ),
        },
    )
