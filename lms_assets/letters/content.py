"""The content of each kind of letter, as blocks of text, numbers and one chart; pure.

Text from outside systems is cut to one line without control characters. The templates escape it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

from lms_assets.attempts.fates import Fates
from lms_assets.faults.causes import Cause, one_line
from lms_assets.letters.alarm_lines import alarms_block
from lms_assets.letters.blocks import (
    Block,
    Content,
    LinkList,
    Pairs,
    Paragraphs,
    Picture,
    Quotation,
)
from lms_assets.letters.chart import drawing_of
from lms_assets.letters.course_content import course_blocks
from lms_assets.letters.facts import (
    CourseFacts,
    DayFailure,
    DayFigures,
    EmptyFacts,
    Facts,
    FailureFacts,
    GivenUpFacts,
    HistoryFacts,
    Links,
    Pulled,
    RecoveredFacts,
    SuccessFacts,
)
from lms_assets.letters.figures_table import figures_table
from lms_assets.letters.words import (
    command,
    duration,
    moment_words,
    named,
    printable,
    short_day,
    spans,
    stage_name,
    words,
)
from lms_assets.texts import Texts

LAST_ERROR_LINES = 40
LAST_ERROR_CHARACTERS = 4096
CAUSES_SHOWN = 20
CHART_CID = "attempts-by-day@lms-assets"


def content_of(facts: Facts, texts: Texts) -> Content:
    """The content of a letter with these facts, in the language of ``texts``."""
    write: dict[type, Callable[[Any, Texts], tuple[str, str, list[Block | None]]]] = {
        SuccessFacts: _success,
        EmptyFacts: _empty,
        FailureFacts: _failure,
        HistoryFacts: _history,
        RecoveredFacts: _recovered,
        GivenUpFacts: _given_up,
        CourseFacts: _course,
    }
    tone, headline, blocks = write[type(facts)](facts, texts)
    footer = "course" if isinstance(facts, CourseFacts) else "why"
    present = [block for block in blocks if block is not None]
    return Content(texts.language, tone, headline, present, texts.text(f"letters.footer.{footer}"))


def _success(facts: SuccessFacts, texts: Texts) -> tuple[str, str, list[Block | None]]:
    opening = [texts.text("letters.sentence.success")]
    if facts.tries > 1:
        opening.append(texts.text("letters.sentence.tries", tries=facts.tries))
    headline = texts.text("letters.headline.success", day=texts.day(facts.day))
    blocks = [alarms_block(facts.alarms, texts), Paragraphs("", opening), *_good_day(facts, texts)]
    return "notable" if facts.alarms else "good", headline, blocks


def _recovered(facts: RecoveredFacts, texts: Texts) -> tuple[str, str, list[Block | None]]:
    opening = [texts.text("letters.sentence.recovered")]
    if facts.tries > 1:
        opening.append(texts.text("letters.sentence.tries", tries=facts.tries))
    if facts.failed_at:
        failed_at = moment_words(facts.failed_at, texts)
        opening.append(texts.text("letters.sentence.failed_at", moment=failed_at))
    if facts.cause:
        cause = facts.cause.explained(texts.language).cause
        opening.append(texts.text("letters.sentence.recovered_cause", cause=cause))
    headline = texts.text("letters.headline.recovered", day=texts.day(facts.day))
    blocks = [alarms_block(facts.alarms, texts), Paragraphs("", opening), *_good_day(facts, texts)]
    return "notable" if facts.alarms else "good", headline, blocks


def _good_day(facts: SuccessFacts, texts: Texts) -> list[Block | None]:
    return [
        _records("records", facts.counts, texts),
        _rejected(facts.counts.rejected, texts),
        _late(facts.late_rows, texts),
        figures_table(facts, texts),
        _chart(facts.recent, texts),
        _watch(facts, texts),
        _links(facts.links, texts),
        _run(facts.duration_s, facts.next_run, texts),
    ]


def _empty(facts: EmptyFacts, texts: Texts) -> tuple[str, str, list[Block | None]]:
    opening = [texts.text("letters.sentence.empty")]
    if facts.stored is not None:
        stored = texts.number(facts.stored)
        opening.append(texts.text("letters.sentence.stored", count=stored))
    if facts.tries > 1:
        opening.append(texts.text("letters.sentence.tries", tries=facts.tries))
    opening.append(texts.text("letters.sentence.empty_next", command=command(facts.day)))
    headline = texts.text("letters.headline.empty", day=texts.day(facts.day))
    blocks: list[Block | None] = [
        Paragraphs("", opening),
        _late(facts.late_rows, texts),
        _links(facts.links, texts),
        _run(facts.duration_s, facts.next_run, texts),
    ]
    return "notable", headline, blocks


def _failure(facts: FailureFacts, texts: Texts) -> tuple[str, str, list[Block | None]]:
    if facts.day is None:
        return _failure_without_a_day(facts, texts)
    headline_key = "failure_after_load" if facts.is_loaded else "failure"
    day = texts.day(facts.day)
    safe = texts.text(f"letters.sentence.{'loaded' if facts.is_loaded else 'nothing_lost'}")
    counts = facts.counts
    blocks = [
        *_cause(facts.cause, texts),
        Paragraphs(texts.text("letters.section.next"), [*_retry(facts, texts), safe]),
        _refused(counts, texts) if counts else None,
        _rejected(counts.rejected, texts) if counts else None,
        _links(facts.links, texts),
        _run(facts.duration_s, facts.next_run, texts),
        _error(facts.error, texts),
    ]
    return "bad", texts.text(f"letters.headline.{headline_key}", day=day), blocks


def _failure_without_a_day(
    facts: FailureFacts, texts: Texts
) -> tuple[str, str, list[Block | None]]:
    """The letter of a run that was launched without a day: no day is missing or run again."""
    blocks = [
        *_cause(facts.cause, texts),
        _links(facts.links, texts),
        _run(facts.duration_s, facts.next_run, texts),
        _error(facts.error, texts),
    ]
    return "bad", texts.text("letters.headline.failure_without_a_day"), blocks


def _retry(facts: FailureFacts, texts: Texts) -> list[str]:
    sentences = []
    if facts.tries > 1:
        sentences.append(texts.text("letters.sentence.failed_tries", tries=facts.tries))
    if not facts.will_be_retried:
        again = command(facts.day)
        return [*sentences, texts.text("letters.sentence.not_retried", command=again)]
    if facts.retry_at is None:
        return [*sentences, texts.text("letters.sentence.will_be_retried")]
    moment = moment_words(facts.retry_at, texts)
    return [*sentences, texts.text("letters.sentence.will_be_retried_at", moment=moment)]


def _given_up(facts: GivenUpFacts, texts: Texts) -> tuple[str, str, list[Block | None]]:
    end = texts.text("letters.sentence.given_up", tries=facts.tries, command=command(facts.day))
    blocks = [
        Paragraphs("", [end]),
        *_cause(facts.cause, texts),
        *_failures(facts.others, texts),
        _links(facts.links, texts),
        _error(facts.error, texts),
    ]
    return "bad", texts.text("letters.headline.given_up", day=texts.day(facts.day)), blocks


def _history(facts: HistoryFacts, texts: Texts) -> tuple[str, str, list[Block | None]]:
    first, last = texts.day(facts.first_day), texts.day(facts.last_day)
    again = facts.again or f"./lms backfill {facts.first_day} {facts.last_day}"
    opening = texts.text(
        f"letters.sentence.history_{'bad' if facts.failures else 'good'}", command=again
    )
    blocks = [
        alarms_block(facts.alarms, texts),
        Paragraphs("", [opening]),
        _days(facts, texts),
        *_failures(facts.failures, texts),
        _records("totals", facts.totals, texts),
        _rejected(facts.totals.rejected, texts),
        _chart(facts.recent, texts),
        _links(facts.links, texts),
        _run(facts.duration_s, facts.next_run, texts),
    ]
    headline = texts.text(
        "letters.headline.history", first=first, last=last, outcome=outcome(facts, texts)
    )
    tone = "bad" if facts.failures else "notable" if facts.alarms else "good"
    return tone, headline, blocks


def _course(facts: CourseFacts, texts: Texts) -> tuple[str, str, list[Block | None]]:
    headline = texts.text(
        "letters.headline.course",
        course=one_line(facts.course),
        first=texts.day(facts.first_day),
        last=texts.day(facts.day),
    )
    blocks = [*course_blocks(facts, texts), _chart(facts.recent, texts)]
    return "notable" if facts.alarms else "good", headline, blocks


def _records(section: str, fates: Fates, texts: Texts) -> Pairs:
    """Counts of the received records by fate; rare fates are left out where they are 0."""
    values = {
        "received": fates.received,
        "processed": fates.received - fates.rejected_in_all,
        "inserted": fates.inserted,
        "updated": fates.updated,
        "unchanged": fates.unchanged,
        "duplicates": fates.duplicates,
        "conflicting": fates.conflicting or None,
        "outside_window": fates.outside_window,
        "erased": fates.erased or None,
        "rejected": fates.rejected_in_all,
        "deleted": fates.deleted or None,
        "vanished": fates.vanished - fates.deleted or None,
    }
    rows = [
        (texts.text(f"letters.count.{name}"), texts.number(value))
        for name, value in values.items()
        if value is not None
    ]
    return Pairs(texts.text(f"letters.section.{section}"), rows)


def _refused(counts: Pulled, texts: Texts) -> Pairs | None:
    """Received and rejected records of a day that was not loaded."""
    values = {"received": counts.received, "rejected": sum(counts.rejected.values())}
    rows = [
        (texts.text(f"letters.count.{name}"), texts.number(value)) for name, value in values.items()
    ]
    return Pairs(texts.text("letters.section.records"), rows) if counts.received else None


def _rejected(rejected: Mapping[str, int], texts: Texts) -> Pairs | None:
    most_first = sorted(rejected.items(), key=lambda item: (-item[1], item[0]))
    rows = [
        (named("reason", reason, texts), texts.number(count))
        for reason, count in most_first
        if count
    ]
    return Pairs(texts.text("letters.section.rejected"), rows) if rows else None


def _late(late_rows: Mapping[date, int], texts: Texts) -> Pairs | None:
    rows = [(f"{day}", texts.number(count)) for day, count in sorted(late_rows.items())]
    return Pairs(texts.text("letters.section.late"), rows) if rows else None


def _chart(recent: Sequence[DayFigures], texts: Texts) -> Picture | None:
    if not any(day.attempts for day in recent):
        return None
    rows = [(f"{day.day}", texts.number(day.attempts)) for day in recent]
    attempts_by_day = "; ".join(
        f"{short_day(day.day, texts)}: {texts.number(day.attempts)}" for day in recent
    )
    return Picture(
        title=texts.text("letters.section.chart"),
        alt=texts.text("letters.chart.alt", days=attempts_by_day),
        cid=CHART_CID,
        drawing=drawing_of(recent, texts),
        rows=rows,
    )


def _watch(facts: SuccessFacts, texts: Texts) -> Block | None:
    counted = [
        (words("watch", name, texts), texts.number(count))
        for name, count in facts.watch.items()
        if count
    ]
    warned = [(one_line(warning), "") for warning in facts.warnings]
    rows = counted + warned
    return Pairs(texts.text("letters.section.watch"), rows) if rows else None


def _links(links: Links, texts: Texts) -> LinkList | None:
    names = ("sheet", "page", "dashboard", "run", "sheet_file", "page_file")
    followable = [
        (texts.text(f"letters.link.{name}"), one_line(url))
        for name in names
        if (url := getattr(links, name))
    ]
    return LinkList(texts.text("letters.section.links"), followable) if followable else None


def _run(duration_s: float | None, next_run: datetime | None, texts: Texts) -> Pairs | None:
    rows = []
    if duration_s is not None:
        rows.append((texts.text("letters.run.duration"), duration(duration_s, texts)))
    if next_run is not None:
        rows.append((texts.text("letters.run.next_run"), moment_words(next_run, texts)))
    return Pairs(texts.text("letters.section.run"), rows) if rows else None


def _days(facts: HistoryFacts, texts: Texts) -> Pairs:
    values = {
        "done": facts.done,
        "empty": facts.empty or None,
        "failed": len(facts.failures),
        "skipped": facts.skipped or None,
    }
    rows = [
        (texts.text(f"letters.days.{name}"), texts.number(count))
        for name, count in values.items()
        if count is not None
    ]
    return Pairs(texts.text("letters.section.days"), rows)


def outcome(facts: HistoryFacts, texts: Texts) -> str:
    """Counts of days by outcome, as ``362 done, 3 failed``."""
    values = {"done": facts.done, "empty": facts.empty, "failed": len(facts.failures)}
    return ", ".join(
        texts.text(f"letters.outcome.{name}", count=texts.number(count))
        for name, count in values.items()
        if count or name == "done"
    )


def _failures(failures: Sequence[DayFailure], texts: Texts) -> list[Block | None]:
    """Each cause once with its days; the cause of the most days comes first."""
    groups: dict[tuple[str, str], list[DayFailure]] = {}
    for failure in failures:
        cause = failure.cause
        groups.setdefault((cause.stage, cause.code or cause.message), []).append(failure)
    most_first = sorted(groups.values(), key=lambda group: (-len(group), group[0].day))
    blocks: list[Block | None] = [
        _failed_days(group, texts, is_first=n == 0)
        for n, group in enumerate(most_first[:CAUSES_SHOWN])
    ]
    more = len(most_first) - CAUSES_SHOWN
    if more > 0:
        sentence = texts.text("letters.sentence.more_causes", count=texts.number(more))
        blocks.append(Paragraphs("", [sentence]))
    return blocks


def _failed_days(group: Sequence[DayFailure], texts: Texts, *, is_first: bool) -> Paragraphs:
    explanation = group[0].cause.explained(texts.language)
    stage = f"{texts.text('letters.cause.stage')}: {stage_name(group[0].cause, texts)}."
    days = f"{texts.text('letters.cause.days')}: {spans(f.day for f in group)}"
    title = texts.text("letters.section.failures") if is_first else ""
    return Paragraphs(title, [days, stage, *filter(None, (explanation.cause, explanation.remedy))])


def _cause(cause: Cause, texts: Texts) -> list[Block | None]:
    explanation = cause.explained(texts.language)
    remedy = explanation.remedy
    stage = f"{texts.text('letters.cause.stage')}: {stage_name(cause, texts)}."
    return [
        Paragraphs(
            texts.text("letters.section.cause"), [*filter(None, (explanation.cause,)), stage]
        ),
        Paragraphs(texts.text("letters.section.remedy"), [remedy]) if remedy else None,
    ]


def _error(error: str, texts: Texts) -> Quotation | None:
    """The end of a traceback, which names the cause: at most 40 lines and 4096 characters."""
    if not error.strip():
        return None
    end = error[-LAST_ERROR_CHARACTERS:]
    lines = printable(end).strip("\n").split("\n")[-LAST_ERROR_LINES:]
    omitted = error.strip("\n").count("\n") + 1 - len(lines)
    if omitted > 0 or len(end) < len(error):
        count = texts.number(max(omitted, 1))
        lines = [texts.text("letters.sentence.left_out", count=count), *lines]
    return Quotation(texts.text("letters.section.error"), lines)
