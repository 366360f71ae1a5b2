"""The places of a tab's cells in a worksheet that people edit too; pure.

Columns are found by their headings, rows by their keys. So people may move our columns, sort our
rows and write beside them. The cells that they wrote in a row stay with the key of that row.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lms_assets.faults import PermanentFault
from lms_assets.resources.spreadsheet.tabs import Column, Grid, Plain, Tab, plain


@dataclass(frozen=True)
class Insert:
    """An empty row is inserted at ``at``; the rows from there on move down."""

    at: int


@dataclass(frozen=True)
class Move:
    """The row ``source`` is moved up to ``at``."""

    source: int
    at: int


@dataclass(frozen=True)
class Layout:
    """The places of a tab's cells in its worksheet.

    Args:
        top: The row of the headings, from 0.
        places: For each of our columns, its column in the worksheet, from 0.
        added: Those of these columns that are new.
        steps: Moves of whole rows before the write, so that people's cells stay with their key.
            Rows are counted from the one under the headings.
        height: The number of written rows under the headings, empty ones included.
    """

    top: int
    places: tuple[int, ...]
    added: frozenset[int]
    steps: tuple[Insert | Move, ...]
    height: int

    @property
    def last_row(self) -> int:
        """The first row that is not written, from 0."""
        return self.top + 1 + self.height

    @property
    def runs(self) -> list[list[int]]:
        """The numbers of our columns, in groups of adjacent columns of the worksheet."""
        runs: list[list[int]] = []
        for column in sorted(range(len(self.places)), key=lambda n: self.places[n]):
            beside = runs and self.places[column] == self.places[runs[-1][-1]] + 1
            if beside:
                runs[-1].append(column)
            else:
                runs.append([column])
        return runs


def layout(tab: Tab, grid: Grid) -> Layout:
    """The layout of the tab in a worksheet with the cells ``grid``; an empty one is filled from A1.

    Raises:
        PermanentFault: ``sheet.heading_unknown``: the worksheet is not ours, or a person changed
            one of our headings, so that its column cannot be found.
    """
    top = _heading_row(tab, grid)
    places, added = _places(tab, grid, top)
    current_rows = _current_rows(tab, grid, top, places)
    steps = _steps(current_rows, _target_rows(tab, current_rows))
    inserted = sum(isinstance(step, Insert) for step in steps)
    height = max(len(tab.rows) + 2, len(current_rows) + inserted)
    return Layout(top, places, added, steps, height)


def _heading_row(tab: Tab, grid: Grid) -> int:
    own = {column.heading for column in tab.columns}
    return max(
        range(len(grid)),
        key=lambda row: len(own.intersection(_headings(grid[row], tab.columns))),
        default=0,
    )


def _headings(row: Sequence[Plain], columns: Sequence[Column]) -> list[str]:
    """The headings of a row; where a present heading is missing, it replaces an earlier one."""
    present = [_heading(cell) for cell in row]
    renamed = {
        earlier: column.heading
        for column in columns
        if column.heading not in present
        for earlier in next(([name] for name in column.earlier if name in present), ())
    }
    return [renamed.get(heading, heading) for heading in present]


def _heading(cell: Plain) -> str:
    return "" if cell is None else str(cell).strip()


def _places(tab: Tab, grid: Grid, top: int) -> tuple[tuple[int, ...], frozenset[int]]:
    """The worksheet's column for each of ours, and the new ones among them, at the right end."""
    headings = _headings(grid[top], tab.columns) if grid else []
    own = [column.heading for column in tab.columns]
    missing = [heading for heading in own if heading not in headings]
    if not any(_is_written(cell) for row in grid for cell in row):
        return tuple(range(len(own))), frozenset(range(len(own)))
    _refuse_strangers(tab, headings, missing)
    end = max(len(row) for row in grid)
    new = {heading: end + n for n, heading in enumerate(missing)}
    places = tuple(new[h] if h in new else headings.index(h) for h in own)
    return places, frozenset(new.values())


def _refuse_strangers(tab: Tab, headings: list[str], missing: list[str]) -> None:
    """No foreign heading stands in the place of a missing heading of ours.

    A missing heading was either deleted or renamed. If a foreign heading stands between its
    neighbours, it may be the renamed one, and the worksheet is refused. A foreign heading
    elsewhere is a person's own column.
    """
    own = [column.heading for column in tab.columns]
    positions = [headings.index(heading) for heading in own if heading in headings]
    if len(missing) * 2 > len(own):
        raise _unknown(tab, next((h for h in headings if h and h not in own), ""), missing[0])
    for heading in missing:
        first, last = -1, len(headings)
        if positions == sorted(positions):
            number = own.index(heading)
            first = max((headings.index(h) for h in own[:number] if h in headings), default=-1)
            after = (headings.index(h) for h in own[number:] if h in headings)
            last = min(after, default=len(headings))
        strangers = [h for h in headings[first + 1 : last] if h and h not in own]
        if strangers:
            raise _unknown(tab, strangers[0], heading)


def _unknown(tab: Tab, heading: str, expected: str) -> PermanentFault:
    shown = heading[:100]
    return PermanentFault("sheet.heading_unknown", tab=tab.title, heading=shown, expected=expected)


def _is_written(cell: Plain) -> bool:
    return cell is not None and cell != ""


Row = tuple[object, int] | None
"""A row's key with its occurrence number; None for a row without people's cells."""


def _current_rows(tab: Tab, grid: Grid, top: int, places: tuple[int, ...]) -> list[Row]:
    """The rows under the headings; None for a row without people's cells."""
    keys: list[object] = []
    for number, row in enumerate(grid[top + 1 :]):
        has_other_cells = any(_is_written(cell) for n, cell in enumerate(row) if n not in places)
        key = tuple(_at(row, places[n]) for n in tab.key_places)
        # A row without a key is a person's own row; its number makes it unique.
        own: object = key if any(_is_written(part) for part in key) else ("no key", number)
        keys.append(own if has_other_cells else None)
    return _numbered(keys)


def _at(row: Sequence[Plain], place: int) -> Plain:
    return row[place] if place < len(row) else None


def _numbered(keys: Sequence[object]) -> list[Row]:
    """Each key with its occurrence number, because two tasks may have the same title."""
    counts: Counter[object] = Counter()
    rows: list[Row] = []
    for key in keys:
        rows.append(None if key is None else (key, counts[key]))
        counts[key] += 1
    return rows


def _target_rows(tab: Tab, current_rows: Sequence[Row]) -> list[Row]:
    """The rows in the tab's order; None for a key without people's cells."""
    with_other_cells = {row for row in current_rows if row is not None}
    if not with_other_cells:
        return []
    kinds = {n: tab.columns[n].kind for n in tab.key_places}
    keys = [tuple(plain(cells[n], kind) for n, kind in kinds.items()) for cells in tab.rows]
    return [row if row in with_other_cells else None for row in _numbered(keys)]


def _steps(current_rows: Sequence[Row], target_rows: Sequence[Row]) -> tuple[Insert | Move, ...]:
    """The steps from the current rows to the target rows: a row moves up, or one is inserted."""
    rows = list(current_rows)
    steps: list[Insert | Move] = []
    for at, row in enumerate(target_rows):
        if at >= len(rows):
            break
        if rows[at] == row:
            continue
        if row in rows[at:]:
            source = rows.index(row, at)
            rows.insert(at, rows.pop(source))
            steps.append(Move(source, at))
        else:
            rows.insert(at, None)
            steps.append(Insert(at))
    return tuple(steps)


def rearranged(count: int, steps: Sequence[Insert | Move]) -> list[int | None]:
    """For each row after the steps its number before them; None for an inserted row."""
    rows: list[int | None] = list(range(count))
    for step in steps:
        match step:
            case Insert(at):
                rows.insert(at, None)
            case Move(source, at):
                rows.insert(at, rows.pop(source))
    return rows


def shown(tab: Tab, grid: Grid) -> list[list[Plain]]:
    """The worksheet's cells in our columns, in our order, below the headings.

    Empty rows and the note are left out. A missing column is empty.
    """
    top = _heading_row(tab, grid)
    headings = _headings(grid[top], tab.columns) if grid else []
    places = [headings.index(c.heading) if c.heading in headings else 10**6 for c in tab.columns]
    rows = [[_at(row, place) for place in places] for row in grid[top + 1 :]]
    while rows and not any(_is_written(cell) for cell in rows[-1]):
        rows.pop()
    if len(rows) > 1 and not any(_is_written(cell) for cell in [*rows[-2], *rows[-1][1:]]):
        rows.pop()
    return [row for row in rows if any(_is_written(cell) for cell in row)]


def has_headings(grid: Grid, columns: Sequence[Column]) -> bool:
    """Whether a row holds the headings of all the columns."""
    headings = {column.heading for column in columns}
    return any(headings <= {_heading(cell) for cell in row} for row in grid)


def last_cell(grid: Grid) -> Plain:
    """The last cell that is not empty, in the order of rows."""
    cells = [cell for row in grid for cell in row if _is_written(cell)]
    return cells[-1] if cells else None
