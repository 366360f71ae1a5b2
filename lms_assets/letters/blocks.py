"""What a letter is made of before it is drawn: blocks of text, numbers and charts; pure."""

from dataclasses import dataclass
from typing import ClassVar


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
