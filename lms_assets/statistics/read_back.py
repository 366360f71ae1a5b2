"""A worksheet that was read back is compared with the figures of the database; pure."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from lms_assets.resources.spreadsheet.layout import has_headings, shown
from lms_assets.resources.spreadsheet.tabs import SERIAL_EPOCH, Column, Grid, Plain, Tab, plain
from lms_assets.texts import Texts

_MOMENT = re.compile(r"\b(\d{4}-\d\d-\d\d \d\d:\d\d) UTC\b")
# A comma or a no-break space separates the thousands.
_NUMBER = re.compile(r"\d+(?:[,\u00a0\u202f]\d{3})*")


@dataclass(frozen=True)
class Statement:
    """The note in a tab's last cell: when it was made, from how many attempts and days."""

    made_at: datetime
    attempts: int
    days: int


def stated(grid: Grid) -> Statement | None:
    """The note of a worksheet; None where it has none."""
    texts = (cell for row in reversed(grid) for cell in row if isinstance(cell, str))
    for cell in texts:
        if moment := _MOMENT.search(cell):
            numbers = _NUMBER.findall(cell[: moment.start()] + cell[moment.end() :])
            if len(numbers) == 2:
                attempts, days = (int(re.sub(r"\D", "", number)) for number in numbers)
                made_at = datetime.strptime(moment[1], "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
                return Statement(made_at, attempts, days)
    return None


def disagreements(grid: Grid, tab: Tab, language: str = "en") -> list[str]:
    """A sentence for each difference between a worksheet and the tab that should stand there.

    Rows are matched by their keys, in any order. The sentences name no student's id.
    """
    texts = Texts(language)
    if not grid:
        is_expected = tab.made_if_missing
        return [texts.text("sheet.disagreements.no_tab", tab=tab.title)] if is_expected else []
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
    present = _by_key(tab, shown(tab, grid))
    for key in expected.keys() | present.keys():
        row = _row_name(tab, key, texts)
        if key not in present:
            yield texts.text("sheet.disagreements.no_row", tab=tab.title, row=row)
        elif key not in expected:
            yield texts.text("sheet.disagreements.other_row", tab=tab.title, row=row)
        else:
            for column, cell, figure in zip(tab.columns, present[key], expected[key], strict=True):
                if not _same(cell, figure):
                    yield texts.text(
                        "sheet.disagreements.other_value",
                        tab=tab.title,
                        row=row,
                        heading=column.heading,
                        shown=cell,
                        expected=figure,
                    )


def _by_key(tab: Tab, rows: Sequence[list[Plain]]) -> dict[tuple[Any, ...], list[Plain]]:
    """Key and occurrence number → row. A key that occurs twice gets the numbers 0 and 1."""
    by_key: dict[tuple[Any, ...], list[Plain]] = {}
    for row in rows:
        key = tuple(row[n] for n in tab.key_places)
        times = 0
        while (*key, times) in by_key:
            times += 1
        by_key[(*key, times)] = row
    return by_key


def _same(cell: Plain, figure: Plain) -> bool:
    """Whether a cell shows a figure; numbers may differ by 1e-9 of their size."""
    if isinstance(cell, str) or isinstance(figure, str) or cell is None or figure is None:
        return (cell if cell != "" else None) == figure
    return abs(cell - figure) <= 1e-9 * max(1.0, abs(figure))


def _row_name(tab: Tab, key: tuple[Any, ...], texts: Texts) -> str:
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
