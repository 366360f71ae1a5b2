"""The ledger: the table ``load_ledger`` has a row per load of a day with the count of each fate."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from typing import Any, Self

from sqlalchemy import Connection, RowMapping, text

from lms_assets.attempts.fates import COUNTERS, Fates


@dataclass(frozen=True)
class Pull:
    """One cleaned answer of the API for one day, ready to be merged.

    Attributes:
        day: The day of the partition, ISO.
        window_start: The first instant of the day, naive UTC.
        window_end: The first instant after the day, naive UTC.
        zone: The zone of the day, LMS_TIMEZONE.
        fates: The number of records with each fate. Clean records count as ``unchanged`` until
            the merge.
        watch: The number of records with each oddity (``ungraded``, ``unknown_keys`` …).
        checksum: SHA-256 of the bytes that the API sent.
        code_version: The version of the cleaning rules.
        attempts_key: The key of the lake's object with the attempts; empty if there is none.
        rejected_key: The key of the lake's object with the rejected records; empty if there is
            none.
        asked_at: The time of the request to the API, naive UTC; None if the API was not asked.
        stages: Name of a stage → its seconds.
    """

    day: str
    window_start: datetime
    window_end: datetime
    zone: str
    fates: Fates
    watch: dict[str, Any]
    checksum: str
    code_version: str
    attempts_key: str
    rejected_key: str
    asked_at: datetime | None = None
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def clean(self) -> int:
        """The number of records that are attempts of the day."""
        return self.fates.kept


@dataclass(frozen=True)
class Load:
    """A loaded pull: a row of ``load_ledger``. The other attributes are those of :class:`Pull`.

    Attributes:
        stored: The number of the day's attempts in the table after the load.
        run_id: The Dagster run that loaded.
        overtaken: A pull that was requested later was loaded before, so nothing was merged.
    """

    day: str
    fates: Fates
    stored: int
    watch: dict[str, Any]
    checksum: str
    code_version: str
    run_id: str
    asked_at: datetime | None = None
    overtaken: bool = False
    stages: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        pull: Pull,
        *,
        run_id: str,
        stored: int,
        fates: Fates | None = None,
        overtaken: bool = False,
        stages: Mapping[str, float] | None = None,
    ) -> Self:
        """The load of a pull; without ``fates``, all clean records count as unchanged."""
        return cls(
            day=pull.day,
            fates=fates or pull.fates,
            stored=stored,
            watch=pull.watch,
            checksum=pull.checksum,
            code_version=pull.code_version,
            run_id=run_id,
            asked_at=pull.asked_at,
            overtaken=overtaken,
            stages={**pull.stages, **(stages or {})},
        )

    @property
    def is_empty(self) -> bool:
        """Whether the API's answer had no records."""
        return self.fates.received == 0

    @property
    def changed(self) -> bool:
        """Whether the load changed the table."""
        return bool(self.fates.changed)


COLUMNS = tuple(
    name
    for attribute in fields(Load)
    for name in (COUNTERS if attribute.name == "fates" else (attribute.name,))
)
_NAMES = ", ".join(COLUMNS)


def record_load(connection: Connection, pull: Pull, load: Load) -> None:
    """The load is in the ledger; a constraint refuses counts that do not add up."""
    window = {
        "window_start": pull.window_start,
        "window_end": pull.window_end,
        "zone": pull.zone,
    }
    row = {name: getattr(load, name) for name in COLUMNS if name not in COUNTERS}
    row |= load.fates.counters() | window
    for name in ("rejected", "watch", "stages"):
        row[name] = json.dumps(dict(row[name]))
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    statement = f"insert into load_ledger ({names}) values ({values})"
    connection.execute(text(statement), row)


def newest_load(connection: Connection, day: date) -> Load | None:
    """The newest load of a day; None if the day was never loaded.

    Overtaken loads are skipped.
    """
    statement = f"""
        select {_NAMES} from load_ledger where day = :day and not overtaken
        order by id desc limit 1
    """
    row = connection.execute(text(statement), {"day": day}).mappings().first()
    return _load(row) if row else None


def load_of_run(connection: Connection, run_id: str) -> Load | None:
    """The load that a run committed; None if there is none."""
    statement = f"select {_NAMES} from load_ledger where run_id = :run order by id desc limit 1"
    row = connection.execute(text(statement), {"run": run_id}).mappings().first()
    return _load(row) if row else None


def _load(row: RowMapping) -> Load:
    others = {name: row[name] for name in COLUMNS if name not in COUNTERS}
    others["day"] = row["day"].isoformat()
    return Load(**others, fates=Fates(**{name: row[name] for name in COUNTERS}))


def loaded_days(connection: Connection, first: date, last: date) -> set[date]:
    """The loaded days from ``first`` to ``last`` (both included)."""
    statement = "select distinct day from load_ledger where day between :first and :last"
    return set(connection.scalars(text(statement), {"first": first, "last": last}))


def newest_loaded_day(connection: Connection) -> date | None:
    """The newest loaded day, with or without attempts. Figures are as of the end of this day."""
    newest: date | None = connection.scalar(text("select max(day) from load_ledger"))
    return newest


def zone_of_ledger(connection: Connection) -> str | None:
    """The zone of the newest load; None if nothing was loaded."""
    zone: str | None = connection.scalar(
        text("select zone from load_ledger order by id desc limit 1")
    )
    return zone
