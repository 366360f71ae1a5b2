"""Every sentence that people read, a folder per language, a file per kind of reader."""

import tomllib
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from importlib.resources import files
from typing import Any

from babel import Locale
from babel.dates import format_date
from babel.numbers import format_decimal

LANGUAGES = ("en", "ru")
MINUS = "\N{MINUS SIGN}"


@cache
def catalogue(language: str) -> dict[str, str]:
    """Every text of a language: dotted key (``letters.success.subject``) → sentence."""
    return {key: leaf for key, leaf in _all_leaves(language) if isinstance(leaf, str)}


@cache
def lists(language: str) -> dict[str, tuple[str, ...]]:
    """Every list of a language: dotted key (``figures.users.earlier``) → its texts."""
    return {key: tuple(leaf) for key, leaf in _all_leaves(language) if isinstance(leaf, list)}


@cache
def _all_leaves(language: str) -> list[tuple[str, str | list[str]]]:
    leaves: list[tuple[str, str | list[str]]] = []
    for file in sorted(files(__name__).joinpath(language).iterdir(), key=lambda f: f.name):
        if file.name.endswith(".toml"):
            tree = tomllib.loads(file.read_text(encoding="utf-8"))
            leaves += _leaves(file.name.removesuffix(".toml"), tree)
    return leaves


def _leaves(prefix: str, tree: dict[str, Any]) -> list[tuple[str, str | list[str]]]:
    leaves: list[tuple[str, str | list[str]]] = []
    for key, value in tree.items():
        path = f"{prefix}.{key}"
        leaves += _leaves(path, value) if isinstance(value, dict) else [(path, value)]
    return leaves


def rounded(value: float | Decimal, decimals: int = 0) -> Decimal:
    """The number as it is shown: rounded half away from zero, and never −0.

    Letter, sheet, page and terminal all round here, where a figure becomes text. ``6.25`` is 6.3
    with one decimal. A float is rounded by its decimal notation: 0.15 is 0.2, although the binary
    number behind it is a little less.
    """
    exact = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    return exact.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP) + 0


class Texts:
    """Sentences, numbers and dates in one language."""

    def __init__(self, language: str) -> None:
        self.language = language

    def text(self, key: str, **facts: object) -> str:
        """The sentence under ``key`` with ``facts`` in its braces.

        Raises:
            KeyError: No such sentence in this language.
        """
        return catalogue(self.language)[key].format(**facts)

    def plural(self, key: str, number: int, **facts: object) -> str:
        """The sentence under ``key`` in the plural form for ``number``, which fills ``{count}``.

        The forms stand under ``key.one``, ``key.few``, ``key.many`` and ``key.other``. A language
        needs only the forms that it has for whole numbers.
        """
        form = Locale.parse(self.language).plural_form(number)
        forms = catalogue(self.language)
        name = f"{key}.{form}" if f"{key}.{form}" in forms else f"{key}.other"
        return self.text(name, count=self.number(number), **facts)

    def number(self, value: float | Decimal | None, decimals: int = 0) -> str:
        """A number in the language's notation; a dash for None."""
        if value is None:
            return "—"
        pattern = "#,##0" + ("." + "0" * decimals if decimals else "")
        shown = format_decimal(rounded(value, decimals), format=pattern, locale=self.language)
        return shown.replace("-", MINUS)

    def percent(self, value: float | Decimal | None) -> str:
        """A percentage (0 to 100) with one decimal, in the language's notation; a dash for None."""
        return "—" if value is None else f"{self.number(value, 1)} %"

    def day(self, value: date) -> str:
        """A day in words, as ``24 July 2025``."""
        return format_date(value, format="d MMMM y", locale=self.language)
