"""Where the cells of a tab go in a worksheet that people use too, and what they hold there. Pure.

A column is found by its heading, a row by its key, so that a person may move our columns, sort
our rows and write beside them: what they wrote in a row stays with the key of that row.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from lms_assets.faults import PermanentFault
from lms_assets.resources.spreadsheet.tabs import Column, Grid, Plain, Tab, plain


@dataclass(frozen=True)
class Insert:
    """An empty row is put in at ``at``; what was there and below goes down."""

    at: int


@dataclass(frozen=True)
class Move:
    """The row ``source`` is taken out and put in at ``at``, above it."""

    source: int
    at: int


@dataclass(frozen=True)
class Layout:
    """Where the cells of a tab go in the worksheet of its title.

    Args:
        top: The row of the headings, from 0.
        places: For each of our columns, its column in the worksheet, from 0.
        added: Which of these were not there yet.
        steps: How whole rows move first, so that what people wrote stays with its key;
            rows are counted from the one under the headings.
        height: How many rows under the headings are written, with those that become empty.
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
        """Our columns, by number, in groups that stand side by side in the worksheet."""
        runs: list[list[int]] = []
        for column in sorted(range(len(self.places)), key=lambda n: self.places[n]):
            beside = runs and self.places[column] == self.places[runs[-1][-1]] + 1
            if beside:
                runs[-1].append(column)
            else:
                runs.append([column])
        return runs


def layout(tab: Tab, grid: Grid) -> Layout:
    """Where the tab goes in a worksheet that holds ``grid``; in an empty one, from its first cell.

    Raises:
        PermanentFault: ``sheet.heading_unknown``: the worksheet is not ours, or a person
            changed a heading of ours, and what stands under it cannot be told.
    """
    top = _heading_row(tab, grid)
    places, added = _places(tab, grid, top)
    held = _held_rows(tab, grid, top, places)
    steps = _steps(held, _wanted_rows(tab, held))
    inserted = sum(isinstance(step, Insert) for step in steps)
    height = max(len(tab.rows) + 2, len(held) + inserted)
    return Layout(top, places, added, steps, height)


def _heading_row(tab: Tab, grid: Grid) -> int:
    ours = {column.heading for column in tab.columns}
    return max(
        range(len(grid)),
        key=lambda row: len(ours.intersection(_headings(grid[row], tab.columns))),
        default=0,
    )


def _headings(row: Sequence[Plain], columns: Sequence[Column]) -> list[str]:
    """The headings as they are called now: an earlier one is ours where the present one is not."""
    held = [_heading(cell) for cell in row]
    now = {
        earlier: column.heading
        for column in columns
        if column.heading not in held
        for earlier in next(([name] for name in column.earlier if name in held), ())
    }
    return [now.get(heading, heading) for heading in held]


def _heading(cell: Plain) -> str:
    return "" if cell is None else str(cell).strip()


def _places(tab: Tab, grid: Grid, top: int) -> tuple[tuple[int, ...], frozenset[int]]:
    """The worksheet's column for each of ours, and which of these are new: at the right end."""
    headings = _headings(grid[top], tab.columns) if grid else []
    ours = [column.heading for column in tab.columns]
    missing = [heading for heading in ours if heading not in headings]
    if not any(_is_written(cell) for row in grid for cell in row):
        return tuple(range(len(ours))), frozenset(range(len(ours)))
    _refuse_strangers(tab, headings, missing)
    end = max(len(row) for row in grid)
    new = {heading: end + n for n, heading in enumerate(missing)}
    places = tuple(new[h] if h in new else headings.index(h) for h in ours)
    return places, frozenset(new.values())


def _refuse_strangers(tab: Tab, headings: list[str], missing: list[str]) -> None:
    """A heading of ours that is missing was deleted, or it is the stranger in its place.

    While ours stand in our order, its place is between its neighbours; a
    person's own heading elsewhere is no stranger.
    """
    ours = [column.heading for column in tab.columns]
    found = [headings.index(heading) for heading in ours if heading in headings]
    if len(missing) * 2 > len(ours):
        raise _unknown(tab, next((h for h in headings if h and h not in ours), ""), missing[0])
    for heading in missing:
        first, last = -1, len(headings)
        if found == sorted(found):
            number = ours.index(heading)
            first = max((headings.index(h) for h in ours[:number] if h in headings), default=-1)
            after = (headings.index(h) for h in ours[number:] if h in headings)
            last = min(after, default=len(headings))
        strangers = [h for h in headings[first + 1 : last] if h and h not in ours]
        if strangers:
            raise _unknown(tab, strangers[0], heading)


def _unknown(tab: Tab, heading: str, expected: str) -> PermanentFault:
    shown = heading[:100]
    return PermanentFault("sheet.heading_unknown", tab=tab.title, heading=shown, expected=expected)


def _is_written(cell: Plain) -> bool:
    return cell is not None and cell != ""


Row = tuple[object, int] | None
"""Which row it is: its key and how often that came before; None where any row will do."""


def _held_rows(tab: Tab, grid: Grid, top: int, places: tuple[int, ...]) -> list[Row]:
    """The rows under the headings; one in which no person wrote is None."""
    keys: list[object] = []
    for number, row in enumerate(grid[top + 1 :]):
        is_theirs = any(_is_written(cell) for n, cell in enumerate(row) if n not in places)
        key = tuple(_at(row, places[n]) for n in tab.key_places)
        # A row without a key is a person's own: it is like no other.
        own: object = key if any(_is_written(part) for part in key) else ("no key", number)
        keys.append(own if is_theirs else None)
    return _numbered(keys)


def _at(row: Sequence[Plain], place: int) -> Plain:
    return row[place] if place < len(row) else None


def _numbered(keys: Sequence[object]) -> list[Row]:
    """Each key with how often it came before: two tasks may bear the same title."""
    seen: Counter[object] = Counter()
    rows: list[Row] = []
    for key in keys:
        rows.append(None if key is None else (key, seen[key]))
        seen[key] += 1
    return rows


def _wanted_rows(tab: Tab, held: Sequence[Row]) -> list[Row]:
    """The rows as they must stand: None where no person's cells belong to the key."""
    theirs = {row for row in held if row is not None}
    if not theirs:
        return []
    kinds = {n: tab.columns[n].kind for n in tab.key_places}
    keys = [tuple(plain(cells[n], kind) for n, kind in kinds.items()) for cells in tab.rows]
    return [row if row in theirs else None for row in _numbered(keys)]


def _steps(held: Sequence[Row], wanted: Sequence[Row]) -> tuple[Insert | Move, ...]:
    """How the rows become the wanted ones: up from below, else an empty one is put in."""
    rows = list(held)
    steps: list[Insert | Move] = []
    for at, row in enumerate(wanted):
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
    """For each row after the steps, which of ``count`` rows it was; None for one put in."""
    rows: list[int | None] = list(range(count))
    for step in steps:
        match step:
            case Insert(at):
                rows.insert(at, None)
            case Move(source, at):
                rows.insert(at, rows.pop(source))
    return rows


def shown(tab: Tab, grid: Grid) -> list[list[Plain]]:
    """What the worksheet holds in our columns, in our order, from the row under the headings.

    Empty rows and the note are left out; a column that is not there is empty.
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
    """Whether some row holds the headings of all of the columns."""
    ours = {column.heading for column in columns}
    return any(ours <= {_heading(cell) for cell in row} for row in grid)


def last_cell(grid: Grid) -> Plain:
    """The last cell in which anything is written, row by row."""
    cells = [cell for row in grid for cell in row if _is_written(cell)]
    return cells[-1] if cells else None
