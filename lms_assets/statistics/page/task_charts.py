"""Charts of tasks: Vega-Lite specs without their data; pure."""

from lms_assets.statistics.page.marks import (
    Name,
    Spec,
    Word,
    by_row,
    chart,
    colours,
    count_axis,
    day_axis,
    on_hover,
    percent_axis,
    task_axis,
    tooltip,
    tooltip_of,
)

BAR_STEP_PX = 26


def hardest(word: Word, name: Name) -> Spec:
    """Rows: a task; ``place`` (rank, tab, title), ``value``, ``low``, ``high``, in percent."""
    y = task_axis()
    tips = tooltip(
        task=name("task"),
        first_try_pct=name("first_try_pct"),
        interval=word("word.interval"),
        students=name("students"),
    )
    return by_row(
        BAR_STEP_PX,
        layer=[
            {
                "mark": {"type": "bar", "color": "var(--wrong)", "height": {"band": 0.6}},
                "encoding": {
                    "y": y,
                    "x": {"field": "value", **percent_axis(orient="top")},
                    "tooltip": tips,
                },
            },
            {
                "mark": {"type": "rule", "color": "var(--ink)", "strokeWidth": 1.5},
                "encoding": {
                    "y": y,
                    "x": {"field": "low", **percent_axis(orient="top")},
                    "x2": {"field": "high"},
                    "tooltip": tips,
                },
            },
        ],
    )


def items(word: Word, name: Name) -> Spec:
    """Rows: a task; ``x`` first-try success in percent, ``y`` its discrimination, ``state``."""
    states = {state: word(f"state.{state}") for state in ("negative", "weak", "fair", "good")}
    columns = {
        "task": name("task"),
        "discrimination": name("discrimination"),
        "interval": word("word.interval"),
        "compared_students": name("compared_students"),
        "first_try_pct": name("first_try_pct"),
    }
    variables = ["wrong", "ungraded", "runs", "correct"]
    nought = {
        "mark": {"type": "rule", "color": "var(--muted)", "strokeDash": [4, 3]},
        "encoding": {"y": {"datum": 0}},
    }
    shapes = ["triangle-down", "diamond", "square", "circle"]
    points = {
        "mark": {"type": "point", "filled": True, "size": 70, "opacity": 0.85},
        "encoding": {
            "x": {"field": "x", **percent_axis(title=name("first_try_pct"))},
            "y": {
                "field": "y",
                "type": "quantitative",
                "scale": {"domainMax": 1},
                "axis": {"title": name("discrimination"), "tickCount": 5},
            },
            "color": {"field": "state", **colours(list(states.values()), variables)},
            "shape": {
                "field": "state",
                "type": "nominal",
                "scale": {"domain": list(states.values()), "range": shapes},
                "legend": {"title": None, "orient": "top"},
            },
            "href": {"field": "href"},
            "tooltip": tooltip(**columns),
        },
    }
    return chart(340, layer=[nought, points])


def help_needed() -> Spec:
    """Rows: a task; ``place`` (rank, tab, title), ``value`` students, ``label``."""
    y = task_axis()
    x = {
        "field": "value",
        "type": "quantitative",
        "axis": count_axis(),
    }
    return by_row(
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


def time_to_solve(word: Word, name: Name) -> Spec:
    """Rows: a task; ``place`` (rank, tab, title), ``value`` and ``high`` in minutes."""
    y = task_axis()
    tips = tooltip_of(name, "task", "median_active_min", "p90_active_min", "timed_solvers")
    axis = {"title": word("word.minutes"), "orient": "top", "tickCount": 5}
    x = {"field": "value", "type": "quantitative", "axis": axis}
    return by_row(
        BAR_STEP_PX,
        layer=[
            {
                "mark": {"type": "bar", "color": "var(--mau)", "height": {"band": 0.6}},
                "encoding": {"y": y, "x": x, "tooltip": tips},
            },
            {
                "mark": {"type": "rule", "color": "var(--ink)", "strokeWidth": 1.5},
                "encoding": {"y": y, "x": x, "x2": {"field": "high"}, "tooltip": tips},
            },
        ],
    )


def stops(name: Name) -> Spec:
    """Rows: a task; ``place`` (rank, tab, title), ``stopped``, ``solved`` of them, ``label``."""
    y = task_axis()
    tips = tooltip_of(name, "task", "stopped", "stopped_solvers", "stopped_pct")
    kinds = [name("stopped"), name("stopped_solvers")]

    def bar(field: str, kind: str, height: float) -> Spec:
        colour = {"datum": kind, **colours(kinds, ["wrong", "correct"])}
        x = {"field": field, "type": "quantitative", "axis": count_axis()}
        return {
            "mark": {"type": "bar", "height": {"band": height}},
            "encoding": {"y": y, "x": x, "color": colour, "tooltip": tips},
        }

    label = {
        "mark": {"type": "text", "align": "left", "dx": 5, "color": "var(--ink)"},
        "encoding": {
            "y": y,
            "x": {"field": "stopped", "type": "quantitative"},
            "text": {"field": "label"},
        },
    }
    bars = [bar("stopped", kinds[0], 0.7), bar("solved", kinds[1], 0.35)]
    return by_row(BAR_STEP_PX, layer=[*bars, label])


def task(word: Word, name: Name) -> Spec:
    """Rows: a day or week of one task; ``day``, ``middle``, ``until`` (UTC ms).

    ``share`` is solved student-days in percent, ``state`` its alarm in words.
    """
    x = day_axis("middle")
    y = {"field": "share", **percent_axis()}
    states = [word("word.no_alarm"), word("state.collapsed"), word("state.surged")]
    line = {"mark": {"type": "line", "color": "var(--muted)"}, "encoding": {"x": x, "y": y}}
    points = {
        "mark": {"type": "point", "filled": True, "size": 60, "opacity": 1},
        "encoding": {
            "x": x,
            "y": y,
            "color": {"field": "state", **colours(states, ["correct", "wrong", "runs"])},
            "shape": {
                "field": "state",
                "type": "nominal",
                "scale": {"domain": states, "range": ["circle", "triangle-down", "triangle-up"]},
                "legend": {"title": None, "orient": "top"},
            },
        },
    }
    shown = ("day", "alarm_students", "solved", "solved_pct", "alarm_kind")
    return chart(layer=[line, points, on_hover(tooltip_of(name, *shown))])
