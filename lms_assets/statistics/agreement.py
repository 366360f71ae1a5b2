"""What a worksheet shows, read back, beside what the database says now. Pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lms_assets.resources.spreadsheet.layout import has_headings, shown
from lms_assets.resources.spreadsheet.tabs import SERIAL_EPOCH, Column, Grid, Plain, Tab, plain
from lms_assets.texts import Texts

_MOMENT = re.compile(r"\b(\d{4}-\d\d-\d\d \d\d:\d\d) UTC\b")
# Thousands are set apart by a comma or by a space that does not break.
_NUMBER = re.compile(r"\d+(?:[,\u00a0\u202f]\d{3})*")


@dataclass(frozen=True)
class Statement:
    """What a tab says of itself in its last cell."""

    made_at: datetime
    attempts: int
    days: int


def stated(grid: Grid) -> Statement | None:
    """When and from what a worksheet says it was made; None where it does not say."""
    texts = (cell for row in reversed(grid) for cell in row if isinstance(cell, str))
    for cell in texts:
        if found := _MOMENT.search(cell):
            numbers = _NUMBER.findall(cell[: found.start()] + cell[found.end() :])
            if len(numbers) == 2:
                attempts, days = (int(re.sub(r"\D", "", number)) for number in numbers)
                made_at = datetime.strptime(found[1], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
                return Statement(made_at, attempts, days)
    return None


def disagreements(grid: Grid, tab: Tab, language: str = "en") -> list[str]:
    """Where a worksheet, read back, differs from what the database says now; a sentence each.

    Rows are told apart by their keys, in whatever order they stand. No student's id is told.
    """
    texts = Texts(language)
    if not grid:
        wanted = tab.made_if_missing
        return [texts.text("sheet.disagreements.no_tab", tab=tab.title)] if wanted else []
    missing = [column.heading for column in tab.columns if not has_headings(grid, [column])]
    return [
        *(
            texts.text("sheet.disagreements.no_column", tab=tab.title, heading=heading)
            for heading in missing
        ),
        *_differing_rows(grid, tab, texts),
        *_differing_source(grid, tab, texts),
    ]


def _differing_rows(grid: Grid, tab: Tab, texts: Texts) -> Iterator[str]:
    kinds = [column.kind for column in tab.columns]
    expected = _by_key(
        tab, [[plain(c, kind) for c, kind in zip(row, kinds, strict=True)] for row in tab.rows]
    )
    found = _by_key(tab, shown(tab, grid))
    for key in expected.keys() | found.keys():
        row = _told(tab, key, texts)
        if key not in found:
            yield texts.text("sheet.disagreements.no_row", tab=tab.title, row=row)
        elif key not in expected:
            yield texts.text("sheet.disagreements.other_row", tab=tab.title, row=row)
        else:
            for column, is_shown, wanted in zip(
                tab.columns, found[key], expected[key], strict=True
            ):
                if not _same(is_shown, wanted):
                    yield texts.text(
                        "sheet.disagreements.other_value",
                        tab=tab.title,
                        row=row,
                        heading=column.heading,
                        shown=is_shown,
                        expected=wanted,
                    )


def _by_key(tab: Tab, rows: Sequence[list[Plain]]) -> dict[tuple[Any, ...], list[Plain]]:
    """Rows by their keys; one that comes again has its number in the key too."""
    found: dict[tuple[Any, ...], list[Plain]] = {}
    for row in rows:
        key = tuple(row[n] for n in tab.key_places)
        times = 0
        while (*key, times) in found:
            times += 1
        found[(*key, times)] = row
    return found


def _same(is_shown: Plain, wanted: Plain) -> bool:
    """Whether a cell shows a figure: text exactly, numbers but for their last digits."""
    if isinstance(is_shown, str) or isinstance(wanted, str) or is_shown is None or wanted is None:
        return (is_shown if is_shown != "" else None) == wanted
    return abs(is_shown - wanted) <= 1e-9 * max(1.0, abs(wanted))


def _told(tab: Tab, key: tuple[Any, ...], texts: Texts) -> str:
    columns = [tab.columns[n] for n in tab.key_places]
    if any(column.key == "user_id" for column in columns):
        return texts.text("sheet.disagreements.a_student")
    parts = zip(columns, key, strict=False)
    return ", ".join(_part(column, part) for column, part in parts)


def _part(column: Column, part: Plain) -> str:
    is_day = column.kind == "date" and isinstance(part, int | float)
    return str(SERIAL_EPOCH.date() + timedelta(days=int(part))) if is_day else str(part)  # type: ignore[arg-type]


def _differing_source(grid: Grid, tab: Tab, texts: Texts) -> Iterator[str]:
    says, should = stated(grid), stated([[tab.note]])
    if says is None or should is None:
        yield texts.text("sheet.disagreements.no_note", tab=tab.title)
    elif (says.attempts, says.days) != (should.attempts, should.days):
        yield texts.text(
            "sheet.disagreements.other_source",
            tab=tab.title,
            shown=f"{says.attempts} / {says.days}",
            expected=f"{should.attempts} / {should.days}",
        )
