"""What each kind of letter says, as blocks of text, numbers and one chart, before it is drawn.

Pure. Whatever came from outside is one line, without control characters; it is escaped where it
is drawn.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, ClassVar

from babel.dates import format_date, get_timezone_gmt
from babel.dates import format_datetime as format_moment

from lms_assets.letters.chart import chart_png
from lms_assets.letters.facts import (
    Cause,
    Counts,
    DayFailure,
    DayFigures,
    EmptyFacts,
    Facts,
    FailureFacts,
    GivenUpFacts,
    HistoryFacts,
    Links,
    RecoveredFacts,
    SuccessFacts,
)
from lms_assets.texts import Texts, catalogue

LAST_ERROR_LINES = 40
LAST_ERROR_CHARACTERS = 4096
CAUSES_SHOWN = 20
CHART_CID = "attempts-by-day@lms-assets"
MINUS = "−"

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


@dataclass(frozen=True)
class Paragraphs:
    """Sentences, under a title of their own or under the headline."""

    shape: ClassVar[str] = "paragraphs"
    title: str
    sentences: list[str]


@dataclass(frozen=True)
class Pairs:
    """Names with their values; a name that is indented belongs to the one above it."""

    shape: ClassVar[str] = "pairs"
    title: str
    rows: list[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows under headings: the first column is text, the others are numbers."""

    shape: ClassVar[str] = "table"
    title: str
    headings: list[str]
    rows: list[list[str]]

    @property
    def widths(self) -> list[int]:
        """Of each column, in characters, for plain text."""
        return [max(map(len, column)) for column in zip(self.headings, *self.rows, strict=True)]


@dataclass(frozen=True)
class Quotation:
    """Text of a program, as it was."""

    shape: ClassVar[str] = "quotation"
    title: str
    lines: list[str]


@dataclass(frozen=True)
class LinkList:
    """Names with where they lead; what is no web address is shown, but cannot be clicked."""

    shape: ClassVar[str] = "links"
    title: str
    links: list[tuple[str, str]]


@dataclass(frozen=True)
class Picture:
    """A chart, and in ``rows`` the numbers that it is drawn from, for those who do not see it."""

    shape: ClassVar[str] = "picture"
    title: str
    alt: str
    cid: str
    png: bytes
    rows: list[tuple[str, str]]


Block = Paragraphs | Pairs | Table | Quotation | LinkList | Picture


@dataclass(frozen=True)
class Content:
    """A letter before it is drawn.

    Attributes:
        tone: ``good``, ``notable`` or ``bad``: the colour of its head.
    """

    language: str
    tone: str
    headline: str
    blocks: list[Block]
    footer: str


def content_of(facts: Facts, texts: Texts) -> Content:
    """What a letter with these facts says, in the language of ``texts``."""
    write: dict[type, Callable[[Any, Texts], tuple[str, str, list[Block | None]]]] = {
        SuccessFacts: _success,
        EmptyFacts: _empty,
        FailureFacts: _failure,
        HistoryFacts: _history,
        RecoveredFacts: _recovered,
        GivenUpFacts: _given_up,
    }
    tone, headline, blocks = write[type(facts)](facts, texts)
    kept = [block for block in blocks if block is not None]
    return Content(texts.language, tone, headline, kept, texts.text("letters.footer.why"))


def _success(facts: SuccessFacts, texts: Texts) -> tuple[str, str, list[Block | None]]:
    opening = [texts.text("letters.sentence.success")]
    if facts.tries > 1:
        opening.append(texts.text("letters.sentence.tries", tries=facts.tries))
    headline = texts.text("letters.headline.success", day=texts.day(facts.day))
    return "good", headline, [Paragraphs("", opening), *_good_day(facts, texts)]


def _recovered(facts: RecoveredFacts, texts: Texts) -> tuple[str, str, list[Block | None]]:
    opening = [texts.text("letters.sentence.recovered")]
    if facts.tries > 1:
        opening.append(texts.text("letters.sentence.tries", tries=facts.tries))
    if facts.failed_at:
        failed_at = _moment(facts.failed_at, texts)
        opening.append(texts.text("letters.sentence.failed_at", moment=failed_at))
    if facts.cause:
        cause, _ = cause_and_remedy(facts.cause, texts)
        opening.append(texts.text("letters.sentence.recovered_cause", cause=cause))
    headline = texts.text("letters.headline.recovered", day=texts.day(facts.day))
    return "good", headline, [Paragraphs("", opening), *_good_day(facts, texts)]


def _good_day(facts: SuccessFacts, texts: Texts) -> list[Block | None]:
    return [
        _records("records", facts.counts, texts),
        _rejected(facts.counts, texts),
        _late(facts.late_rows, texts),
        _figures(facts, texts),
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
    opening.append(texts.text("letters.sentence.empty_next", command=_command(facts.day)))
    headline = texts.text("letters.headline.empty", day=texts.day(facts.day))
    blocks: list[Block | None] = [
        Paragraphs("", opening),
        _late(facts.late_rows, texts),
        _links(facts.links, texts),
        _run(facts.duration_s, facts.next_run, texts),
    ]
    return "notable", headline, blocks


def _failure(facts: FailureFacts, texts: Texts) -> tuple[str, str, list[Block | None]]:
    headline_key = "failure_after_load" if facts.is_loaded else "failure"
    day = texts.day(facts.day) if facts.day else "—"
    safe = texts.text(f"letters.sentence.{'loaded' if facts.is_loaded else 'nothing_lost'}")
    counts = facts.counts
    blocks = [
        *_cause(facts.cause, texts),
        Paragraphs(texts.text("letters.section.next"), [*_retry(facts, texts), safe]),
        _refused(counts, texts) if counts else None,
        _rejected(counts, texts) if counts else None,
        _links(facts.links, texts),
        _run(facts.duration_s, facts.next_run, texts),
        _error(facts.error, texts),
    ]
    return "bad", texts.text(f"letters.headline.{headline_key}", day=day), blocks


def _retry(facts: FailureFacts, texts: Texts) -> list[str]:
    said = []
    if facts.tries > 1:
        said.append(texts.text("letters.sentence.failed_tries", tries=facts.tries))
    if not facts.will_be_retried:
        command = _command(facts.day)
        return [*said, texts.text("letters.sentence.not_retried", command=command)]
    if facts.retry_at is None:
        return [*said, texts.text("letters.sentence.will_be_retried")]
    moment = _moment(facts.retry_at, texts)
    return [*said, texts.text("letters.sentence.will_be_retried_at", moment=moment)]


def _given_up(facts: GivenUpFacts, texts: Texts) -> tuple[str, str, list[Block | None]]:
    end = texts.text("letters.sentence.given_up", tries=facts.tries, command=_command(facts.day))
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
        Paragraphs("", [opening]),
        _days(facts, texts),
        *_failures(facts.failures, texts),
        _records("totals", facts.totals, texts),
        _rejected(facts.totals, texts),
        _chart(facts.recent, texts),
        _links(facts.links, texts),
        _run(facts.duration_s, facts.next_run, texts),
    ]
    headline = texts.text(
        "letters.headline.history", first=first, last=last, outcome=outcome(facts, texts)
    )
    return "bad" if facts.failures else "good", headline, blocks


# The blocks.


def _records(section: str, counts: Counts, texts: Texts) -> Pairs:
    """Received, and what became of it; rare fates only where they happened."""
    values = {
        "received": counts.received,
        "processed": counts.received - counts.rejected_in_all,
        "inserted": counts.inserted,
        "updated": counts.updated,
        "unchanged": counts.unchanged,
        "duplicates": counts.duplicates,
        "conflicting": counts.conflicting or None,
        "outside_window": counts.outside_window,
        "erased": counts.erased or None,
        "rejected": counts.rejected_in_all,
        "vanished": counts.vanished or None,
    }
    rows = [
        (texts.text(f"letters.count.{name}"), texts.number(value))
        for name, value in values.items()
        if value is not None
    ]
    return Pairs(texts.text(f"letters.section.{section}"), rows)


def _refused(counts: Counts, texts: Texts) -> Pairs | None:
    """Of a day that was not loaded: how much came, and how much of it was bad."""
    values = {"received": counts.received, "rejected": counts.rejected_in_all}
    rows = [
        (texts.text(f"letters.count.{name}"), texts.number(value)) for name, value in values.items()
    ]
    return Pairs(texts.text("letters.section.records"), rows) if counts.received else None


def _rejected(counts: Counts, texts: Texts) -> Pairs | None:
    most_first = sorted(counts.rejected.items(), key=lambda item: (-item[1], item[0]))
    rows = [
        (_named("reason", reason, texts), texts.number(count))
        for reason, count in most_first
        if count
    ]
    return Pairs(texts.text("letters.section.rejected"), rows) if rows else None


def _named(group: str, code: str, texts: Texts) -> str:
    """The code in words, with the code itself, which commands take."""
    code = one_line(code)
    words = catalogue(texts.language).get(f"letters.{group}.{code}")
    return f"{words} ({code})" if words else code


def _late(late_rows: Mapping[date, int], texts: Texts) -> Pairs | None:
    rows = [(f"{day}", texts.number(count)) for day, count in sorted(late_rows.items())]
    return Pairs(texts.text("letters.section.late"), rows) if rows else None


def _figures(facts: SuccessFacts, texts: Texts) -> Table | None:
    known = [name for name in FIGURES if facts.figures.get(name) is not None]
    if not known:
        return None
    before, day = facts.week_before, facts.day
    headings = [texts.text("letters.table.figure"), _short_day(day, texts)]
    if before is not None:
        headings += [_short_day(day - timedelta(days=7), texts), texts.text("letters.table.change")]
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


def _chart(recent: Sequence[DayFigures], texts: Texts) -> Picture | None:
    if not any(day.attempts for day in recent):
        return None
    rows = [(f"{day.day}", texts.number(day.attempts)) for day in recent]
    said = "; ".join(
        f"{_short_day(day.day, texts)}: {texts.number(day.attempts)}" for day in recent
    )
    return Picture(
        title=texts.text("letters.section.chart"),
        alt=texts.text("letters.chart.alt", days=said),
        cid=CHART_CID,
        png=chart_png(recent, texts),
        rows=rows,
    )


def _watch(facts: SuccessFacts, texts: Texts) -> Block | None:
    counted = [
        (_words("watch", name, texts), texts.number(count))
        for name, count in facts.watch.items()
        if count
    ]
    warned = [(one_line(warning), "") for warning in facts.warnings]
    rows = counted + warned
    return Pairs(texts.text("letters.section.watch"), rows) if rows else None


def _words(group: str, name: str, texts: Texts) -> str:
    return catalogue(texts.language).get(f"letters.{group}.{name}", one_line(name))


def _links(links: Links, texts: Texts) -> LinkList | None:
    found = [
        (texts.text(f"letters.link.{name}"), one_line(url))
        for name in ("sheet", "page", "dashboard", "run")
        if (url := getattr(links, name))
    ]
    return LinkList(texts.text("letters.section.links"), found) if found else None


def _run(duration_s: float | None, next_run: datetime | None, texts: Texts) -> Pairs | None:
    rows = []
    if duration_s is not None:
        rows.append((texts.text("letters.run.duration"), duration(duration_s, texts)))
    if next_run is not None:
        rows.append((texts.text("letters.run.next_run"), _moment(next_run, texts)))
    return Pairs(texts.text("letters.section.run"), rows) if rows else None


def duration(seconds: float, texts: Texts) -> str:
    """``27.8 s``, ``14 min 7 s`` or ``2 h 5 min``."""
    if seconds < 60:
        return texts.text("letters.unit.seconds", count=texts.number(seconds, 1))
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return texts.text("letters.unit.minutes", minutes=minutes, seconds=rest)
    hours, minutes = divmod(minutes, 60)
    return texts.text("letters.unit.hours", hours=hours, minutes=minutes)


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
    """``362 done, 3 failed``."""
    values = {"done": facts.done, "empty": facts.empty, "failed": len(facts.failures)}
    return ", ".join(
        texts.text(f"letters.outcome.{name}", count=texts.number(count))
        for name, count in values.items()
        if count or name == "done"
    )


def _failures(failures: Sequence[DayFailure], texts: Texts) -> list[Block | None]:
    """Each cause once, with the days that it hit; the one that hit most stands first."""
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
    cause, remedy = cause_and_remedy(group[0].cause, texts)
    stage = f"{texts.text('letters.cause.stage')}: {stage_name(group[0].cause, texts)}."
    days = f"{texts.text('letters.cause.days')}: {spans(f.day for f in group)}"
    title = texts.text("letters.section.failures") if is_first else ""
    return Paragraphs(title, [days, stage, *filter(None, (cause, remedy))])


def spans(days: Iterable[date]) -> str:
    """``2025-03-01, 2025-03-04..2025-03-09``: days that follow each other are one span."""
    found: list[list[date]] = []
    for day in sorted(set(days)):
        if found and day - found[-1][-1] == timedelta(days=1):
            found[-1].append(day)
        else:
            found.append([day])
    return ", ".join(f"{s[0]}" if len(s) == 1 else f"{s[0]}..{s[-1]}" for s in found)


def _cause(cause: Cause, texts: Texts) -> list[Block | None]:
    said, remedy = cause_and_remedy(cause, texts)
    stage = f"{texts.text('letters.cause.stage')}: {stage_name(cause, texts)}."
    return [
        Paragraphs(texts.text("letters.section.cause"), [*filter(None, (said,)), stage]),
        Paragraphs(texts.text("letters.section.remedy"), [remedy]) if remedy else None,
    ]


def cause_and_remedy(cause: Cause, texts: Texts) -> tuple[str, str]:
    """Why it failed and what to do, in the language of ``texts``.

    A fault that this version has no words for, as one that an older version recorded, is told by
    its message, and has no remedy.
    """
    facts = {name: _told(value) for name, value in cause.facts.items()}
    try:
        return (
            texts.text(f"faults.{cause.code}.cause", **facts),
            texts.text(f"faults.{cause.code}.remedy", **facts),
        )
    except (KeyError, IndexError, ValueError):
        return one_line(cause.message), ""


def _told(fact: object) -> int | float | str:
    """The fact as a sentence can hold it: some sentences round their numbers."""
    return fact if isinstance(fact, int | float) else one_line(str(fact))


def stage_name(cause: Cause, texts: Texts) -> str:
    """Where it failed, in words."""
    return _words("stage", cause.stage, texts)


def _error(error: str, texts: Texts) -> Quotation | None:
    """The end of a traceback, where its cause stands: few lines, few characters."""
    if not error.strip():
        return None
    end = error[-LAST_ERROR_CHARACTERS:]
    lines = _printable(end).strip("\n").split("\n")[-LAST_ERROR_LINES:]
    left_out = error.strip("\n").count("\n") + 1 - len(lines)
    if left_out > 0 or len(end) < len(error):
        count = texts.number(max(left_out, 1))
        lines = [texts.text("letters.sentence.left_out", count=count), *lines]
    return Quotation(texts.text("letters.section.error"), lines)


def _command(day: date | None) -> str:
    return f"./lms run {day}" if day else "./lms run"


def _moment(moment: datetime, texts: Texts) -> str:
    """``26 July 2025, 07:00 (UTC+03:00)``: a reader may sit in another zone."""
    said = format_moment(moment, "d MMMM y, HH:mm", locale=texts.language)
    if moment.utcoffset() is None:
        return said
    offset = get_timezone_gmt(moment, "long", locale="en").replace("GMT", "UTC")
    return f"{said} ({offset})"


def _short_day(day: date, texts: Texts) -> str:
    return str(format_date(day, "d MMM", locale=texts.language))


def _printable(text: str) -> str:
    """Without what a mail cannot hold, or what would rearrange it on the screen."""
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    return re.sub(
        r"[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]",
        "\N{REPLACEMENT CHARACTER}",
        text,
    )


def one_line(text: str) -> str:
    """Text from outside that cannot begin a line, nor a header, of its own."""
    return re.sub(r"\s+", " ", _printable(re.sub(r"[\r\n]+", " ", text))).strip()
