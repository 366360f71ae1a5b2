"""A letter's table of figures: the day beside the same weekday a week before; pure."""

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from lms_assets.letters.blocks import Table
from lms_assets.letters.facts import SuccessFacts
from lms_assets.letters.words import short_day
from lms_assets.statistics.figures import FIGURES, LETTER, as_text, name_of
from lms_assets.texts import MINUS, Texts


def figures_table(facts: SuccessFacts, texts: Texts) -> Table | None:
    """The figures that the day has, in the order of the registry; None where it has none."""
    if not any(facts.figures.get(name) is not None for name in LETTER):
        return None
    before, day = facts.week_before, facts.day
    title = texts.text(
        f"letters.section.figures{'' if before is None else '_against'}", day=texts.day(day)
    )
    spans = [short_day(day, texts), short_day(day - timedelta(days=7), texts)]
    return figures_beside(title, spans, facts.figures, before, texts)


def figures_beside(
    title: str,
    spans: Sequence[str],
    figures: Mapping[str, Any],
    before: Mapping[str, Any] | None,
    texts: Texts,
) -> Table:
    """Figures of a stretch of time beside those of the one before, and their change.

    Args:
        spans: What the two stretches are called.
        before: None where there is nothing to compare with.
    """
    known = [name for name in LETTER if figures.get(name) is not None]
    headings = [texts.text("letters.table.figure"), spans[0]]
    if before is not None:
        headings += [spans[1], texts.text("letters.table.change")]
    rows = [_figure_row(name, figures, before, texts) for name in known]
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
