"""The READMEs' pictures are those of the product as it is."""

import hashlib
import json
import re

import pytest

from lms_assets.settings import project_folder
from lms_assets.texts import LANGUAGES
from lms_assets_tests.pictures import FOLDER, MADE_FROM, shown_now

KNOWN = json.loads(MADE_FROM.read_text(encoding="utf-8"))


def test_each_picture_is_the_one_that_was_made_with_its_fingerprint() -> None:
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.glob("*.png")
    }
    assert found == KNOWN["pictures"]
    assert found.keys() == KNOWN["shown"].keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_readme_shows_every_picture_in_its_language(language: str) -> None:
    readme = project_folder() / ("README.md" if language == "en" else f"README.{language}.md")
    shown = re.findall(r"docs/pictures/([\w.-]+\.png)", readme.read_text(encoding="utf-8"))
    assert sorted(shown) == sorted(p.name for p in FOLDER.glob(f"*.{language}.png"))


@pytest.mark.slow
def test_page_and_letters_of_the_demo_are_what_the_pictures_show() -> None:
    """Else: .venv/bin/python -m lms_assets_tests.pictures, and look at them."""
    assert shown_now() == KNOWN["shown"]
