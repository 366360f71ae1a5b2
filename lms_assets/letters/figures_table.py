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
    """The day's figures in the order of the registry; None where the day has none."""
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
    """Figures of a period beside those of an earlier period, and their change.

    Args:
        title: The table's title.
        spans: The names of the two periods, as column headings.
        figures: Figure → value in the later period.
        before: Figure → value in the earlier period; None leaves two columns out.
        texts: The language.
    """
    names = [name for name in LETTER if figures.get(name) is not None]
    headings = [texts.text("letters.table.figure"), spans[0]]
    if before is not None:
        headings += [spans[1], texts.text("letters.table.change")]
    rows = [_figure_row(name, figures, before, texts) for name in names]
    return Table(title, headings, rows)


def _figure_row(
    name: str, figures: Mapping[str, Any], before: Mapping[str, Any] | None, texts: Texts
) -> list[str]:
    now = float(figures[name])
    row = [name_of(name, texts), as_text(name, now, texts)]
    if before is None:
        return row
    earlier = None if before.get(name) is None else float(before[name])
    return [*row, as_text(name, earlier, texts), _change(name, now, earlier, texts)]


def _change(name: str, now: float, earlier: float | None, texts: Texts) -> str:
    """The change of a figure: in points for a percentage, in percent for an amount.

    50 % after 40 % is ``+10.0 points``, 50 students after 40 are ``+25.0 %``.
    """
    unit = FIGURES[name].unit
    if earlier is None or unit == "hour" or (unit != "percent" and not earlier):
        return "—"
    difference = now - earlier if unit == "percent" else (now - earlier) / earlier * 100
    number = texts.number(abs(difference), 1)
    sign = "" if not re.search("[1-9]", number) else "+" if difference > 0 else MINUS
    if unit == "percent":
        return texts.text("letters.table.points", number=f"{sign}{number}")
    return f"{sign}{number} %"
