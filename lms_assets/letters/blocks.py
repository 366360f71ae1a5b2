"""The blocks of a letter (text, numbers, charts) from which the templates draw it; pure."""

from dataclasses import dataclass
from typing import ClassVar

from lms_assets.letters.chart import Drawing


@dataclass(frozen=True)
class Paragraphs:
    """Sentences under a title; with an empty title they stand under the headline."""

    shape: ClassVar[str] = "paragraphs"
    title: str
    sentences: list[str]


@dataclass(frozen=True)
class Pairs:
    """Names with their values; an indented name belongs to the unindented name above it."""

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
        """The width of each column in characters, for plain text."""
        return [max(map(len, column)) for column in zip(self.headings, *self.rows, strict=True)]


@dataclass(frozen=True)
class Quotation:
    """A program's text, unchanged."""

    shape: ClassVar[str] = "quotation"
    title: str
    lines: list[str]


@dataclass(frozen=True)
class LinkList:
    """Names with their addresses; a file's path is shown as text, not as a link."""

    shape: ClassVar[str] = "links"
    title: str
    links: list[tuple[str, str]]


@dataclass(frozen=True)
class Picture:
    """A chart; ``rows`` holds its numbers for readers who do not see pictures."""

    shape: ClassVar[str] = "picture"
    title: str
    alt: str
    cid: str
    drawing: Drawing
    rows: list[tuple[str, str]]


Block = Paragraphs | Pairs | Table | Quotation | LinkList | Picture


@dataclass(frozen=True)
class Content:
    """A letter as blocks.

    Attributes:
        tone: ``good``, ``notable`` or ``bad``; it decides the colour of the letter's head.
    """

    language: str
    tone: str
    headline: str
    blocks: list[Block]
    footer: str
