"""Each letter says what its reader needs, in both languages, in HTML and in plain text."""

import json
import re
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lms_assets.attempts.fates import Fates
from lms_assets.letters.chart import drawing_of, png_kept_at, png_of
from lms_assets.letters.compose import compose, message_id, subject
from lms_assets.letters.facts import (
    KINDS,
    Cause,
    DayFailure,
    DayFigures,
    EmptyFacts,
    Facts,
    FailureFacts,
    GivenUpFacts,
    HistoryFacts,
    Links,
    Pulled,
    RecoveredFacts,
    SuccessFacts,
    from_json,
    to_json,
)
from lms_assets.letters.words import duration, spans
from lms_assets.texts import Texts

DAY = date(2025, 7, 24)
MORNING = datetime(2025, 7, 25, 7, 0, 3, tzinfo=timezone(timedelta(hours=3)))
LINKS = Links(
    sheet="https://docs.google.com/spreadsheets/d/1a2B",
    page="/home/lms/.lms/report.html",
    dashboard="https://bi.example.org/?a=1&b=2",
    run="http://127.0.0.1:3000/runs/74bf75c5",
)
COUNTS = Fates(
    received=1640,
    inserted=1201,
    updated=2,
    unchanged=423,
    duplicates=9,
    conflicting=1,
    outside_window=3,
    rejected={"created_at_invalid": 1, "a_new_reason": 1},
)
FIGURES = {"attempts": 1640, "users": 105, "success_pct": 35.877, "busiest_hour": 19, "day": "x"}
WEEK_BEFORE = {"attempts": 1502, "users": Decimal(0), "success_pct": Decimal("37.2")}
RECENT = [
    DayFigures(day=DAY - timedelta(days=13 - n), runs=700 + n, correct=300, wrong=500)
    for n in range(14)
]
REFUSED = Cause(
    stage="mail",
    code="mail.certificate_refused",
    facts={"server": "smtp.example.org", "reason": "self-signed certificate"},
)
GOOD = {
    "day": DAY,
    "counts": COUNTS,
    "late_rows": {date(2025, 7, 22): 14},
    "figures": FIGURES,
    "week_before": WEEK_BEFORE,
    "recent": RECENT,
    "watch": {"without_task": 4, "ungraded": 0},
    "links": LINKS,
    "duration_s": 27.83,
    "next_run": datetime(2025, 7, 26, 7, 0, tzinfo=timezone(timedelta(hours=3))),
}
TRACEBACK = (
    "\n".join(f'  File "x.py", line {n}, in merge' for n in range(100)) + "\nValueError: 🎉 ключ"
)
LETTERS: dict[str, Facts] = {
    "success": SuccessFacts(**GOOD, tries=3),
    "empty": EmptyFacts(day=DAY, stored=12, links=LINKS, duration_s=61),
    "failure": FailureFacts(day=DAY, cause=REFUSED, error=TRACEBACK, links=LINKS, tries=2),
    "history": HistoryFacts(
        first_day=date(2024, 7, 25),
        last_day=DAY,
        done=362,
        failures=[DayFailure(day=date(2025, 3, n), cause=REFUSED) for n in (1, 4, 5)],
        totals=COUNTS,
        links=LINKS,
    ),
    "recovered": RecoveredFacts(
        **GOOD, cause=REFUSED, failed_at=MORNING, failure_message_id="<failure.1@x>"
    ),
    "given_up": GivenUpFacts(day=DAY, tries=5, cause=REFUSED, error=TRACEBACK, links=LINKS),
}


def written(facts: Facts, *, language: str = "en", kind: str = "") -> EmailMessage:
    """The letter as a mail program reads it."""
    kind = kind or next(k for k, shape in KINDS.items() if shape is type(facts))
    letter = compose(
        kind,
        json.loads(json.dumps(to_json(facts))),
        language=language,
        sender="robot@example.org",
        recipients=["anna@example.org", "boris@example.org"],
        message_id=message_id(kind, "run 1", "home"),
        date=MORNING,
    )
    return message_from_bytes(letter.as_bytes(), policy=default)  # type: ignore[return-value]


def plain(letter: EmailMessage) -> str:
    part = letter.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\xa0", " ").replace("\r\n", "\n")


def html(letter: EmailMessage) -> str:
    part = letter.get_body(("html",))
    assert part is not None
    return str(part.get_content()).replace("\xa0", " ")


class Shown(HTMLParser):
    """What a person sees of a page, in pieces; and its tags."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.pieces: list[str] = []
        self.tags: set[str] = set()
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.pieces += [value for name, value in attrs if name == "href" and value]

    def handle_data(self, data: str) -> None:
        if data.strip() and self.get_starttag_text() != "<style>":
            self.pieces.append(data.strip())


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("kind", LETTERS)
def test_the_plain_text_says_all_that_the_html_says(kind: str, language: str) -> None:
    letter = written(LETTERS[kind], language=language)
    text = " ".join(plain(letter).split())
    pieces = [" ".join(piece.split()) for piece in Shown(html(letter)).pieces]
    lines = [line for piece in pieces for line in piece.split("\n")]
    assert [line for line in lines if line.strip() not in text] == []


@pytest.mark.parametrize(
    ("kind", "english", "russian"),
    [
        ("success", "2025-07-24 OK: 1,640 received", "2025-07-24 ГОТОВО: получено 1 640"),
        ("empty", "2025-07-24 EMPTY: nothing arrived", "2025-07-24 ПУСТО: ничего не пришло"),
        ("failure", "2025-07-24 FAILED: mail", "2025-07-24 ОШИБКА: почта"),
        (
            "history",
            "2024-07-25..2025-07-24 HISTORY: 362 done, 3 failed",
            "2024-07-25..2025-07-24 ИСТОРИЯ: готово 362, с ошибкой 3",
        ),
        (
            "recovered",
            "2025-07-24 RECOVERED: 1,640 received",
            "2025-07-24 ВОССТАНОВЛЕНО: получено 1 640",
        ),
        ("given_up", "2025-07-24 GIVEN UP: mail", "2025-07-24 ПОПЫТКИ ПРЕКРАЩЕНЫ: почта"),
    ],
)
def test_a_subject_says_system_day_and_outcome(kind: str, english: str, russian: str) -> None:
    for language, expected in (("en", english), ("ru", russian)):
        said = str(written(LETTERS[kind], language=language)["Subject"]).replace("\xa0", " ")
        assert said == f"[LMS attempts] {expected}"
        facts = to_json(LETTERS[kind])
        assert subject(kind, facts, language=language, today=DAY).replace("\xa0", " ") == said


def test_a_success_letter_says_everything_about_the_day() -> None:
    text = plain(written(LETTERS["success"]))
    for line in (
        "Tries: 3. Only the last one succeeded.",
        "Received: 1,640",
        "Processed: 1,638",
        "Inserted: 1,201",
        "Updated: 2",
        "Already there, unchanged: 423",
        "Duplicates within the answer: 9",
        "– of them differing in another field: 1",
        "Outside the day: 3",
        "Rejected (skipped): 2",
        "time missing or impossible (created_at_invalid): 1",
        "a_new_reason: 1",
        "2025-07-22: 14",
        "Figures of 24 July 2025 against a week before",
        "Attempts without a task: 4",
        "2025-07-11: 1,500",
        "Statistics sheet: https://docs.google.com/spreadsheets/d/1a2B",
        "Report page: /home/lms/.lms/report.html",
        "Dashboard: https://bi.example.org/?a=1&b=2",
        "This run: http://127.0.0.1:3000/runs/74bf75c5",
        "Duration: 27.8 s",
        "Next run: 26 July 2025, 07:00 (UTC+03:00)",
    ):
        assert f"\n{line}\n" in text
    assert "Submits without a verdict" not in text


def test_the_day_stands_beside_the_same_weekday_before() -> None:
    text = plain(written(LETTERS["success"]))
    rows = [re.split(r"\s{2,}", line) for line in text.splitlines() if "  " in line.strip()]
    assert rows == [
        ["Figure", "24 Jul", "17 Jul", "Change"],
        ["Attempts", "1,640", "1,502", "+9.2 %"],
        ["Active students", "105", "0", "—"],
        ["Submit success", "35.9 %", "37.2 %", "−1.3 pp"],
        ["Busiest hour", "19:00", "—", "—"],
    ]


def test_without_a_week_before_the_day_stands_alone() -> None:
    text = plain(written(SuccessFacts(day=DAY, figures=FIGURES)))
    assert "Figures of 24 July 2025\n" in text
    assert re.search(r"^Attempts +1,640$", text, re.MULTILINE)


def test_the_russian_letter_has_all_contents_of_the_earlier_systems_letter() -> None:
    text = plain(written(LETTERS["success"], language="ru"))
    for line in (
        "Получено: 1 640",
        "Обработано: 1 638",
        "Пропущено с ошибками: 2",
        "Добавлено: 1 201",
        "Лист со статистикой: https://docs.google.com/spreadsheets/d/1a2B",
        "Дашборд: https://bi.example.org/?a=1&b=2",
        "Длительность: 27,8 с",
        "Следующий запуск: 26 июля 2025, 07:00 (UTC+03:00)",
    ):
        assert f"\n{line}\n" in text
    assert "+9,2 %" in text


def test_the_same_chart_is_not_drawn_again(tmp_path: Path) -> None:
    file = tmp_path / "chart.png"
    drawing = drawing_of([DayFigures(day=DAY, runs=3)], Texts("en"))
    png = png_kept_at(file, drawing)
    before = file.stat()
    assert png_kept_at(file, drawing) == png == file.read_bytes()
    assert file.stat() == before


def test_another_chart_and_a_damaged_file_are_drawn_anew(tmp_path: Path) -> None:
    file = tmp_path / "chart.png"
    one = drawing_of([DayFigures(day=DAY, runs=3)], Texts("en"))
    other = drawing_of([DayFigures(day=DAY, runs=3, correct=2)], Texts("en"))
    png = png_kept_at(file, one)
    assert png_kept_at(file, other) == png_of(other) != png
    file.write_bytes(b"damaged")
    assert png_kept_at(file, other) == png_of(other)


def test_a_chart_that_cannot_be_kept_is_drawn(tmp_path: Path) -> None:
    drawing = drawing_of([DayFigures(day=DAY, runs=3)], Texts("en"))
    assert png_kept_at(tmp_path / "missing" / "chart.png", drawing) == png_of(drawing)


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_chart_is_an_inline_image_of_the_html(language: str) -> None:
    letter = written(LETTERS["success"], language=language)
    (image,) = [part for part in letter.walk() if part.get_content_type() == "image/png"]
    assert image.get_content().startswith(b"\x89PNG\r\n\x1a\n")
    assert image["Content-Disposition"].content_disposition == "inline"
    cid = image["Content-ID"].strip("<>")
    assert f'src="cid:{cid}"' in html(letter)
    assert [part.get_content_type() for part in letter.walk()] == [
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
    ]


@pytest.mark.parametrize("recent", [[], [DayFigures(day=DAY)]])
def test_without_attempts_there_is_no_chart(recent: list[DayFigures]) -> None:
    letter = written(SuccessFacts(day=DAY, recent=recent))
    assert "image/png" not in [part.get_content_type() for part in letter.walk()]


def test_an_empty_day_says_that_nothing_was_removed() -> None:
    text = plain(written(LETTERS["empty"]))
    assert "Nothing was loaded and nothing was removed" in text
    assert "Attempts of this day in the table: 12." in text
    assert "./lms run 2025-07-24" in text
    assert "Duration: 1 min 1 s" in text


@pytest.mark.parametrize(
    ("language", "cause", "remedy"),
    [
        ("en", "cannot be trusted: self-signed certificate.", "Check that SMTP_SERVER is"),
        ("ru", "нельзя доверять: self-signed certificate.", "Проверьте, что SMTP_SERVER"),
    ],
)
def test_a_failure_says_its_cause_and_what_to_do(language: str, cause: str, remedy: str) -> None:
    text = plain(written(LETTERS["failure"], language=language))
    assert cause in text
    assert remedy in text


def test_a_failure_says_whether_it_will_be_retried() -> None:
    at = datetime(2025, 7, 25, 9, 0, tzinfo=UTC)
    never = plain(written(FailureFacts(day=DAY, tries=3)))
    later = plain(written(FailureFacts(day=DAY, will_be_retried=True)))
    nine = plain(written(FailureFacts(day=DAY, will_be_retried=True, retry_at=at)))
    assert "Tries so far: 3." in never
    again = "It is not tried again automatically. After fixing the cause: ./lms run 2025-07-24"
    assert again in never
    assert "It is tried again automatically.\n" in later
    assert "It is tried again automatically at 25 July 2025, 09:00 (UTC+00:00)." in nine


def test_a_failure_after_the_load_says_that_the_attempts_are_safe() -> None:
    text = plain(written(FailureFacts(day=DAY, is_loaded=True)))
    assert text.startswith("The attempts of 24 July 2025 are in, but not published\n")
    assert "safely in the table" in text


def test_a_failure_without_words_of_its_own_shows_its_message() -> None:
    unknown = Cause(stage="tape robot", code="tape.jammed", message="the tape\nis jammed")
    text = plain(written(FailureFacts(day=DAY, cause=unknown)))
    assert "the tape is jammed" in text
    assert "Stage: tape robot." in text


def test_a_fault_whose_facts_are_missing_shows_its_message() -> None:
    cause = Cause(stage="mail", code="mail.certificate_refused", message="as it was")
    assert "as it was" in plain(written(FailureFacts(day=DAY, cause=cause)))


def test_too_many_rejected_records_are_told_by_reason() -> None:
    counts = Pulled(received=1640, rejected={"created_at_invalid": 300, "user_id_invalid": 12})
    text = plain(written(FailureFacts(day=DAY, counts=counts)))
    assert "Received: 1,640\nRejected (skipped): 312\n" in text
    assert "(created_at_invalid): 300\nuser id missing or wrong (user_id_invalid): 12\n" in text
    assert "Inserted" not in text


def test_a_failure_without_a_day_names_no_day() -> None:
    assert written(FailureFacts())["Subject"] == "[LMS attempts] FAILED, no day: another stage"


def test_what_a_mirror_deleted_is_told_as_deleted() -> None:  # R16
    fates = Fates(received=3, unchanged=3, vanished=7, deleted=7)
    text = plain(written(SuccessFacts(day=DAY, counts=fates)))
    assert "Deleted: 7\n" in text
    assert "no longer in the answer" not in text


def test_letters_that_an_earlier_version_stored_can_still_be_written() -> None:
    numbers = dict.fromkeys(COUNTS.counters(), 0) | {"received": 5, "rejected": {"too_deep": 5}}
    stored = {name: number for name, number in numbers.items() if name != "deleted"}
    success = from_json("success", {"day": "2025-07-24", "counts": stored})
    assert isinstance(success, SuccessFacts)
    assert success.counts == Fates(received=5, rejected={"too_deep": 5})
    refused = from_json("failure", {"day": "2025-07-24", "counts": stored | {"received": 9}})
    assert isinstance(refused, FailureFacts)
    assert refused.counts == Pulled(received=9, rejected={"too_deep": 5})


def test_a_traceback_of_a_megabyte_is_trimmed_to_its_end() -> None:
    long = "x" * 1_000_000 + "\n" + TRACEBACK
    letter = written(FailureFacts(day=DAY, error=long))
    text = plain(letter)
    assert text.count("line ") == 39
    assert "ValueError: 🎉 ключ" in text
    assert "… lines left out here: 62" in text
    assert len(letter.as_bytes()) < 40_000


def test_a_single_endless_line_is_trimmed_too() -> None:
    letter = written(FailureFacts(day=DAY, error="я" * 1_000_000))
    assert plain(letter).count("я" * 4096) == 1
    assert len(letter.as_bytes()) < 60_000


def test_a_history_tells_each_cause_once_with_its_days() -> None:
    text = plain(written(LETTERS["history"]))
    assert "25 July 2024 to 24 July 2025: 362 done, 3 failed" in text
    assert "Done: 362\nFailed: 3\n" in text
    assert "Days: 2025-03-01, 2025-03-04..2025-03-05\n" in text
    assert text.count("cannot be trusted") == 1
    assert "To run only these days again: ./lms backfill 2024-07-25 2025-07-24" in text


def test_a_history_of_a_hundred_causes_stays_a_letter() -> None:
    failures = [
        DayFailure(day=DAY - timedelta(days=n), cause=Cause(message=f"cause {n}"))
        for n in range(99)
    ]
    text = plain(written(HistoryFacts(first_day=DAY, last_day=DAY, failures=failures)))
    assert "Further causes that are not shown: 79" in text


def test_a_recovery_answers_the_letter_of_the_failure() -> None:
    letter = written(LETTERS["recovered"])
    assert letter["In-Reply-To"] == letter["References"] == "<failure.1@x>"
    assert "What had gone wrong: The certificate of the mail server" in plain(letter)
    assert "It failed first at 25 July 2025, 07:00 (UTC+03:00)." in plain(letter)
    assert "Inserted: 1,201" in plain(letter)


def test_giving_up_says_how_to_go_on() -> None:
    text = plain(written(LETTERS["given_up"]))
    assert "Failed tries: 5." in text
    assert "After fixing the cause: ./lms run 2025-07-24" in text


def test_the_headers_are_those_of_a_machines_letter() -> None:
    letter = written(LETTERS["success"])
    assert letter["From"] == "LMS attempts <robot@example.org>"
    assert letter["To"] == "anna@example.org, boris@example.org"
    assert letter["Date"] == "Fri, 25 Jul 2025 07:00:03 +0300"
    assert letter["Message-ID"] == message_id("success", "run 1", "home")
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter["X-LMS-Kind"] == "success"


@pytest.mark.parametrize(
    "evil", ["<script>alert(1)</script>", '=IMPORTXML("http://x")', "a\nBcc: x@y"]
)
@pytest.mark.parametrize("kind", ["success", "failure", "history"])
def test_text_from_outside_is_inert(kind: str, evil: str) -> None:
    cause = Cause(stage=evil, message=evil)
    letters: dict[str, Facts] = {
        "success": SuccessFacts(
            day=DAY,
            counts=Fates(received=1, rejected={evil: 1}),
            watch={evil: 1},
            warnings=[evil],
            links=Links(run=f"javascript:{evil}", sheet=f'https://x/"{evil}'),
        ),
        "failure": FailureFacts(day=DAY, cause=cause, error=evil),
        "history": HistoryFacts(
            first_day=DAY, last_day=DAY, failures=[DayFailure(day=DAY, cause=cause)]
        ),
    }
    letter = written(letters[kind])
    assert letter["Bcc"] is None
    assert "script" not in Shown(html(letter)).tags
    assert 'href="javascript' not in html(letter)
    assert "\n" not in letter["Subject"]
    assert not re.search(r"^Bcc", plain(letter).replace("    Bcc", ""), re.MULTILINE)


@settings(max_examples=30, deadline=None)
@given(text=st.text(st.characters(), max_size=200), language=st.sampled_from(["en", "ru"]))
def test_any_text_makes_a_letter_that_can_be_sent(text: str, language: str) -> None:
    facts = FailureFacts(
        day=DAY,
        cause=Cause(stage=text, code=text, facts={"server": text}, message=text),
        error=text,
        counts=Pulled(received=1, rejected={text: 1}),
        links=Links(run=text),
    )
    data = compose(
        "failure",
        to_json(facts),
        language=language,
        sender="robot@example.org",
        recipients=[],
        message_id="<1@x>",
        date=MORNING,
    ).as_bytes()
    assert data.isascii()
    assert max(map(len, data.split(b"\r\n"))) <= 998


@pytest.mark.parametrize("kind", LETTERS)
def test_facts_survive_the_table(kind: str) -> None:
    stored = json.loads(json.dumps(to_json(LETTERS[kind]), default=str))
    again = from_json(kind, {**stored, "of_a_newer_version": 1})
    assert to_json(again) == to_json(from_json(kind, stored))
    assert type(again) is type(LETTERS[kind])


def test_the_same_letter_has_the_same_message_id() -> None:
    one = message_id("failure", "run 1", "home")
    assert one == message_id("failure", "run 1", "home")
    others = [("success", "run 1", "home"), ("failure", "run 2", "home"), ("failure", "run 1", "x")]
    assert one not in [message_id(*other) for other in others]
    assert re.fullmatch(r"<[a-z_]+\.[0-9a-f]{32}@[a-z.-]+>", one)


def test_days_that_follow_each_other_are_one_span() -> None:
    days = [date(2025, 2, 28), date(2025, 3, 1), date(2025, 3, 4), date(2025, 3, 1)]
    assert spans(days) == "2025-02-28..2025-03-01, 2025-03-04"
    assert spans([]) == ""


@pytest.mark.parametrize(
    ("seconds", "english", "russian"),
    [
        (0, "0.0 s", "0,0 с"),
        (59.9, "59.9 s", "59,9 с"),
        (847, "14 min 7 s", "14 мин 7 с"),
        (7512, "2 h 5 min", "2 ч 5 мин"),
    ],
)
def test_a_duration_has_a_unit_that_fits_its_size(
    seconds: float, english: str, russian: str
) -> None:
    assert duration(seconds, Texts("en")) == english
    assert duration(seconds, Texts("ru")) == russian


def test_a_kind_that_nobody_knows_is_refused() -> None:
    with pytest.raises(KeyError):
        from_json("birthday", {})
