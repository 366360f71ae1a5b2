"""What runs and batches came to, and the letters that tell of it."""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from lms_assets.attempts.lag import take_marks
from lms_assets.faults import Fault, PermanentFault, TemporaryFault
from lms_assets.letters.messenger import Messenger
from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets.runs.batches import open_batch, open_batches
from lms_assets.runs.endings import GivenUpDay
from lms_assets.runs.processes import report_gone
from lms_assets.settings import Settings
from lms_assets.systems import resources
from lms_assets_tests.day_loads import body_of, cleaned, merged, record, stored
from lms_assets_tests.tiny_runs import ran, started

DAY = date(2025, 7, 24)
NOW = datetime(2025, 7, 25, 8, tzinfo=UTC)
REFUSED = PermanentFault("api.credentials_refused", status=401)
LOST = TemporaryFault("api.cut_short")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


class Newsroom:
    """Runs that end, and whoever tells of them."""

    def __init__(
        self, instance: dg.DagsterInstance, warehouse: Warehouse, home: Path, **settings: object
    ) -> None:
        self.instance, self.warehouse = instance, warehouse
        self.lake = Lake(url=str(home / "lake"))
        own = Settings(lms_home=home, _env_file=None, **settings)
        self.messenger = Messenger(own, warehouse, instance, resources(own))

    def good(
        self,
        day: date = DAY,
        *,
        records: int = 1,
        body: Sequence[dict[str, Any]] = (),
        figures: bool = True,
        **tags: str | bool,
    ) -> str:
        """A run that loaded the day; without figures it was launched for the table alone."""
        run_id = ran(self.instance, day, **tags)
        body = body or [record(f"user{n}", day=day) for n in range(records)]
        answer = stored(self.lake, body_of(body), records=len(body), day=day)
        merged(self.warehouse, self.lake, cleaned(self.lake, answer), run_id=run_id)
        if figures:
            with self.warehouse.begin() as connection:
                take_marks(connection)
        return run_id

    def bad(self, day: date = DAY, fault: Fault = REFUSED, **tags: str | bool) -> str:
        """A run that failed."""
        return ran(self.instance, day, fails_with=fault, **tags)

    def told(self, *run_ids: str) -> list[tuple[str, str]]:
        """The letters, once these runs were told of."""
        for run_id in run_ids:
            self.messenger.tell_of_run(run_id, now=NOW)
        return [(row["kind"], str(row["day"])) for row in self.letters()]

    def ends(self, batch: str, *days: date, kind: str = "backfill") -> list[tuple[str, str]]:
        """The letters, once the batch has ended."""
        with self.warehouse.begin() as connection:
            open_batch(connection, batch, kind=kind, days=days)
            opened = [one for one in open_batches(connection) if one.batch == batch]
        for one in opened:
            self.messenger.tell_of_batch(one, now=NOW)
        return self.told()

    def letters(self) -> list[dict[str, Any]]:
        return self.warehouse.rows("select * from letters order by id")


@pytest.fixture
def news(instance: dg.DagsterInstance, warehouse: Warehouse, tmp_path: Path) -> Newsroom:
    return Newsroom(instance, warehouse, tmp_path)


def ago(days: int) -> date:
    return DAY - timedelta(days=days)


def test_a_good_day_is_a_success_and_its_counters_are_the_ledgers(news: Newsroom) -> None:
    outcome = news.messenger.outcome(news.good(records=3))
    assert (outcome.status, outcome.day, outcome.tries) == ("success", DAY, 1)
    said = outcome.as_json()
    assert (said["received"], said["inserted"], said["rejected"]) == (3, 3, {})


def test_the_line_of_a_run_adds_up_and_names_rare_fates_only_where_they_occur(
    news: Newsroom,
) -> None:
    def summary(*records: dict[str, Any]) -> str:
        return news.messenger.outcome(news.good(ago(1), body=records)).summary

    ann, bob, late = (record(user, day=ago(1)) for user in ("ann", "bob", "late"))
    assert summary(ann, bob) == "2 received, 2 inserted, 0 updated, 0 unchanged, 0 rejected"
    assert summary(ann, late, late, record("ann", day=DAY)) == (
        "4 received, 1 inserted, 0 updated, 1 unchanged, "
        "1 duplicates, 1 outside the day, 0 rejected"
    )


def test_a_day_for_which_nothing_came_is_empty(news: Newsroom) -> None:
    run_id = news.good(records=0)
    assert news.messenger.outcome(run_id).status == "empty"
    assert news.told(run_id) == [("empty", "2025-07-24")]


def test_a_failed_day_names_its_stage_its_cause_and_what_to_do(news: Newsroom) -> None:
    run_id = news.bad()
    outcome = news.messenger.outcome(run_id)
    assert outcome.cause is not None
    assert (outcome.cause.stage, outcome.cause.code) == ("api", "api.credentials_refused")
    assert outcome.as_json()["status"] == "failed"
    assert news.told(run_id) == [("failure", "2025-07-24")]


def test_a_run_that_was_retried_twice_and_then_good_has_one_letter_that_says_so(
    news: Newsroom,
) -> None:
    retry = {"dagster__will_retry": "true"}
    runs = [news.bad(fault=LOST, **retry), news.bad(fault=LOST, **retry), news.good()]
    assert news.told(*runs) == [("success", "2025-07-24")]
    assert news.letters()[0]["facts"]["tries"] == 3


def test_a_failed_day_that_is_good_again_has_a_letter_of_its_recovery(news: Newsroom) -> None:
    kinds = [kind for kind, _ in news.told(news.bad(), news.good())]
    assert kinds == ["failure", "recovered"]
    failure, recovery = news.letters()
    assert recovery["facts"]["failure_message_id"] == failure["message_id"]
    assert recovery["facts"]["cause"]["code"] == "api.credentials_refused"


def test_a_recovery_has_one_letter_however_often_the_run_is_seen(news: Newsroom) -> None:
    news.told(news.bad())
    good = news.good()
    assert [kind for kind, _ in news.told(good, good, good)] == ["failure", "recovered"]


def test_a_day_that_failed_within_a_history_has_a_letter_of_its_recovery(news: Newsroom) -> None:
    news.bad(ago(1), batch="b")
    news.good(batch="b")
    news.ends("b", ago(1), DAY)
    assert news.told(news.good(ago(1))) == [
        ("history", "2025-07-24"),
        ("recovered", "2025-07-23"),
    ]


def test_a_day_that_was_good_within_a_history_is_just_a_success_later(news: Newsroom) -> None:
    news.bad(ago(1), batch="b")
    news.good(batch="b")
    news.ends("b", ago(1), DAY)
    assert [kind for kind, _ in news.told(news.good())] == ["history", "success"]


def test_runs_of_a_batch_have_no_letters_of_their_own(news: Newsroom) -> None:
    assert news.told(news.good(batch="b"), news.bad(ago(1), batch="b")) == []


@pytest.mark.parametrize("length", [30, pytest.param(365, marks=pytest.mark.slow)])
def test_a_history_with_three_failures_makes_one_letter_that_names_them(
    news: Newsroom, length: int
) -> None:
    days = [ago(n) for n in range(length)]
    failing = {ago(3): REFUSED, ago(7): LOST, ago(8): REFUSED}
    for day in days:
        if day in failing:
            news.bad(day, failing[day], batch="b")
        else:
            news.good(day, batch="b")
    news.good(batch="b", publishes=True)
    assert news.ends("b", *days) == [("history", "2025-07-24")]
    facts = news.letters()[0]["facts"]
    failures = {failure["day"]: failure["cause"]["code"] for failure in facts["failures"]}
    assert facts["done"] == length - 3
    assert failures == {
        "2025-07-21": "api.credentials_refused",
        "2025-07-17": "api.cut_short",
        "2025-07-16": "api.credentials_refused",
    }


def test_a_day_that_was_run_again_in_its_batch_counts_by_its_last_run(news: Newsroom) -> None:
    news.bad(ago(1), batch="b")
    news.good(batch="b")
    news.good(ago(1), batch="b")
    news.ends("b", ago(1), DAY)
    facts = news.letters()[0]["facts"]
    assert (facts["done"], facts["failures"]) == (2, [])


def test_a_scheduled_batch_has_the_letter_of_its_newest_day_with_the_late_rows_of_other_days(
    news: Newsroom,
) -> None:
    news.good(ago(1), records=1)
    news.good(batch="s")
    news.good(ago(1), records=3, batch="s")
    assert news.ends("s", DAY, ago(1), kind="schedule") == [("success", "2025-07-24")]
    assert news.letters()[0]["facts"]["late_rows"] == {"2025-07-23": 2}


def test_the_letter_of_a_scheduled_batch_names_a_late_day_that_failed(news: Newsroom) -> None:
    news.good(batch="s")
    news.bad(ago(1), batch="s")
    news.ends("s", DAY, ago(1), kind="schedule")
    (letter,) = news.letters()
    assert letter["kind"] == "history"
    assert [failure["day"] for failure in letter["facts"]["failures"]] == ["2025-07-23"]


def test_a_failed_publication_has_a_letter_that_says_that_the_days_are_loaded(
    news: Newsroom,
) -> None:
    news.good(batch="b")
    news.good(ago(1), batch="b")
    forbidden = PermanentFault("sheet.not_shared", address="robot@example.org", sheet="x")
    news.bad(DAY, forbidden, batch="b", publishes=True)
    assert news.ends("b", DAY, ago(1)) == [("failure", "2025-07-24")]
    facts = news.letters()[0]["facts"]
    assert (facts["is_loaded"], facts["cause"]["stage"]) == (True, "sheet")


def test_a_batch_has_one_letter(news: Newsroom) -> None:
    news.good(batch="b")
    news.ends("b", DAY)
    assert len(news.ends("b", DAY)) == 1


def test_a_catch_up_that_failed_again_has_no_letter_and_one_that_succeeded_has(
    news: Newsroom,
) -> None:
    news.bad(batch="one")
    assert news.ends("one", DAY, kind="catch_up_again") == []
    news.good(batch="two")
    assert news.ends("two", DAY, kind="catch_up_again") == [("success", "2025-07-24")]


def test_days_are_given_up_in_one_letter_and_each_only_once(news: Newsroom) -> None:
    days = [GivenUpDay(ago(n), 5, news.bad(ago(n), batch="c")) for n in range(3)]
    for _ in range(2):
        news.messenger.tell_of_giving_up(days, now=NOW)
    (letter,) = news.letters()
    assert (letter["kind"], str(letter["day"]), letter["facts"]["tries"]) == (
        "given_up",
        "2025-07-24",
        5,
    )
    others = [other["day"] for other in letter["facts"]["others"]]
    assert others == ["2025-07-23", "2025-07-22"]
    news.messenger.tell_of_giving_up([], now=NOW)
    later = GivenUpDay(ago(9), 5, news.bad(ago(9), batch="c"))
    news.messenger.tell_of_giving_up([*days, later], now=NOW)
    assert [str(row["day"]) for row in news.letters()] == ["2025-07-24", "2025-07-15"]


def test_a_day_given_up_beside_others_has_a_letter_of_its_recovery(news: Newsroom) -> None:
    days = [GivenUpDay(ago(n), 5, news.bad(ago(n), batch="c")) for n in range(2)]
    news.messenger.tell_of_giving_up(days, now=NOW)
    assert [kind for kind, _ in news.told(news.good(ago(1)))] == ["given_up", "recovered"]


class Monitor:
    """A server that counts the beats it hears."""

    def __init__(self) -> None:
        self.beats: list[str] = []
        beats = self.beats

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                beats.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/ping/secret"


def test_a_monitor_hears_of_a_good_scheduled_batch_and_of_no_other(
    instance: dg.DagsterInstance, warehouse: Warehouse, tmp_path: Path
) -> None:
    monitor = Monitor()
    news = Newsroom(instance, warehouse, tmp_path, heartbeat_url=monitor.url)
    news.good(batch="backfill")
    news.ends("backfill", DAY)
    news.bad(ago(1), batch="bad")
    news.ends("bad", ago(1), kind="schedule")
    # R21: a day that never got a run, a publication that failed, none at all.
    news.good(batch="part")
    news.good(batch="part", publishes=True)
    news.ends("part", DAY, ago(1), kind="schedule")
    news.good(batch="unread")
    news.bad(batch="unread", publishes=True)
    news.ends("unread", DAY, kind="schedule")
    news.ends("never", DAY, kind="schedule")
    assert monitor.beats == []
    news.good(batch="good")
    news.good(batch="good", publishes=True)
    news.ends("good", DAY, kind="schedule")
    monitor.server.shutdown()
    assert monitor.beats == ["/ping/secret"]


def test_a_monitor_that_does_not_answer_costs_no_letter(
    instance: dg.DagsterInstance, warehouse: Warehouse, tmp_path: Path
) -> None:
    monitor = Monitor()
    monitor.server.shutdown()
    monitor.server.server_close()
    news = Newsroom(instance, warehouse, tmp_path, heartbeat_url=monitor.url)
    news.good(batch="s")
    assert news.ends("s", DAY, kind="schedule") == [("success", "2025-07-24")]


def test_a_letter_names_the_next_run_only_where_a_daemon_will_start_it(news: Newsroom) -> None:
    def beat(at: datetime) -> None:
        news.instance.add_daemon_heartbeat(DaemonHeartbeat(at.timestamp(), "SENSOR", "d", []))

    news.told(news.good(ago(2)))
    beat(NOW - timedelta(hours=1))
    news.told(news.good(ago(1)))
    beat(NOW - timedelta(seconds=20))
    news.told(news.good())
    assert [letter["facts"].get("next_run") for letter in news.letters()] == [
        None,
        None,
        "2025-07-26T07:00:00Z",
    ]


def test_a_letter_links_only_where_its_reader_can_follow(  # R57
    instance: dg.DagsterInstance, warehouse: Warehouse, tmp_path: Path
) -> None:
    (tmp_path / "report.html").write_text("<html>", encoding="utf-8")
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "address").write_text("http://127.0.0.1:3000", encoding="utf-8")
    news = Newsroom(instance, warehouse, tmp_path, dashboard_url="http://localhost:3000/d")
    news.told(news.good())
    links = news.letters()[0]["facts"]["links"]
    assert {name: link for name, link in links.items() if link} == {
        "page_file": str(tmp_path / "report.html")
    }


def test_a_letter_links_to_the_addresses_that_are_set(  # R57
    instance: dg.DagsterInstance, warehouse: Warehouse, tmp_path: Path
) -> None:
    news = Newsroom(
        instance,
        warehouse,
        tmp_path,
        dashboard_url="https://bi.example.org/1",
        lms_page_url="https://lms.example.org/report.html",
        lms_dagster_url="https://lms.example.org/dagster/",
    )
    run_id = news.good()
    news.told(run_id)
    links = news.letters()[0]["facts"]["links"]
    assert links["page"] == "https://lms.example.org/report.html"
    assert links["dashboard"] == "https://bi.example.org/1"
    assert links["run"] == f"https://lms.example.org/dagster/runs/{run_id}"


def test_a_run_without_a_day_has_a_letter_that_says_so(news: Newsroom) -> None:  # R18
    @dg.op
    def raw_attempts(context: dg.OpExecutionContext) -> None:
        context.log.info(context.partition_key)

    @dg.job
    def daily_attempts() -> None:
        raw_attempts()

    run = daily_attempts.execute_in_process(instance=news.instance, raise_on_error=False)
    news.messenger.tell_of_run(run.run_id, now=NOW)
    (letter,) = news.letters()
    assert letter["subject"] == "[LMS attempts] FAILED, no day: launched without a day"
    assert letter["day"] is None
    assert letter["facts"]["cause"]["code"] == "launch.without_a_day"


def test_an_interrupted_run_has_a_letter_that_says_so(news: Newsroom) -> None:  # R63
    run_id = started(news.instance, DAY)
    report_gone(news.instance, run_id)
    news.told(run_id)
    (letter,) = news.letters()
    assert letter["subject"] == "[LMS attempts] 2025-07-24 FAILED: interrupted"


def test_the_command_line_says_the_remedy_that_the_letter_says(news: Newsroom) -> None:  # R60
    outcome = news.messenger.outcome(news.bad())
    assert outcome.cause is not None
    explanation = outcome.cause.explained("en")
    assert explanation.remedy
    assert outcome.summary == f"failed: {explanation.cause} {explanation.remedy}"
    assert outcome.as_json()["remedy"] == explanation.remedy


def test_a_run_whose_letter_cannot_be_made_holds_up_no_other_letter(  # R22
    news: Newsroom,
) -> None:
    broken, sound = news.good(ago(1)), news.good()
    with news.warehouse.begin() as connection:
        statement = "update load_ledger set watch = '[1]' where run_id = %s"
        connection.exec_driver_sql(statement, (broken,))
    assert news.told(broken, sound) == [("failure", "None"), ("success", "2025-07-24")]
    assert news.letters()[0]["facts"]["cause"]["code"] == "mail.facts_unreadable"
    assert news.told(broken) == news.told()


def test_a_batch_whose_letter_cannot_be_made_has_a_letter_about_that_and_is_closed(
    news: Newsroom,
) -> None:  # R22
    broken = news.good(batch="b")
    with news.warehouse.begin() as connection:
        statement = "update load_ledger set watch = '[1]' where run_id = %s"
        connection.exec_driver_sql(statement, (broken,))
    assert news.ends("b", DAY) == [("failure", "None")]
    with news.warehouse.begin() as connection:
        assert open_batches(connection) == []


def test_urgent_news_are_short_messages_too(
    instance: dg.DagsterInstance, warehouse: Warehouse, tmp_path: Path
) -> None:
    urls = "json://127.0.0.1:9/token-of-it"
    news = Newsroom(instance, warehouse, tmp_path, notify_urls=urls, is_demo=True)
    news.told(news.good(ago(2)), news.bad(ago(1)), news.good(ago(1)), news.good(records=0))
    short = [row["kind"] for row in news.letters() if row["channel"] != "mail"]
    assert short == ["failure", "recovered", "empty"]
    assert "token-of-it" not in str(news.letters())


def executed_again(run_id: str) -> dict[str, str]:
    """The tags that Dagster's page gives a run beside those of its parent."""
    return {"dagster__parent_run_id": run_id, "dagster__root_run_id": run_id}


def test_a_run_that_is_executed_again_from_its_failure_has_a_letter_of_its_recovery(
    news: Newsroom,
) -> None:  # R11
    failed = news.bad(fault=LOST)
    body = stored(news.lake, body_of([record()]), records=1, day=DAY)
    merged(news.warehouse, news.lake, cleaned(news.lake, body), run_id=failed)
    with news.warehouse.begin() as connection:
        take_marks(connection)
    news.told(failed)
    again = ran(news.instance, DAY, **executed_again(failed))
    assert news.told(again) == [("failure", str(DAY)), ("recovered", str(DAY))]


def test_a_day_of_a_closed_batch_that_is_executed_again_has_a_letter_of_its_own(
    news: Newsroom,
) -> None:  # R10
    failed = news.bad(batch="b")
    news.ends("b", DAY)
    again = news.bad(batch="b", **executed_again(failed))
    assert [kind for kind, _ in news.told(again)] == ["failure", "failure"]
    good = news.good(batch="b", **executed_again(failed))
    assert [kind for kind, _ in news.told(good)] == ["failure", "failure", "recovered"]


def test_a_day_that_is_executed_again_in_an_open_batch_is_in_the_batchs_letter_alone(
    news: Newsroom,
) -> None:  # R10
    with news.warehouse.begin() as connection:
        open_batch(connection, "b", kind="backfill", days=[DAY, ago(1)])
    news.good(ago(1), batch="b")
    failed = news.bad(batch="b")
    again = news.good(batch="b", **executed_again(failed))
    assert news.told(again) == []
    assert news.ends("b") == [("history", str(DAY))]
    facts = news.letters()[0]["facts"]
    assert (facts["done"], facts["failures"]) == (2, [])
    assert len(news.told(again)) == 1


def test_a_publication_that_is_executed_again_has_a_letter_of_its_recovery(news: Newsroom) -> None:
    news.good(ago(1), batch="b")
    news.bad(batch="b")
    forbidden = PermanentFault("sheet.not_shared", address="robot@example.org", sheet="x")
    failed = news.bad(ago(1), forbidden, batch="b", publishes=True)
    assert news.ends("b", DAY, ago(1)) == [("failure", str(ago(1)))]
    tags = executed_again(failed)
    again = ran(news.instance, ago(1), batch="b", publishes=True, **tags)
    assert news.told(again)[1:] == [("recovered", str(ago(1)))]
    once_more = ran(news.instance, ago(1), batch="b", publishes=True, **tags)
    assert len(news.told(once_more)) == 2


def test_a_letter_does_not_call_days_with_lagging_figures_done(news: Newsroom) -> None:  # R12
    alone = news.good(ago(5), figures=False)
    assert news.messenger.outcome(alone).status == "failed"
    news.told(alone)
    news.good(ago(1), figures=False, batch="b")
    news.good(figures=False, batch="b")
    assert news.ends("b", DAY, ago(1)) == [("failure", str(ago(5))), ("history", str(DAY))]
    first, second = (letter["facts"] for letter in news.letters())
    assert first["cause"]["code"] == "database.figures_lag"
    assert (second["done"], len(second["failures"])) == (0, 2)


def alarm(news: Newsroom, day: date, task: str = "loops", *, since: date | None = None) -> None:
    """A task has collapsed."""
    statement = """
        insert into task_alarms (day, oauth_consumer_key, course, task, kind, students, solved,
            solved_pct, usual_pct, usual_student_days, usual_solved, q, since)
        values (%s, '', 'course-v1:Org+Python+Run', %s, 'collapsed', 12, 1, 8.3, 71.2, 90, 64,
            0.0001, %s)
    """
    with news.warehouse.begin() as connection:
        connection.exec_driver_sql(statement, (day, task, since or day))


def test_a_days_letter_says_how_many_alarms_there_are(news: Newsroom) -> None:
    alarm(news, DAY)
    news.told(news.good())
    (letter,) = news.letters()
    assert letter["subject"] == "[LMS attempts] 2025-07-24 OK: 1 received, 1 task alarm"
    (told,) = letter["facts"]["alarms"]
    assert (told["task"], told["students"], told["solved"]) == ("loops", 12, 1)


def test_the_letter_of_a_scheduled_batch_has_new_alarms_of_its_late_days(
    news: Newsroom,
) -> None:
    alarm(news, ago(1), "told before")
    news.told(news.good(ago(1)))
    alarm(news, ago(1), "untold")
    alarm(news, ago(1), "goes on", since=ago(5))
    alarm(news, DAY, "new")
    news.good(batch="s")
    news.good(ago(1), batch="s")
    news.ends("s", DAY, ago(1), kind="schedule")
    alarms = news.letters()[-1]["facts"]["alarms"]
    assert [one["task"] for one in alarms] == ["new", "untold"]


def test_a_history_tells_the_alarms_of_its_newest_day_alone(news: Newsroom) -> None:
    alarm(news, DAY, "new")
    alarm(news, ago(1), "old")
    news.good(batch="b")
    news.good(ago(1), batch="b")
    news.ends("b", DAY, ago(1))
    assert [one["task"] for one in news.letters()[0]["facts"]["alarms"]] == ["new"]
