"""A letter's table of figures: the day beside the same weekday a week before; pure."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from lms_assets.letters.blocks import Table
from lms_assets.letters.facts import SuccessFacts
from lms_assets.letters.words import MINUS, short_day
from lms_assets.texts import Texts

FIGURES = {
    "attempts": "count",
    "users": "count",
    "new_users": "count",
    "returning_users": "count",
    "runs": "count",
    "submits": "count",
    "correct": "count",
    "wrong": "count",
    "ungraded": "count",
    "success_pct": "percent",
    "run_to_success_pct": "percent",
    "correct_of_all_pct": "percent",
    "mean_attempts_per_user": "decimal",
    "median_attempts_per_user": "decimal",
    "wau": "count",
    "mau": "count",
    "stickiness_pct": "percent",
    "attempts_trend_pct": "percent",
    "busiest_hour": "hour",
}


def figures_table(facts: SuccessFacts, texts: Texts) -> Table | None:
    """The figures that the day has, in the order of FIGURES; None where it has none."""
    known = [name for name in FIGURES if facts.figures.get(name) is not None]
    if not known:
        return None
    before, day = facts.week_before, facts.day
    headings = [texts.text("letters.table.figure"), short_day(day, texts)]
    if before is not None:
        headings += [short_day(day - timedelta(days=7), texts), texts.text("letters.table.change")]
    rows = [_figure_row(name, facts.figures, before, texts) for name in known]
    title = texts.text(
        f"letters.section.figures{'' if before is None else '_against'}", day=texts.day(day)
    )
    return Table(title, headings, rows)


def _figure_row(
    name: str, figures: Mapping[str, Any], before: Mapping[str, Any] | None, texts: Texts
) -> list[str]:
    now = float(figures[name])
    row = [texts.text(f"letters.figure.{name}"), _figure(name, now, texts)]
    if before is None:
        return row
    then = None if before.get(name) is None else float(before[name])
    return [*row, _figure(name, then, texts), _change(name, now, then, texts)]


def _figure(name: str, value: float | None, texts: Texts) -> str:
    if value is None:
        return "—"
    match FIGURES[name]:
        case "percent":
            return texts.percent(value)
        case "decimal":
            return texts.number(value, 1)
        case "hour":
            return f"{int(value):02d}:00"
        case _:
            return texts.number(value)


def _change(name: str, now: float, then: float | None, texts: Texts) -> str:
    """Percentages differ by points, amounts by percent of what they were."""
    kind = FIGURES[name]
    if then is None or kind == "hour" or (kind != "percent" and not then):
        return "—"
    difference = now - then if kind == "percent" else (now - then) / then * 100
    number = texts.number(abs(difference), 1)
    sign = "" if not re.search("[1-9]", number) else "+" if difference > 0 else MINUS
    if kind == "percent":
        return texts.text("letters.table.points", number=f"{sign}{number}")
    return f"{sign}{number} %"
