"""The books: what each committed pull of a day brought, and what became of every record of it."""

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
        day: The partition.
        window_start: First instant of the day, naive UTC.
        window_end: First instant after it, naive UTC.
        zone: What says what a day is.
        fates: Of the records; the clean ones are ``unchanged`` until they are merged.
        watch: Numbers that are watched over time (ungraded, unknown keys …).
        checksum: SHA-256 of the answer.
        code_version: The version of the cleaning rules.
        attempts_key: The Parquet object with the attempts, in the lake; empty for none.
        rejected_key: The Parquet object with the refused records; empty for none.
        asked_at: When the API was asked, naive UTC; None where nothing was asked.
        stages: Stage → seconds.
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
        """How many records are attempts of the day."""
        return self.fates.kept


@dataclass(frozen=True)
class Load:
    """A committed pull: a row of ``load_ledger``.

    Attributes:
        stored: Attempts of the day that the table holds since then.
        overtaken: A pull that was asked later had been loaded before: nothing was merged.
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
        """What became of a pull; without other fates, all its clean records are unchanged."""
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
        """Whether the API had nothing for the day."""
        return self.fates.received == 0

    @property
    def changed(self) -> bool:
        """Whether the table is another one than before."""
        return bool(self.fates.changed)


COLUMNS = tuple(
    name for each in fields(Load) for name in (COUNTERS if each.name == "fates" else (each.name,))
)
_NAMES = ", ".join(COLUMNS)


def record_load(connection: Connection, pull: Pull, load: Load) -> None:
    """The ledger holds the load; the database refuses it when the books do not balance."""
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
    """The last committed pull of a day, or None when it was never loaded.

    A pull that was overtaken is never the newest.
    """
    statement = f"""
        select {_NAMES} from load_ledger where day = :day and not overtaken
        order by id desc limit 1
    """
    row = connection.execute(text(statement), {"day": day}).mappings().first()
    return _load(row) if row else None


def load_of_run(connection: Connection, run_id: str) -> Load | None:
    """What a run committed, or None."""
    statement = f"select {_NAMES} from load_ledger where run_id = :run order by id desc limit 1"
    row = connection.execute(text(statement), {"run": run_id}).mappings().first()
    return _load(row) if row else None


def _load(row: RowMapping) -> Load:
    others = {name: row[name] for name in COLUMNS if name not in COUNTERS}
    others["day"] = row["day"].isoformat()
    return Load(**others, fates=Fates(**{name: row[name] for name in COUNTERS}))


def loaded_days(connection: Connection, first: date, last: date) -> set[date]:
    """The days from ``first`` to ``last`` (both included) that the ledger holds."""
    statement = "select distinct day from load_ledger where day between :first and :last"
    return set(connection.scalars(text(statement), {"first": first, "last": last}))


def newest_loaded_day(connection: Connection) -> date | None:
    """The newest loaded day, with or without attempts: what the figures are as of."""
    newest: date | None = connection.scalar(text("select max(day) from load_ledger"))
    return newest


def zone_of_ledger(connection: Connection) -> str | None:
    """The zone that the newest loaded day was cut by, or None when nothing was loaded."""
    zone: str | None = connection.scalar(
        text("select zone from load_ledger order by id desc limit 1")
    )
    return zone
