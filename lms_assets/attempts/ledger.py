"""The books: what each committed pull of a day brought, and what became of every record of it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any, Self

from sqlalchemy import Connection, text


@dataclass(frozen=True)
class Pull:
    """One cleaned answer of the API for one day, ready to be merged.

    Attributes:
        day: The partition.
        window_start: First instant of the day, naive UTC.
        window_end: First instant after it, naive UTC.
        zone: What says what a day is.
        received: Records that the API gave; each has one of the fates below or is merged.
        duplicates: Records whose key came before in the same answer.
        conflicting: Those of ``duplicates`` that differ from the first in another field.
        outside_window: Records of another day.
        erased: Records of students who were erased.
        rejected: Reason → records refused by cleaning.
        watch: Numbers that are watched over time (ungraded, unknown keys …).
        checksum: SHA-256 of the answer.
        code_version: The version of the cleaning rules.
        attempts_key: The Parquet object with the attempts, in the lake; empty for none.
        rejected_key: The Parquet object with the refused records; empty for none.
        stages: Stage → seconds.
    """

    day: str
    window_start: datetime
    window_end: datetime
    zone: str
    received: int
    duplicates: int
    conflicting: int
    outside_window: int
    erased: int
    rejected: dict[str, int]
    watch: dict[str, Any]
    checksum: str
    code_version: str
    attempts_key: str
    rejected_key: str
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def clean(self) -> int:
        """How many records are attempts of the day."""
        rejected = sum(self.rejected.values())
        return self.received - self.duplicates - self.outside_window - self.erased - rejected


@dataclass(frozen=True)
class Load:
    """A committed pull: a row of ``load_ledger``.

    ``received = inserted + updated + unchanged + duplicates + outside_window +
    erased + sum(rejected)``, which the table itself enforces.
    """

    day: str
    received: int
    inserted: int
    updated: int
    unchanged: int
    duplicates: int
    conflicting: int
    outside_window: int
    rejected: dict[str, int]
    erased: int
    vanished: int
    stored: int
    watch: dict[str, Any]
    checksum: str
    code_version: str
    run_id: str
    stages: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        pull: Pull,
        *,
        run_id: str,
        stored: int,
        inserted: int = 0,
        updated: int = 0,
        vanished: int = 0,
        stages: Mapping[str, float] | None = None,
    ) -> Self:
        """What became of a pull; clean records that changed nothing are the unchanged ones."""
        return cls(
            day=pull.day,
            received=pull.received,
            inserted=inserted,
            updated=updated,
            unchanged=pull.clean - inserted - updated,
            duplicates=pull.duplicates,
            conflicting=pull.conflicting,
            outside_window=pull.outside_window,
            rejected=pull.rejected,
            erased=pull.erased,
            vanished=vanished,
            stored=stored,
            watch=pull.watch,
            checksum=pull.checksum,
            code_version=pull.code_version,
            run_id=run_id,
            stages={**pull.stages, **(stages or {})},
        )

    @property
    def is_empty(self) -> bool:
        """Whether the API had nothing for the day."""
        return self.received == 0

    @property
    def changed(self) -> bool:
        """Whether the table is another one than before."""
        return bool(self.inserted or self.updated)

    def counters(self) -> dict[str, Any]:
        """The counters alone, as `lms run --json` and the page show them."""
        return {name: getattr(self, name) for name in COUNTERS}


COLUMNS = (
    "day",
    "received",
    "inserted",
    "updated",
    "unchanged",
    "duplicates",
    "conflicting",
    "outside_window",
    "rejected",
    "erased",
    "vanished",
    "stored",
    "watch",
    "checksum",
    "code_version",
    "run_id",
    "stages",
)
COUNTERS = COLUMNS[1:11]


def record_load(connection: Connection, pull: Pull, load: Load) -> None:
    """The ledger holds the load; the database refuses it when the books do not balance."""
    import json

    row = asdict(load) | {
        "window_start": pull.window_start,
        "window_end": pull.window_end,
        "zone": pull.zone,
    }
    for name in ("rejected", "watch", "stages"):
        row[name] = json.dumps(row[name])
    names = ", ".join(row)
    values = ", ".join(f":{name}" for name in row)
    statement = f"insert into load_ledger ({names}) values ({values})"
    connection.execute(text(statement), row)


def newest_load(connection: Connection, day: date) -> Load | None:
    """The last committed pull of a day, or None when it was never loaded."""
    names = ", ".join(COLUMNS)
    statement = f"select {names} from load_ledger where day = :day order by id desc limit 1"
    row = connection.execute(text(statement), {"day": day}).mappings().first()
    return _load(dict(row)) if row else None


def load_of_run(connection: Connection, run_id: str) -> Load | None:
    """What a run committed, or None."""
    names = ", ".join(COLUMNS)
    statement = f"select {names} from load_ledger where run_id = :run order by id desc limit 1"
    row = connection.execute(text(statement), {"run": run_id}).mappings().first()
    return _load(dict(row)) if row else None


def _load(row: Mapping[str, Any]) -> Load:
    return Load(**(dict(row) | {"day": row["day"].isoformat()}))


def loaded_days(connection: Connection, first: date, last: date) -> set[date]:
    """The days from ``first`` to ``last`` (both included) that the ledger holds."""
    statement = "select distinct day from load_ledger where day between :first and :last"
    return set(connection.scalars(text(statement), {"first": first, "last": last}))


def newest_loaded_day(connection: Connection) -> date | None:
    """The newest loaded day, with or without attempts: what the figures are as of."""
    found: date | None = connection.scalar(text("select max(day) from load_ledger"))
    return found


def zone_of_ledger(connection: Connection) -> str | None:
    """The zone that the newest loaded day was cut by, or None when nothing was loaded."""
    found: str | None = connection.scalar(
        text("select zone from load_ledger order by id desc limit 1")
    )
    return found
