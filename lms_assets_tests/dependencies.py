"""`docs/dependencies.md` from what is installed: python -m lms_assets_tests.dependencies

The page's tables of licences are made; its words are written by hand.
"""

import re
import sys
from importlib.metadata import Distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "dependencies.md"
RUNNING = ("requirements.lock", "requirements-s3.lock", "requirements-cluster.lock")
DEVELOPING = ("requirements-dev.lock",)
MARKS = {"running": RUNNING, "developing": DEVELOPING}

# As SPDX says it, where a package says it otherwise. Several versions of the BSD licence are
# called by that one name in metadata.
SPELLINGS = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache License Version 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD 3-Clause License": "BSD-3-Clause",
    "BSD 3-Clause OR Apache-2.0": "BSD-3-Clause OR Apache-2.0",
    "BSD License": "BSD",
    "GNU Library or Lesser General Public License (LGPL)": "LGPL",
    "ISC License": "ISC",
    "ISC License (ISCL)": "ISC",
    "LGPL with exceptions": "LGPL",
    "MIT License": "MIT",
    "MIT license": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "New BSD": "BSD",
    "Python Software Foundation License": "PSF-2.0",
}
# By the text that lies in the package, where its metadata say nothing.
BY_TEXT = {"axe-playwright-python": "MIT"}
PERMISSIVE = {
    *("0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CNRI-Python"),
    *("ISC", "MIT", "MIT-0", "PSF-2.0", "Zlib"),
}
# Of these the package itself must stay free; a program that only uses it need not be.
OF_THE_PACKAGE_ALONE = {"LGPL", "MPL-2.0"}


def licence_of(package: Distribution) -> str:
    """The licence that the package's own metadata name, in SPDX's words.

    Raises:
        ValueError: They name none that is known here.
    """
    said = package.metadata
    classifiers = [one.rpartition(" :: ")[2] for one in said.get_all("Classifier") or []]
    named = " OR ".join(sorted(SPELLINGS[one] for one in classifiers if one in SPELLINGS))
    text = said.get("License") or ""
    tried = (
        said.get("License-Expression") or "",
        SPELLINGS.get(text, text),
        named,
        BY_TEXT.get(name_of(package), ""),
    )
    for licence in tried:
        if licence and parts_of(licence) <= PERMISSIVE | OF_THE_PACKAGE_ALONE:
            return licence
    raise ValueError(f"{name_of(package)} names no licence that is known here: {tried}")


def parts_of(licence: str) -> set[str]:
    """``MPL-2.0 AND MIT`` is of two licences."""
    return set(re.split(r" (?:AND|OR) ", licence))


def name_of(package: Distribution) -> str:
    return canonicalize_name(package.metadata["Name"])


def locked(locks: tuple[str, ...]) -> set[str]:
    """The packages that the locks name, for whatever system."""
    lines = "\n".join((PROJECT / lock).read_text(encoding="utf-8") for lock in locks)
    named = re.findall(r"(?m)^([\w.-]+==[^\\\n]+)", lines)
    return {canonicalize_name(Requirement(one).name) for one in named}


def licences(locks: tuple[str, ...]) -> dict[str, list[str]]:
    """Licence → the packages of the locks that are installed here, in order."""
    wanted, found = locked(locks), dict[str, list[str]]()
    for package in sorted(distributions(), key=name_of):
        if name_of(package) in wanted:
            found.setdefault(licence_of(package), []).append(name_of(package))
    return dict(sorted(found.items()))


def table(found: dict[str, list[str]]) -> str:
    lines = ["| licence | packages |", "|---|---|"]
    lines += [f"| {licence} | {', '.join(packages)} |" for licence, packages in found.items()]
    return "\n".join(lines)


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    running = licences(RUNNING)
    theirs = {name for packages in running.values() for name in packages}
    others = {
        licence: kept
        for licence, packages in licences(DEVELOPING).items()
        if (kept := [name for name in packages if name not in theirs])
    }
    for mark, found in (("running", running), ("developing", others)):
        marked = f"<!-- {mark} -->\n{table(found)}\n<!-- {mark} -->"
        pattern = re.compile(f"<!-- {mark} -->.*?<!-- {mark} -->", re.DOTALL)
        page = pattern.sub(lambda _, marked=marked: marked, page)  # type: ignore[misc]
    PAGE.write_text(page, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
