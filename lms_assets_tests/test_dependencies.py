"""Every package that is used may be used, and is listed with its licence; an old one has a word."""

import re
from importlib.metadata import distributions

from lms_assets_tests.dependencies import (
    DEVELOPING,
    PAGE,
    PERMISSIVE,
    RUNNING,
    licence_of,
    licences,
    locked,
    name_of,
)


def listed() -> dict[str, str]:
    """Package → licence, as the page says."""
    rows = re.findall(r"(?m)^\| ([^|]+) \| ([^|]+) \|$", PAGE.read_text(encoding="utf-8"))
    return {name: licence for licence, names in rows for name in names.split(", ")}


def test_every_package_is_listed_with_the_licence_that_it_names_itself() -> None:
    wanted, page = locked(RUNNING) | locked(DEVELOPING), listed()
    installed = [package for package in distributions() if name_of(package) in wanted]
    assert len(installed) > 150
    wrong = {name_of(one): licence_of(one) for one in installed}
    assert {name: said for name, said in wrong.items() if page.get(name) != said} == {}


def is_free_to_use(licence: str) -> bool:
    """Whether there is a way to use it that asks for no more than a notice."""
    return all(set(one.split(" OR ")) & PERMISSIVE for one in licence.split(" AND "))


def test_what_asks_for_more_than_a_notice_is_named() -> None:
    found = {
        name
        for licence, packages in licences(RUNNING).items()
        for name in packages
        if not is_free_to_use(licence)
    }
    # Used as they are, as libraries, which is all that they ask for.
    assert found == {"certifi", "psycopg2-binary", "tqdm"}
    words = PAGE.read_text(encoding="utf-8").partition("<!--")[0]
    assert [name for name in found if name.removesuffix("-binary") not in words] == []


def test_a_package_that_is_called_old_is_one_that_is_used() -> None:
    page = PAGE.read_text(encoding="utf-8").partition("## Old")[2].partition("\n## ")[0]
    named = {
        name for names in re.findall(r"(?m)^- ([\w., -]+):", page) for name in names.split(", ")
    }
    assert len(named) > 10
    assert named - locked(RUNNING) == set()
