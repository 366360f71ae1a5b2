"""Oddities of the demo API's records.

Each oddity was seen in answers of the real API. Each affects a small share of the records.
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import accumulate
from random import Random
from urllib.parse import quote

Record = dict[str, object]

_COURSE = re.compile(r"(?<=')course-v1:[^:']+(?=:)")


def as_sent(moment: datetime, record: Record, rng: Random) -> Iterator[tuple[datetime, bytes]]:
    """The record as JSON, perhaps with an oddity; about 4 records in 1,000 are sent twice."""
    draw = rng.random()
    oddity = next((odd for limit, odd in _ODDITIES if draw < limit), None)
    if oddity is _whole_second:
        moment = moment.replace(microsecond=0)
    record["created_at"] = moment.isoformat(sep=" ")
    if oddity:
        oddity(record)
    yield moment, json.dumps(record).encode()
    if oddity is _without_outcome_url and rng.random() < 0.004:
        record["passback_params"] = None
        yield moment, json.dumps(record).encode()
    elif rng.random() < 0.004:
        yield moment, json.dumps(record).encode()


def _without_outcome_url(record: Record) -> None:
    fields, _, _ = str(record["passback_params"]).partition(", 'lis_outcome_service_url'")
    record["passback_params"] = fields + "}"


def _with_none_inside(record: Record) -> None:
    _without_outcome_url(record)
    fields = str(record["passback_params"]).removesuffix("}")
    record["passback_params"] = fields + ", 'lis_outcome_service_url': None}"


def _with_an_apostrophe(record: Record) -> None:
    fields = str(record["passback_params"]).removesuffix("}")
    record["passback_params"] = fields + ", 'resource_link_title': \"Dijkstra's algorithm\"}"


def _with_a_quoted_course(record: Record) -> None:
    params = str(record["passback_params"])
    record["passback_params"] = _COURSE.sub(lambda course: quote(course[0], safe=""), params)


def _with_another_user(record: Record) -> None:
    record["passback_params"] = str(record["passback_params"]).replace(
        f":{record['lti_user_id']}'", f":{str(record['lti_user_id'])[::-1]}'"
    )


def _whole_second(record: Record) -> None:
    """Nothing: ``as_sent`` has already rounded the moment, so its text has no fraction."""


def _with_a_boolean(record: Record) -> None:
    if record["is_correct"] is not None:
        record["is_correct"] = bool(record["is_correct"])


def _with_a_verdict_anyway(record: Record) -> None:
    record["attempt_type"] = "run"
    record["is_correct"] = 1


def _set(field: str, value: object) -> Callable[[Record], None]:
    def oddity(record: Record) -> None:
        record[field] = value

    return oddity


def _without_passback(record: Record) -> None:
    del record["passback_params"]


# Share of the records in per mille. Cleaning rejects the records with the last five oddities.
_SHARES: tuple[tuple[float, Callable[[Record], None]], ...] = (
    (120, _without_outcome_url),
    (8, _whole_second),
    (8, _with_a_boolean),
    (5, _with_a_quoted_course),
    (3, _with_none_inside),
    (2, _with_an_apostrophe),
    (1.5, _set("passback_params", None)),
    (1.5, _set("passback_params", "")),
    (1.5, _without_passback),
    (1, _with_another_user),
    (1, _set("is_correct", None)),
    (0.5, _with_a_verdict_anyway),
    (0.3, _set("attempt_type", "check")),
    (0.3, _set("lti_user_id", None)),
    (0.3, _set("created_at", "0000-00-00 00:00:00")),
    (0.3, _set("passback_params", "{'oauth_consumer_key': '")),
)
_ODDITIES = tuple(
    zip(
        accumulate(share / 1000 for share, _ in _SHARES),
        (oddity for _, oddity in _SHARES),
        strict=True,
    )
)
