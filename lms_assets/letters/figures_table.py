"""A letter's table of figures: the day beside the same weekday a week before; pure."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from lms_assets.letters.blocks import Table
from lms_assets.letters.facts import SuccessFacts
from lms_assets.letters.words import short_day
from lms_assets.statistics.figures import FIGURES, LETTER, as_text, name_of
from lms_assets.texts import MINUS, Texts


def figures_table(facts: SuccessFacts, texts: Texts) -> Table | None:
    """The figures that the day has, in the order of the registry; None where it has none."""
    known = [name for name in LETTER if facts.figures.get(name) is not None]
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
    row = [name_of(name, texts), as_text(name, now, texts)]
    if before is None:
        return row
    then = None if before.get(name) is None else float(before[name])
    return [*row, as_text(name, then, texts), _change(name, now, then, texts)]


def _change(name: str, now: float, then: float | None, texts: Texts) -> str:
    """Percentages differ by points, amounts by percent of what they were."""
    unit = FIGURES[name].unit
    if then is None or unit == "hour" or (unit != "percent" and not then):
        return "—"
    difference = now - then if unit == "percent" else (now - then) / then * 100
    number = texts.number(abs(difference), 1)
    sign = "" if not re.search("[1-9]", number) else "+" if difference > 0 else MINUS
    if unit == "percent":
        return texts.text("letters.table.points", number=f"{sign}{number}")
    return f"{sign}{number} %"
