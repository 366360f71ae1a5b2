"""The pictures of the READMEs, made anew from a demo of fixed days: ``docs/pictures``.

    .venv/bin/python -m lms_assets_tests.pictures

Beside them lies ``made-from.json``: hashes of the pictures and of what they show. A test makes
page and letters again and says when they are not what was pictured.
"""

import base64
import email
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

from playwright.sync_api import Browser

from lms_assets.commands.demo import demo_days, demo_settings
from lms_assets.commands.history import run_batch
from lms_assets.commands.installation import opened
from lms_assets.settings import Settings, remember_demo
from lms_assets.texts import LANGUAGES, Texts
from lms_assets_tests.browser import chromium
from lms_assets_tests.driving import PROJECT, unconfigured

FOLDER = PROJECT / "docs" / "pictures"
MADE_FROM = FOLDER / "made-from.json"
# A Monday: the newest day is a Sunday, so that each course has its weekly letter.
NOW = datetime(2026, 11, 23, 6, tzinfo=UTC)
DAYS = 14
COURSE = "demo.course.SkillFactory+DST-3.0+28FEB2021"
PAGE_PX, LETTER_PX = (1100, 830), (680, 960)


def fill_home() -> None:
    """The demo of the fixed days is in LMS_HOME, as `./lms demo` leaves it."""
    settings = demo_settings(None, now=NOW)
    days = demo_days(settings, days=DAYS, now=NOW)
    settings = remember_demo(settings, days[0], days[-1])
    with opened(settings) as (installation, instance):
        outcome = run_batch(
            installation, instance, days, kind="demo", tell=lambda _: None, workers=1
        )
    if outcome.failed:
        sys.exit("a day of the demo failed")


@contextmanager
def homes() -> Iterator[Mapping[str, Path]]:
    """Language → the home of a demo in it."""
    ours = {name.upper() for name in Settings.model_fields}
    outside = {name: value for name, value in os.environ.items() if name not in ours}
    # Not below a folder of mode 700: PostgreSQL runs as another user for root.
    with tempfile.TemporaryDirectory(prefix="lms-pictures-") as name:
        Path(name).chmod(0o755)
        made = {}
        for language in LANGUAGES:
            own = {"LMS_HOME": f"{name}/{language}", "LMS_LANGUAGE": language}
            # The tests lie here, the product in a checkout without .env.
            paths = f"{unconfigured()['PYTHONPATH']}{os.pathsep}{PROJECT}"
            own |= unconfigured() | {"PYTHONPATH": paths}
            command = [sys.executable, "-m", "lms_assets_tests.pictures", "fill-home"]
            subprocess.run(command, env=outside | own, check=True)
            made[language] = Path(name) / language / "demo"
        yield made


def shown_in(home: Path, language: str) -> dict[str, str]:
    """Name of a picture → the HTML that it shows."""
    course = f" {Texts(language).text(COURSE)}: "
    [weekly] = [letter for letter in _letters(home, "course") if course in letter["subject"]]
    [history] = _letters(home, "history")
    return {
        "page": (home / "report.html").read_text(encoding="utf-8"),
        "letter": _html_of(history),
        "course-letter": _html_of(weekly),
    }


def _letters(home: Path, kind: str) -> list[EmailMessage]:
    files = sorted((home / "outbox").glob(f"*-{kind}-*.eml"))
    return [email.message_from_bytes(file.read_bytes(), policy=default) for file in files]


def _html_of(letter: EmailMessage) -> str:
    """The letter's HTML with its chart inside."""
    body = letter.get_body(("html",))
    html = str(body.get_content()) if body else ""
    for part in letter.walk():
        if part.get_content_type() == "image/png":
            data = base64.b64encode(part.get_payload(decode=True)).decode()  # type: ignore[arg-type]
            cid = str(part["Content-ID"]).strip("<>")
            html = html.replace(f"cid:{cid}", f"data:image/png;base64,{data}")
    return html


def fingerprint(html: str, language: str) -> str:
    """A hash of what is shown, without what differs each time: moments, folders, the drawn chart.

    Of the page the library that draws is left out, of a letter what stands below its links.
    """
    texts = Texts(language)
    made = texts.text("page.head.made", moment="|", attempts="").partition("|")[0]
    html = html.rpartition("<script>(function () {")[0] or html
    html = html.partition(f">{texts.text('letters.section.links')}<")[0]
    differing = rf'<meta name="edition"[^>]*>|<p>{made}[^<]*|data:image/png;base64,[^"]*'
    html = re.sub(differing, "", html)
    return hashlib.sha256(html.encode()).hexdigest()


def shown_now() -> dict[str, str]:
    """File name of a picture → the fingerprint of what it would show if it were made now."""
    with homes() as filled:
        return {
            f"{name}.{language}.png": fingerprint(html, language)
            for language, home in filled.items()
            for name, html in shown_in(home, language).items()
        }


def take(browser: Browser, html: str, to: Path, size: tuple[int, int]) -> None:
    """The picture shows the first view of the HTML in a window of the size."""
    width, height = size
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_content(html)
    if "data-chart" in html:
        page.wait_for_function("Number(document.body.dataset.drawn) > 2")
    page.screenshot(path=to, animations="disabled")
    context.close()


def make() -> None:
    """The pictures and their hashes are those of the product as it is."""
    FOLDER.mkdir(exist_ok=True)
    shown, pictures = {}, {}
    with homes() as filled, chromium() as browser:
        for language, home in filled.items():
            for name, html in shown_in(home, language).items():
                picture = FOLDER / f"{name}.{language}.png"
                take(browser, html, picture, PAGE_PX if name == "page" else LETTER_PX)
                shown[picture.name] = fingerprint(html, language)
                pictures[picture.name] = hashlib.sha256(picture.read_bytes()).hexdigest()
    made_from = json.dumps({"shown": shown, "pictures": pictures}, indent=2)
    MADE_FROM.write_text(f"{made_from}\n", encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] == ["fill-home"]:
        fill_home()
    else:
        make()
