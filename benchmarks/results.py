"""What a benchmark found, a row each, beside what it must reach."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        what: Of the product, with its unit where that is not seconds.
        value: The median.
        ratio: To what it is compared with; None where the value alone counts.
        bar: What the ratio, or else the value, may be at most; at least for ``is_least``.
        beside: What it is compared with.
        is_least: The ratio must be at least the bar.
    """

    what: str
    value: float
    ratio: float | None
    bar: float | None
    beside: str = ""
    is_least: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the bar is reached."""
        if self.bar is None:
            return True
        figure = self.value if self.ratio is None else self.ratio
        return figure >= self.bar if self.is_least else figure <= self.bar

    def as_markdown(self) -> str:
        """A row of a table."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} × {self.beside}"
        sign, unit = ("≥" if self.is_least else "≤"), (" s" if self.ratio is None else " ×")
        bar = "" if self.bar is None else f"{sign} {self.bar:g}{unit}"
        met = "" if self.bar is None else "met" if self.is_met else "**missed**"
        return f"| {self.what} | {self.value:.2f} | {ratio} | {bar} | {met} |"


HEAD = "| what | value | ratio | bar | |\n|---|---:|---:|---:|---|"


def as_table(rows: list[Row]) -> str:
    """The rows as a table of Markdown."""
    return "\n".join([HEAD, *(row.as_markdown() for row in rows)])
