"""The content of a course's weekly letter; pure."""

from collections.abc import Sequence
from datetime import timedelta

from lms_assets.letters.alarm_lines import alarms_block
from lms_assets.letters.blocks import Block, Paragraphs, Table
from lms_assets.letters.facts import CourseFacts, TaskLine
from lms_assets.letters.figures_table import figures_beside
from lms_assets.letters.words import short_day
from lms_assets.texts import Texts


def course_blocks(facts: CourseFacts, texts: Texts) -> list[Block | None]:
    """All blocks but the chart: alarms, the week's figures, and tasks that give trouble."""
    return [
        alarms_block(facts.alarms, texts),
        _week(facts, texts),
        _hardest(facts.hardest, texts),
        _stuck(facts.stuck, texts),
        _stops(facts.stops, texts),
    ]


def _week(facts: CourseFacts, texts: Texts) -> Block | None:
    title = texts.text("letters.section.week")
    if not facts.week:
        return Paragraphs(title, [texts.text("letters.sentence.few_students")])
    before = facts.first_day - timedelta(days=7)
    spans = [
        f"{short_day(first, texts)} – {short_day(last, texts)}"
        for first, last in (
            (facts.first_day, facts.day),
            (before, facts.first_day - timedelta(days=1)),
        )
    ]
    return figures_beside(title, spans, facts.week, facts.week_before or None, texts)


def _hardest(tasks: Sequence[TaskLine], texts: Texts) -> Table | None:
    names = ("task", "students", "first_try", "solve")
    headings = [texts.text(f"letters.table.{name}") for name in names]
    rows = [
        [
            task.task,
            texts.number(task.students),
            texts.percent(task.first_try_pct),
            texts.percent(task.solve_pct),
        ]
        for task in tasks
    ]
    return Table(texts.text("letters.section.hardest"), headings, rows) if rows else None


def _stuck(tasks: Sequence[TaskLine], texts: Texts) -> Table | None:
    headings = [texts.text(f"letters.table.{name}") for name in ("task", "stuck", "students")]
    rows = [[task.task, texts.number(task.stuck), texts.number(task.students)] for task in tasks]
    return Table(texts.text("letters.section.stuck"), headings, rows) if rows else None


def _stops(tasks: Sequence[TaskLine], texts: Texts) -> Table | None:
    headings = [texts.text(f"letters.table.{name}") for name in ("task", "stopped", "stopped_pct")]
    rows = [
        [task.task, texts.number(task.stopped), texts.percent(task.stopped_pct)] for task in tasks
    ]
    return Table(texts.text("letters.section.stops"), headings, rows) if rows else None
