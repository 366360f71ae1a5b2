"""The road under an environment that is set up for other programs: it ends as under a plain one."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lms_assets_tests.driving import Checkout, Said, checkout

DAYS = "2"
COUNTED = "select attempts, users, submits from daily_statistics order by day"
FOREIGN = {
    "PGCLIENTENCODING": "WIN1251",
    "PGOPTIONS": "-c search_path=nowhere -c statement_timeout=1",
    "PGTZ": "Asia/Tokyo",
    "PGHOSTADDR": "192.0.2.1",
    "PGSERVICE": "nowhere",
    "LANG": "C",
    "TZ": "America/St_Johns",
    "PIP_USER": "1",
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "ALL_PROXY": "socks5h://127.0.0.1:9",
}
NAMES = ["a home", 'it\'s "mine"', "$HOME `id`", "Дом студентов", "one, two"]


@contextmanager
def long_folder() -> Iterator[str]:
    """A folder for temporary files whose path has more than a hundred characters."""
    with tempfile.TemporaryDirectory(prefix="lms-" + "x" * 90) as name:
        Path(name).chmod(0o777)
        yield name


@pytest.fixture(scope="module")
def place() -> Iterator[Checkout]:
    with checkout() as made:
        netrc = made.folder / ".netrc"
        netrc.write_text("default login a password b\n")
        netrc.chmod(0o600)
        yield made


@pytest.fixture(scope="module")
def plain(place: Checkout) -> str:
    """The figures of two days where nothing is set."""
    return figures(place, place.folder / "plain", {})


def figures(place: Checkout, home: Path, variables: dict[str, str]) -> str:
    """What a demo of two days comes to, as CSV; read in the same environment."""
    named = {"LMS_HOME": str(home), **variables}
    ended(place.lms("demo", "--days", DAYS, **named))
    shown = ended(place.lms("query", COUNTED, "--csv", **named))
    assert shown.out.count("\n") == 3
    return shown.out


def ended(said: Said) -> Said:
    assert said.code == 0, said.err
    return said


@pytest.mark.slow
@pytest.mark.parametrize("locale", ["xx_XX.UTF-8", "ru_RU.CP1251", "C"])
def test_the_variables_of_other_programs_change_no_figure(
    place: Checkout, plain: str, locale: str
) -> None:
    with long_folder() as folder:
        variables = {**FOREIGN, "LC_ALL": locale, "TMPDIR": folder}
        assert figures(place, place.folder / f"home of {locale}", variables) == plain


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_home_may_have_any_name_that_dagster_can_read(
    place: Checkout, plain: str, name: str
) -> None:
    assert figures(place, place.folder / name, {}) == plain


@pytest.mark.slow
def test_a_user_without_a_home_is_served(place: Checkout, plain: str) -> None:
    home = place.folder / "homeless"
    assert figures(place, home, {"HOME": "/nowhere", "XDG_RUNTIME_DIR": ""}) == plain


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="Only root may be anybody")
def test_a_root_that_another_program_shares_keeps_its_home_closed(place: Checkout) -> None:
    home = place.folder / "closed"
    ended(place.lms("demo", "--days", "1", LMS_HOME=str(home)))
    assert {folder.stat().st_mode & 0o077 for folder in (home, home / "demo")} == {0o011}
    assert (home / "demo" / "lake").stat().st_mode & 0o077 == 0
