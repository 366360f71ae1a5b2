"""Letters wait in the outbox: recorded once, sent once, put off, given up where people see it."""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from lms_assets.letters.channels import Letters, Notice, ShortMessages
from lms_assets.letters.facts import Cause, FailureFacts, SuccessFacts, to_json
from lms_assets.letters.outbox import (
    GIVE_UP_AFTER,
    Address,
    DueLetter,
    deliver,
    record,
    resend,
    wait_after,
)
from lms_assets.resources.mail import Mailer, Refusal
from lms_assets.resources.notify import Notifier
from lms_assets.resources.warehouse import Warehouse
from lms_assets_tests.chat_service import chat, silent
from lms_assets_tests.smtp_server import dialogue, free_port, post_office, talking

DAY = date(2025, 7, 24)
HERE = Address("en", "/a/home")
ROBOT = "robot@example.org"
ANN, BOB, EVE = "ann@example.org", "bob@example.org", "eve@example.org"
HOUR = timedelta(hours=1)
SUCCESS = to_json(SuccessFacts(day=DAY))
FAILURE = to_json(FailureFacts(day=DAY, cause=Cause(message="it broke")))


def mailer(port: int, *recipients: str, total_s: float = 10) -> list[Letters]:
    post = Mailer(
        server="127.0.0.1",
        port=port,
        sender="robot@example.org",
        recipients=list(recipients or (ANN,)),
        total_s=total_s,
    )
    return [Letters(post)]


def due(
    warehouse: Warehouse, *, kind: str = "success", run: str = "run-1", batch: str | None = None
) -> bool:
    facts = FAILURE if kind == "failure" else SUCCESS
    with warehouse.begin() as connection:
        letter = DueLetter(kind, facts, DAY, run, batch)
        return record(connection, letter, HERE, today=DAY)


def now(warehouse: Warehouse, after: timedelta = timedelta(seconds=1)) -> datetime:
    """So long after the letters were due, by the database's clock."""
    moment: datetime = warehouse.rows("select max(due_at) as at from letters")[0]["at"]
    return moment + after


def letter(warehouse: Warehouse) -> dict[str, Any]:
    (row,) = warehouse.rows("select * from letters")
    return row


def test_a_letter_is_recorded_once_for_its_run(warehouse: Warehouse) -> None:
    assert due(warehouse)
    assert not due(warehouse)
    assert due(warehouse, run="run-2")


def test_a_letter_of_a_batch_is_recorded_once_whichever_run_it_names(warehouse: Warehouse) -> None:
    assert due(warehouse, run="run-1", batch="b")
    assert not due(warehouse, run="run-2", batch="b")


def test_a_run_with_a_letter_has_no_second_letter_of_another_kind(warehouse: Warehouse) -> None:
    assert due(warehouse, kind="failure")
    assert not due(warehouse, kind="success")


def test_a_letter_goes_out_once_to_everybody(warehouse: Warehouse) -> None:
    due(warehouse)
    with post_office() as office:
        mail = mailer(office.port, ANN, BOB)
        assert deliver(warehouse, mail, HERE, now=now(warehouse)) == 1
        assert deliver(warehouse, mail, HERE, now=now(warehouse, HOUR)) == 0
    (delivery,) = office.deliveries
    assert delivery.recipients == [ANN, BOB]
    row = letter(warehouse)
    assert (row["status"], row["tries"], row["delivered_to"]) == ("sent", 1, [ANN, BOB])
    assert delivery.letter["Message-ID"] == row["message_id"]


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What the calls return, all begun at the same moment."""
    begin, said = threading.Barrier(len(calls)), []

    def call(one: Callable[[], Any]) -> None:
        begin.wait()
        said.append(one())

    threads = [threading.Thread(target=call, args=(one,)) for one in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def test_two_senders_at_once_never_send_a_letter_twice(warehouse: Warehouse) -> None:
    for n in range(8):
        due(warehouse, run=f"run-{n}")
    moment = now(warehouse)
    with post_office() as office:
        send = [
            lambda: deliver(Warehouse(url=warehouse.url), mailer(office.port), HERE, now=moment)
            for _ in range(4)
        ]
        assert sum(at_once(*send)) + deliver(warehouse, mailer(office.port), HERE, now=moment) == 8
    assert len({one.letter["Message-ID"] for one in office.deliveries}) == 8
    assert len(office.deliveries) == 8


def test_a_run_that_two_watchers_see_ending_has_one_letter(warehouse: Warehouse) -> None:
    assert sorted(at_once(*[lambda: due(warehouse)] * 4)) == [False, False, False, True]


def test_letters_wait_while_the_server_is_down_and_none_is_lost(warehouse: Warehouse) -> None:
    for n in range(3):
        due(warehouse, run=f"run-{n}")
    closed = mailer(free_port())
    for minutes in range(0, 120, 10):
        deliver(warehouse, closed, HERE, now=now(warehouse, timedelta(minutes=minutes)))
    waiting = warehouse.rows("select distinct status from letters")
    assert waiting == [{"status": "waiting"}]
    with post_office() as office:
        sent = deliver(warehouse, mailer(office.port), HERE, now=now(warehouse, 3 * HOUR))
    assert sent == 3
    assert len(office.deliveries) == 3


def waits(warehouse: Warehouse, tries: int) -> Sequence[int]:
    """Minutes until the next try, after each of so many that failed."""
    closed, found, moment = mailer(free_port()), [], now(warehouse)
    for _ in range(tries):
        deliver(warehouse, closed, HERE, now=moment)
        row = letter(warehouse)
        found.append(round((row["next_try_at"] - moment).total_seconds() / 60))
        moment = row["next_try_at"]
    return found


def test_a_letter_that_cannot_go_out_is_tried_less_and_less_often(warehouse: Warehouse) -> None:
    due(warehouse)
    assert waits(warehouse, 8) == [1, 2, 4, 8, 16, 32, 60, 60]


def test_a_letter_whose_turn_has_not_come_is_left_alone(warehouse: Warehouse) -> None:
    due(warehouse)
    deliver(warehouse, mailer(free_port()), HERE, now=now(warehouse))
    with post_office() as office:
        early = now(warehouse, timedelta(seconds=30))
        assert deliver(warehouse, mailer(office.port), HERE, now=early) == 0
    assert office.deliveries == []


def test_a_letter_that_waited_too_long_is_given_up_with_the_reason(warehouse: Warehouse) -> None:
    due(warehouse)
    late = now(warehouse, GIVE_UP_AFTER + HOUR)
    deliver(warehouse, mailer(free_port()), HERE, now=late)
    row = letter(warehouse)
    assert row["status"] == "given_up"
    assert row["last_error"].startswith("mail.")
    assert row["sent_at"] is None


def test_a_login_that_is_refused_gives_the_letter_up_at_once(warehouse: Warehouse) -> None:
    due(warehouse)
    with post_office(sender_answer="550 5.7.1 you may not send") as office:
        deliver(warehouse, mailer(office.port), HERE, now=now(warehouse))
    assert letter(warehouse)["status"] == "given_up"


@pytest.mark.parametrize("then", ["hang", "drop"])
def test_an_answer_that_is_lost_makes_one_duplicate_at_most(
    warehouse: Warehouse, then: str
) -> None:
    due(warehouse)
    with talking(dialogue(then=then)) as port:
        mail = mailer(port, total_s=1)
        for hours in range(1, 6):
            deliver(warehouse, mail, HERE, now=now(warehouse, hours * HOUR))
    row = letter(warehouse)
    assert (row["status"], row["tries"]) == ("given_up", 2)


def test_a_lost_answer_is_remembered_over_other_failures(warehouse: Warehouse) -> None:
    due(warehouse)
    with talking(dialogue(then="drop")) as port:
        deliver(warehouse, mailer(port), HERE, now=now(warehouse, 1 * HOUR))
        deliver(warehouse, mailer(free_port()), HERE, now=now(warehouse, 3 * HOUR))
        assert letter(warehouse)["status"] == "waiting"
        deliver(warehouse, mailer(port), HERE, now=now(warehouse, 6 * HOUR))
    assert letter(warehouse)["status"] == "given_up"


def test_a_repeated_letter_has_the_same_message_id(warehouse: Warehouse) -> None:
    due(warehouse)
    with post_office() as office:
        deliver(warehouse, mailer(office.port), HERE, now=now(warehouse))
        with warehouse.begin() as connection:
            assert resend(connection, letter(warehouse)["id"], now=now(warehouse))
        assert letter(warehouse)["status"] == "waiting"
        deliver(warehouse, mailer(office.port), HERE, now=now(warehouse))
    first, second = (one.letter["Message-ID"] for one in office.deliveries)
    assert first == second


def test_there_is_nothing_to_resend_of_a_letter_that_is_not_there(warehouse: Warehouse) -> None:
    with warehouse.begin() as connection:
        assert not resend(connection, 12345, now=datetime.now(UTC))


def test_a_refused_recipient_does_not_keep_the_letter_from_the_others(
    warehouse: Warehouse,
) -> None:
    due(warehouse)
    with post_office(answers={BOB: "550 5.1.1 no such user"}) as office:
        mail = mailer(office.port, ANN, BOB, EVE)
        deliver(warehouse, mail, HERE, now=now(warehouse))
        deliver(warehouse, mail, HERE, now=now(warehouse, HOUR))
    assert [one.recipients for one in office.deliveries] == [[ANN, EVE]]
    row = letter(warehouse)
    assert (row["status"], row["delivered_to"]) == ("sent", [ANN, EVE])
    assert BOB in row["last_error"]


def test_a_recipient_who_was_put_off_gets_it_later_and_the_others_not_again(
    warehouse: Warehouse,
) -> None:
    due(warehouse)
    answers = {BOB: "451 4.3.0 later"}
    with post_office(answers=answers) as office:
        mail = mailer(office.port, ANN, BOB)
        deliver(warehouse, mail, HERE, now=now(warehouse))
        assert letter(warehouse)["status"] == "waiting"
        answers.clear()
        deliver(warehouse, mail, HERE, now=now(warehouse, HOUR))
    assert [one.recipients for one in office.deliveries] == [[ANN], [BOB]]
    assert letter(warehouse)["status"] == "sent"


def test_a_letter_that_cannot_be_written_does_not_keep_the_others_back(
    warehouse: Warehouse,
) -> None:
    due(warehouse, run="run-1")
    with warehouse.begin() as connection:
        connection.exec_driver_sql("update letters set facts = '{\"day\": 5}'")
    due(warehouse, run="run-2")
    with post_office() as office:
        assert deliver(warehouse, mailer(office.port), HERE, now=now(warehouse)) == 1
    rows = warehouse.rows("select status, last_error from letters order by id")
    assert [row["status"] for row in rows] == ["given_up", "sent"]
    assert rows[0]["last_error"].startswith("cannot be written")


def test_a_letter_in_its_forty_first_try_waits_an_hour_and_holds_up_no_other(  # R22
    warehouse: Warehouse,
) -> None:
    due(warehouse, run="run-1")
    with warehouse.begin() as connection:
        connection.exec_driver_sql("update letters set tries = 41")
    moment = now(warehouse)
    deliver(warehouse, mailer(free_port()), HERE, now=moment)
    row = letter(warehouse)
    assert (row["status"], row["tries"], row["next_try_at"] - moment) == ("waiting", 42, HOUR)
    due(warehouse, run="run-2")
    with post_office() as office:
        assert deliver(warehouse, mailer(office.port), HERE, now=now(warehouse)) == 1


@pytest.mark.parametrize("tries", [0, 7, 41, 1_000, 2**31])
def test_no_letter_ever_waits_longer_than_an_hour(tries: int) -> None:  # R22
    assert timedelta(minutes=1) <= wait_after(tries) <= HOUR


class Broken:
    """A way to tell people that has a mistake in it."""

    name = "mail"
    recipients = (ANN,)

    def __init__(self, broken_for: str, good: Letters) -> None:
        self.broken_for, self.good = broken_for, good

    def carries(self, kind: str, facts: Mapping[str, Any]) -> bool:
        return self.good.carries(kind, facts)

    def hand_over(self, notice: Notice, recipients: Sequence[str]) -> dict[str, Refusal | None]:
        if notice.message_id == self.broken_for:
            raise RuntimeError("a mistake")
        return self.good.hand_over(notice, recipients)


def test_a_letter_that_raises_any_error_is_given_up_in_three_days_and_holds_up_no_other(  # R22
    warehouse: Warehouse,
) -> None:
    due(warehouse, run="run-1")
    broken_id = letter(warehouse)["message_id"]
    due(warehouse, run="run-2")
    with post_office() as office:
        channels = [Broken(broken_id, mailer(office.port)[0])]
        assert deliver(warehouse, channels, HERE, now=now(warehouse)) == 1
        deliver(warehouse, channels, HERE, now=now(warehouse, GIVE_UP_AFTER + HOUR))
    states = warehouse.rows("select status, last_error from letters order by id")
    assert [row["status"] for row in states] == ["given_up", "sent"]
    assert states[0]["last_error"] == "RuntimeError: a mistake"


def test_a_letter_that_every_recipient_was_refused_is_given_up(warehouse: Warehouse) -> None:  # R43
    due(warehouse)
    answers = dict.fromkeys((ANN, BOB), "550 5.1.1 no such user")
    with post_office(answers=answers) as office:
        deliver(warehouse, mailer(office.port, ANN, BOB), HERE, now=now(warehouse))
    row = letter(warehouse)
    assert (row["status"], row["sent_at"], row["delivered_to"]) == ("given_up", None, [])
    assert ANN in row["last_error"]
    assert BOB in row["last_error"]


def test_a_letter_is_sent_when_one_had_it_and_the_other_is_refused_later(  # R43
    warehouse: Warehouse,
) -> None:
    due(warehouse)
    answers = {BOB: "451 4.3.0 later"}
    with post_office(answers=answers) as office:
        mail = mailer(office.port, ANN, BOB)
        deliver(warehouse, mail, HERE, now=now(warehouse))
        answers[BOB] = "550 5.1.1 no such user"
        deliver(warehouse, mail, HERE, now=now(warehouse, HOUR))
    row = letter(warehouse)
    assert (row["status"], row["delivered_to"]) == ("sent", [ANN])


def test_a_sender_may_have_a_name_in_any_script(warehouse: Warehouse) -> None:  # R44
    due(warehouse)
    post = Mailer(server="127.0.0.1", port=1, sender=f"Аналитика <{ROBOT}>", recipients=[ANN])
    with post_office() as office:
        post = post.model_copy(update={"port": office.port, "password": "ascii"})
        assert deliver(warehouse, [Letters(post)], HERE, now=now(warehouse)) == 1
    (delivery,) = office.deliveries
    assert delivery.sender == ROBOT
    assert delivery.letter["From"] == f"Аналитика <{ROBOT}>"


def test_no_transaction_is_open_while_a_server_is_asked(warehouse: Warehouse) -> None:  # R25
    due(warehouse)

    class Watching(Broken):
        def hand_over(self, notice: Notice, recipients: Sequence[str]) -> dict[str, Refusal | None]:
            self.states = warehouse.rows(
                "select state from pg_stat_activity where datname = current_database() "
                "and pid <> pg_backend_pid() and state like 'idle in transaction%'"
            )
            return super().hand_over(notice, recipients)

    with post_office() as office:
        channel = Watching("", mailer(office.port)[0])
        assert deliver(warehouse, [channel], HERE, now=now(warehouse)) == 1
    assert channel.states == []


def test_notices_of_a_channel_that_is_not_configured_any_more_are_given_up(
    warehouse: Warehouse,
) -> None:
    with warehouse.begin() as connection:
        short = DueLetter("failure", FAILURE, DAY, "run-1", None)
        record(connection, short, HERE, today=DAY, channel="tgram-123456")
    deliver(warehouse, mailer(free_port()), HERE, now=now(warehouse))
    assert letter(warehouse)["status"] == "given_up"


def test_a_command_that_has_time_sends_every_letter_and_a_tick_leaves_the_rest(
    warehouse: Warehouse,
) -> None:
    """Twenty courses have twenty letters on a Sunday, and no daemon may be there to go on."""
    with post_office() as office:
        for run in ("run-1", "run-2"):
            due(warehouse, run=run)
        at, channels = now(warehouse), mailer(office.port)
        assert deliver(warehouse, channels, HERE, now=at, begin_within_s=0) == 0
        assert deliver(warehouse, channels, HERE, now=at, begin_within_s=60) == 2


def test_a_run_has_one_notice_in_each_channel(warehouse: Warehouse) -> None:
    short = DueLetter("failure", FAILURE, DAY, "run-1", None)
    for channel in ("mail", "json-1", "json-1", "json-2"):
        with warehouse.begin() as connection:
            record(connection, short, HERE, today=DAY, channel=channel)
    rows = warehouse.rows("select channel, message_id from letters order by id")
    assert [row["channel"] for row in rows] == ["mail", "json-1", "json-2"]
    assert len({row["message_id"] for row in rows}) == 3


def test_a_short_message_whose_answer_is_lost_is_repeated_once(warehouse: Warehouse) -> None:  # E2
    with silent(closes=True) as port:
        channel = ShortMessages(Notifier(f"json://127.0.0.1:{port}/x?rto=1"))
        with warehouse.begin() as connection:
            short = DueLetter("failure", FAILURE, DAY, "run-1", None)
            record(connection, short, HERE, today=DAY, channel=channel.name)
        for hours in range(1, 6):
            deliver(warehouse, [channel], HERE, now=now(warehouse, hours * HOUR))
    row = letter(warehouse)
    assert (row["status"], row["tries"]) == ("given_up", 2)


def test_a_short_message_waits_while_its_service_is_down_and_the_letter_does_not(
    warehouse: Warehouse,
) -> None:
    with post_office() as office, chat(503) as service:
        channels = [*mailer(office.port), ShortMessages(Notifier(service.url))]
        for channel in channels:
            with warehouse.begin() as connection:
                letter_due = DueLetter("failure", FAILURE, DAY, "run-1", None)
                record(connection, letter_due, HERE, today=DAY, channel=channel.name)
        assert deliver(warehouse, channels, HERE, now=now(warehouse)) == 1
        service.status = 200
        assert deliver(warehouse, channels, HERE, now=now(warehouse, HOUR)) == 1
    assert len(service.messages) == len(office.deliveries) == 1
    assert service.messages[0] == "[LMS attempts] 2025-07-24 FAILED: another stage\nit broke"
