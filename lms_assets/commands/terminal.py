"""The output of commands: exit codes, error lines, tables, counted nouns."""

import csv
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from io import TextIOWrapper
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from lms_assets.faults import Fault
from lms_assets.faults.folders import folder_errors_as_faults

FAILED = 1
USAGE = 2
STOPPED = 130
err = Console(stderr=True, highlight=False)


def accept_any_text() -> None:
    """No character can end a command: an escape stands where the terminal's encoding has none."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def begun() -> Iterator[None]:
    """A fault in the block ends the command with exit code 1, because its work has begun."""
    try:
        with folder_errors_as_faults():
            yield
    except Fault as fault:
        say_error(fault)
        sys.exit(FAILED)


def say_error(error: object) -> None:
    """Stderr shows the error in one line, however long it is."""
    err.print(f"lms: {error}", style="red", markup=False, soft_wrap=True)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """The number with its noun: ``1 letter``, ``2 letters``, ``1,426 days``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def show_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Stdout shows the rows as a table, or one record below another if the columns do not fit."""
    console = Console(width=None if sys.stdout.isatty() else 200)
    texts = [["" if value is None else _short(_field(value)) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *texts, strict=True)]
    if sum(min(width, 40) + 3 for width in widths) < console.width:
        table = Table(*columns)
        for row in texts:
            table.add_row(*row)
        console.print(table, markup=False)
        return
    _show_records(columns, texts)


def _show_records(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    width = max(map(len, columns))
    for number, row in enumerate(rows, 1):
        click.echo(f"-[ {number} ]-")
        for column, text in zip(columns, row, strict=True):
            click.echo(f"{column:<{width}}  {text}")


def _short(value: object) -> str:
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def write_csv(columns: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """Stdout shows the rows as CSV, below a heading row; a file or a pipe gets UTF-8."""
    if isinstance(sys.stdout, TextIOWrapper) and not sys.stdout.isatty():
        sys.stdout.reconfigure(encoding="utf-8", newline="")
    writer = csv.writer(sys.stdout, lineterminator="\n")
    # The csv module does not quote a lone carriage return, but readers break the line at it.
    careful = csv.writer(sys.stdout, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    for row in rows:
        fields = [_field(value) for value in row]
        has_return = any(isinstance(field, str) and "\r" in field for field in fields)
        (careful if has_return else writer).writerow(fields)


def _field(value: object) -> object:
    """The value for CSV; a JSON value of PostgreSQL becomes JSON text again."""
    if not isinstance(value, dict | list):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
