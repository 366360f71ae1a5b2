"""The table of an earlier system is taken over: each row becomes an attempt or is set aside.

Known are ``attempts`` of the LMS Analytics Pipeline and ``lms_database`` of ETL-Project, both at
once too. All happens in one transaction: after a crash the database is as it was.

Both programs took what the API says, naive UTC. A column ``timestamp`` holds it as it was. In a
column ``timestamptz`` PostgreSQL put the instant that it means in the zone of the session that
wrote it, so that zone must be known to get the UTC time back.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
from sqlalchemy import Connection, text

from lms_assets.attempts.cleaning import (
    CODE_VERSION,
    FIRST_MOMENT,
    MAX_NAME_BYTES,
    MAX_RECORD_BYTES,
    MAX_USER_ID_LENGTH,
    Tombstones,
    course_and_task,
)
from lms_assets.attempts.columns import ARROW_SCHEMA, ATTEMPT_TYPES, SAID_COLUMNS, check_table
from lms_assets.attempts.distinct import numbered
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.lag import mark_lagging
from lms_assets.attempts.ledger import Load, Pull, record_load, zone_of_ledger
from lms_assets.attempts.merge import STORED, copy
from lms_assets.attempts.tombstones import Erasure
from lms_assets.days import end_of_tomorrow, is_zone, midnight, today
from lms_assets.faults import PermanentFault
from lms_assets.locks import Lock, hold
from lms_assets.resources.records import ascii_text
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics.views import figure_views

DUPLICATE: Final = "adopted_duplicate"
INVALID: Final = "adopted_invalid"
CHECKSUM: Final = "adopted"
SUFFIX: Final = "_before_adoption"

Progress = Callable[[int, int], None]

_CHUNK_ROWS: Final = 10_000
_LONGEST_NAME: Final = 63
_UTC_NAMES: Final = frozenset({"UTC", "Etc/UTC", "GMT", "Etc/GMT", "UCT", "Zulu", "Universal"})

_NAIVE, _ZONED = "timestamp without time zone", "timestamp with time zone"
_TEXT: Final = frozenset({"text", "character varying"})
_TIME: Final = frozenset({_NAIVE, _ZONED})
_TEXT_COLUMNS: Final = (
    "user_id",
    "oauth_consumer_key",
    "lis_result_sourcedid",
    "lis_outcome_service_url",
    "attempt_type",
)


@dataclass(frozen=True)
class Adoption:
    """What became of one table. rows_before = kept + erased + the sum of set_aside.

    Attributes:
        source: ``lms_analytics_pipeline`` or ``etl_project``.
        rows_before: Rows of the old table.
        kept: Rows that are now attempts.
        set_aside: Reason → rows now in ``rejected_records``.
        erased: Rows dropped because their student was erased here.
        days: Days that the ledger now holds from this table.
        first_day: The first of them; None for none.
        last_day: The last of them. The earlier system may have stopped in the middle of it.
        old_table_now: The name under which the old table is kept, its rows untouched.
    """

    source: str
    rows_before: int
    kept: int
    set_aside: dict[str, int]
    erased: int
    days: int
    first_day: date | None
    last_day: date | None
    old_table_now: str


@dataclass(frozen=True)
class _Source:
    """A table that is known, and how its columns are read.

    Args:
        name: The system that made it.
        table: In the schema public.
        columns: Column → the types that it may have.
        text: A text column's value, ``{}`` standing for its name.
        verdict: The verdict as a boolean, null for none.
        is_verdict: Whether ``is_correct`` is something that a verdict may be.
    """

    name: str
    table: str
    columns: dict[str, frozenset[str]]
    text: str
    verdict: str
    is_verdict: str


_PIPELINE: Final = _Source(
    name="lms_analytics_pipeline",
    table="attempts",
    columns={
        "id": frozenset({"integer", "bigint"}),
        **dict.fromkeys(_TEXT_COLUMNS, _TEXT),
        "is_correct": frozenset({"boolean"}),
        "created_at": _TIME,
    },
    text="{}",
    verdict="is_correct",
    is_verdict="true",
)
# A missing value that went through pandas was written into its TEXT columns as 'NaN'.
_ETL_PROJECT: Final = _Source(
    name="etl_project",
    table="lms_database",
    columns={
        **dict.fromkeys(_TEXT_COLUMNS, _TEXT),
        "is_correct": _TEXT,
        "created_at": _TIME,
    },
    text="nullif({}, 'NaN')",
    verdict="""
        case when lower(is_correct) in ('1', '1.0', 'true') then true
             when lower(is_correct) in ('0', '0.0', 'false') then false end""",
    is_verdict="""
        coalesce(lower(is_correct), '') in
            ('', 'nan', 'none', 'null', '0', '0.0', 'false', '1', '1.0', 'true')""",
)


@dataclass(frozen=True)
class _Old:
    """A table found in the database, that is about to be taken over.

    Args:
        source: What it is.
        time_type: The type of its ``created_at``.
        rows: How many it has.
        table: What it is called now.
        zone: Where its naive times were read, or where they are of; see :func:`_with_zones`.
    """

    source: _Source
    time_type: str
    rows: int
    table: str
    zone: str = "UTC"


@dataclass(frozen=True)
class _Run:
    """What every step of one adoption needs."""

    connection: Connection
    day_zone: str
    run_id: str
    now: datetime
    tombstones: Tombstones | None
    progress: "_Done"

    def execute(self, statement: str, **values: object) -> int:
        """How many rows the statement changed."""
        return self.connection.execute(text(statement), values).rowcount

    def scalar(self, statement: str, **values: object) -> Any:  # noqa: ANN401
        """The one value that the query gives."""
        return self.connection.execute(text(statement), values).scalar()

    def chunks(self, statement: str, **values: object) -> Iterator[Sequence[Any]]:
        """The rows of a query, a few thousand in memory at a time."""
        options = {"stream_results": True, "max_row_buffer": _CHUNK_ROWS}
        rows = self.connection.execute(text(statement), values, execution_options=options)
        return rows.partitions(_CHUNK_ROWS)


class _Done:
    """Tells how many of all rows are done."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._rows = 0

    def add(self, rows: int) -> None:
        """So many more."""
        self._rows += rows
        if self._progress:
            self._progress(self._rows, self._total)


def adopt(
    warehouse: Warehouse,
    *,
    zone_of_naive_times: str | None,
    day_zone: str,
    run_id: str,
    erasure: Erasure,
    progress: Progress | None = None,
    now: datetime | None = None,
) -> tuple[Adoption, ...]:
    """The tables of earlier systems are ours: their rows are attempts, or set aside with a reason.

    The first of equal keys is kept; what stands in our table already comes before
    all. Rows that break a rule of cleaning are ``adopted_invalid``, repeats are
    ``adopted_duplicate``. Each day that has attempts has one more row in the ledger,
    so it is no gap. The old tables are renamed. Figures are not computed anew.

    Args:
        warehouse: A database that was migrated, or one that only the earlier systems know.
        zone_of_naive_times: IANA zone of the sessions that wrote ``timestamptz``;
            where all columns are ``timestamp``, the zone of their times instead of UTC.
        day_zone: IANA zone that says what a day is.
        run_id: What the ledger and the quarantine call this adoption.
        progress: Told the rows done and all rows, now and then; from the start again
            when the database ended the transaction and it is tried once more.
        erasure: Knows whose rows are dropped.
        now: For the day of rows without one; the database's clock if left out.

    Returns:
        One for each table taken over, in order; empty when there was nothing to adopt.

    Raises:
        PermanentFault: A table that is not known, a zone that must be given, or the
            database's own fault. Nothing was changed.
    """
    if zone_of_naive_times is not None and not is_zone(zone_of_naive_times):
        raise PermanentFault("adoption.zone_unknown", zone=zone_of_naive_times)
    is_ours = _is_ours(warehouse)
    if is_ours:
        warehouse.migrate(figure_views())
    default_zone = warehouse.default_zone()

    def work(connection: Connection) -> tuple[Adoption, ...]:
        hold(connection, Lock.SCHEMA)
        found = _with_zones(_found(connection), zone_of_naive_times, default_zone)
        moment = now or connection.execute(text("select now()")).scalar_one()
        tombstones = erasure.until_commit(connection) if is_ours else None
        done = _Done(progress, sum(old.rows for old in found))
        run = _Run(connection, day_zone, run_id, moment, tombstones, done)
        return _adopt_all(run, warehouse, found)

    return warehouse.in_transaction(work)


def _adopt_all(run: _Run, warehouse: Warehouse, found: list[_Old]) -> tuple[Adoption, ...]:
    if not found:
        return ()
    moved = [_moved(run, old) for old in found]
    warehouse.migrate_within(run.connection, figure_views())
    _list_renamed(run, moved)
    _refuse_another_zone(run)
    # The rows of a day that is being loaded now must not come between count and count.
    run.execute("lock table public.attempts in share row exclusive mode")
    run.execute("set local work_mem = '128MB'")
    run.execute("set local jit = off")
    adoptions = tuple(_adopt(run, old) for old in moved)
    run.execute("analyze public.attempts")
    return adoptions


def _is_ours(warehouse: Warehouse) -> bool:
    rows = warehouse.rows("select to_regclass('public.lms_assets_version') is not null as is_ours")
    return bool(rows[0]["is_ours"])


def _refuse_another_zone(run: _Run) -> None:
    loaded = zone_of_ledger(run.connection)
    if loaded not in (None, run.day_zone):
        raise PermanentFault("settings.zone_changed", zone=run.day_zone, loaded=loaded)


# ------------------------------------------------------------ what is there


def _found(connection: Connection) -> list[_Old]:
    """The tables to take over, locked; the one named as ours is only until ours is there."""
    is_ours = _exists(connection, "lms_assets_version")
    sources = [_ETL_PROJECT] if is_ours else [_PIPELINE, _ETL_PROJECT]
    return [_known(connection, s) for s in sources if _exists(connection, s.table)]


def _exists(connection: Connection, name: str) -> bool:
    found = text("select to_regclass(format('public.%I', cast(:name as text))) is not null")
    return bool(connection.execute(found, {"name": name}).scalar())


def _known(connection: Connection, source: _Source) -> _Old:
    """The table, once its columns are seen to be those of the system that it is named after.

    Raises:
        PermanentFault: They are not.
    """
    columns = _columns(connection, source.table)
    is_known = columns.keys() == source.columns.keys() and all(
        columns[name] in types for name, types in source.columns.items()
    )
    if not is_known or not _is_plain_table(connection, source.table):
        raise PermanentFault(
            "adoption.unknown_table",
            table=source.table,
            found=", ".join(f"{name} {kind}" for name, kind in columns.items()),
            expected=", ".join(
                f"{name} {' or '.join(sorted(kinds))}" for name, kinds in source.columns.items()
            ),
        )
    connection.execute(text(f"lock table public.{source.table} in access exclusive mode"))
    count = text(f"select count(*) from only public.{source.table}")
    rows = connection.execute(count).scalar_one()
    return _Old(source, columns["created_at"], rows, source.table)


def _columns(connection: Connection, table: str) -> dict[str, str]:
    query = """
        select attname, format_type(atttypid, null) from pg_attribute
        where attrelid = to_regclass('public.' || :table) and attnum > 0 and not attisdropped
        order by attnum
    """
    return dict(connection.execute(text(query), {"table": table}).tuples().all())


def _is_plain_table(connection: Connection, table: str) -> bool:
    kind = "select relkind = 'r' and not relhassubclass from pg_class where oid = to_regclass(:t)"
    return bool(connection.execute(text(kind), {"t": f"public.{table}"}).scalar())


def _with_zones(found: list[_Old], given: str | None, default_zone: str) -> list[_Old]:
    """Each table with the zone that turns its times into UTC.

    Raises:
        PermanentFault: It must be asked for.
    """
    is_zoned = any(old.time_type == _ZONED for old in found)
    return [replace(old, zone=_zone(old, given, default_zone, is_zoned)) for old in found]


def _zone(old: _Old, given: str | None, default_zone: str, is_zoned: bool) -> str:
    if old.time_type == _NAIVE:
        # Given for the other table, whose sessions had that zone.
        return "UTC" if is_zoned else given or "UTC"
    is_clear = old.source is _PIPELINE and default_zone in _UTC_NAMES
    if given is None and not is_clear:
        raise PermanentFault("adoption.zone_needed", table=old.table, zone=default_zone)
    return given or "UTC"


# ------------------------------------------------------- out of the way


def _moved(run: _Run, old: _Old) -> _Old:
    """The old table has another name, and so has all whose names our tables will take."""
    new = _free_name(run.connection, old.table)
    belongings = run.connection.execute(
        text("""
            select c.relname, case c.relkind when 'i' then 'index' else 'sequence' end as kind
            from pg_class c
            where c.relnamespace = 'public'::regnamespace and (
                c.oid in (select indexrelid from pg_index where indrelid = to_regclass(:table))
               or c.relkind = 'S' and c.oid in (
                    select objid from pg_depend
                    where refobjid = to_regclass(:table) and classid = 'pg_class'::regclass
                      and deptype in ('a', 'i')))
        """),
        {"table": f"public.{old.table}"},
    ).all()
    for name, kind in belongings:
        free = _free_name(run.connection, name)
        run.execute(f"alter {kind} public.{_quoted(name)} rename to {_quoted(free)}")
    run.execute(f"alter table public.{_quoted(old.table)} rename to {_quoted(new)}")
    return replace(old, table=new)


def _list_renamed(run: _Run, moved: list[_Old]) -> None:
    """Erasing a student later looks into these tables, and into no other program's."""
    for old in moved:
        run.execute(
            "insert into adopted_tables (name, source) values (:name, :source) "
            "on conflict (name) do nothing",
            name=old.table,
            source=old.source.name,
        )


def _free_name(connection: Connection, name: str) -> str:
    number = 1
    while True:
        suffix = SUFFIX if number == 1 else f"{SUFFIX}_{number}"
        free = _cut(name, _LONGEST_NAME - len(suffix)) + suffix
        if not _exists(connection, free):
            return free
        number += 1


def _cut(name: str, length: int) -> str:
    """PostgreSQL cuts names short by bytes, and would make two of them equal."""
    return name.encode()[:length].decode(errors="ignore")


def _quoted(name: str) -> str:
    # A colon would begin a parameter of SQLAlchemy's.
    return '"' + name.replace('"', '""').replace(":", r"\:") + '"'


# ------------------------------------------------------------- the rows' fates


def _adopt(run: _Run, old: _Old) -> Adoption:
    """Every row of the table has its fate, and the books say so.

    Raises:
        PermanentFault: The counts do not add up; nothing of it was then kept.
    """
    began = time.monotonic()
    kept_before = run.scalar("select count(*) from attempts")
    set_aside_before = run.scalar("select coalesce(max(id), 0) from rejected_records")
    _decide_fates(run, old)
    _keep(run, old)
    _set_aside(run, old)
    kept = run.scalar("select count(*) from attempts") - kept_before
    reasons = "select reason, count(*) from rejected_records where id > :id group by reason"
    rows = run.connection.execute(text(reasons), {"id": set_aside_before}).tuples()
    set_aside = dict(sorted(rows))
    erased = run.scalar("select count(*) from adoption_fates where is_erased")
    if kept + sum(set_aside.values()) + erased != old.rows:
        raise PermanentFault("adoption.unbalanced", table=old.source.table, rows=old.rows)
    days = _enter_days(run, old, seconds=time.monotonic() - began)
    return Adoption(
        source=old.source.name,
        rows_before=old.rows,
        kept=kept,
        set_aside=set_aside,
        erased=erased,
        days=len(days),
        first_day=days[0] if days else None,
        last_day=days[-1] if days else None,
        old_table_now=old.table,
    )


def _typed(old: _Old) -> str:
    """The old rows as attempts are typed, with the first field that breaks a rule of cleaning.

    The limits and their order are those of ``cleaning.RULES``, as far as a typed row
    can break them. Times that no rule allows are not converted: they may have no UTC time.
    """
    to_utc = "at time zone :zone" + (" at time zone 'UTC'" if old.time_type == _NAIVE else "")
    texts = {name: old.source.text.format(name) for name in _TEXT_COLUMNS}
    columns = ", ".join(f"{value} as {name}" for name, value in texts.items())
    size = " + ".join(f"octet_length(coalesce({name}, ''))" for name in _TEXT_COLUMNS)
    return f"""
        select *, case
            when size > :max_record_bytes then 'record'
            when user_id is null or char_length(user_id) not between 1 and :max_user_id_length
                then 'user_id'
            when attempt_type is null or attempt_type <> all(:attempt_types) then 'attempt_type'
            when not is_verdict or attempt_type = 'run' and is_correct is not null
                then 'is_correct'
            when not is_possible then 'created_at'
        end as broken
        from (
            select *, coalesce(created_at >= :first and created_at < :tomorrow, false)
                as is_possible
            from (
                select ctid as place, {columns}, {size} as size,
                    {old.source.verdict} as is_correct, {old.source.is_verdict} as is_verdict,
                    case when created_at > :first - interval '2 days'
                          and created_at < :tomorrow + interval '2 days'
                        then created_at {to_utc} end as created_at
                from only public.{_quoted(old.table)}
            ) as read
        ) as timed
    """


def _limits(run: _Run, old: _Old) -> dict[str, object]:
    tomorrow = end_of_tomorrow(run.now)
    return {
        "zone": old.zone,
        "max_record_bytes": MAX_RECORD_BYTES,
        "max_user_id_length": MAX_USER_ID_LENGTH,
        "attempt_types": list(ATTEMPT_TYPES),
        "first": FIRST_MOMENT,
        "tomorrow": tomorrow,
    }


# Rows of a key are compared by the hash of their other fields: a sort carries it, not the texts.
_SAID = ", ".join(SAID_COLUMNS)
_FATES = """
create temporary table adoption_fates on commit drop as
with old as ({typed}),
judged as (
    select old.*, e.place is not null as is_erased, e.place is null and broken is null as is_good,
        hash_record_extended(row({said}), 0) as said
    from old left join adoption_erased e on e.place = old.place
),
ranked as (
    select place, user_id, attempt_type, created_at, broken, is_erased, is_good, is_possible, said,
        attempt_type = 'submit' and is_correct is null as is_ungraded,
        row_number() over same as nth, first_value(said) over same as said_first
    from judged
    window same as (
        partition by is_good, user_id collate "C", attempt_type collate "C", created_at
        order by place)
)
select r.place, r.broken, r.is_erased, r.is_ungraded, r.created_at as created_at_utc,
    case when is_possible
        then (r.created_at at time zone 'UTC' at time zone :day_zone)::date end as day,
    r.is_good and (nth > 1 or a.id is not null) as is_duplicate,
    r.is_good and said <> case when a.id is null then said_first
        else hash_record_extended(row({said_here}), 0) end as is_conflicting
from ranked r
left join attempts a on r.is_good
    and (a.user_id, a.attempt_type, a.created_at) = (r.user_id, r.attempt_type, r.created_at)
"""


def _decide_fates(run: _Run, old: _Old) -> None:
    """The table ``adoption_fates`` has one row per old row: its place, its day, its fate."""
    run.execute("drop table if exists adoption_fates, adoption_erased")
    run.execute("create temporary table adoption_erased (place tid primary key) on commit drop")
    if run.tombstones is not None:
        _note_erased(run, old, run.tombstones)
    said_here = ", ".join(f"a.{name}" for name in _SAID.split(", "))
    statement = _FATES.format(typed=_typed(old), said=_SAID, said_here=said_here)
    run.execute(statement, day_zone=run.day_zone, **_limits(run, old))
    run.execute("analyze adoption_fates")


def _note_erased(run: _Run, old: _Old, tombstones: Tombstones) -> None:
    """The places of rows whose student was erased, by either of the two ids that a row carries."""
    query = f"""
        select cast(ctid as text), user_id, lis_result_sourcedid
        from only public.{_quoted(old.table)}
        where octet_length(lis_result_sourcedid) <= :most or lis_result_sourcedid is null
    """
    for rows in run.chunks(query, most=MAX_RECORD_BYTES):
        places, users, sourcedids = zip(*rows, strict=True)
        named = _cut_sourcedids(pd.Series(sourcedids, dtype=object))["sourcedid_user"]
        is_erased = _covered(tombstones, pd.Series(users, dtype=object)) | _covered(
            tombstones, named
        )
        erased = pa.array(np.array(places, dtype=object)[is_erased], pa.string())
        copy(run.connection, "adoption_erased", [pa.record_batch({"place": erased})])


def _covered(tombstones: Tombstones, user_ids: "pd.Series[Any]") -> "np.ndarray[Any, Any]":
    codes, distinct = numbered(user_ids)
    answer = tombstones.covers(pd.Series(distinct, dtype=object))
    # A missing id has the code -1, which is the place of the last row.
    return np.append(np.asarray(answer, dtype=bool), False)[codes]


def _cut_sourcedids(sourcedids: "pd.Series[Any]") -> pd.DataFrame:
    """Course, task and user of each, every distinct text read once."""
    codes, distinct = numbered(sourcedids)
    cut = course_and_task(pd.Series([*distinct, None], dtype=object))
    return cut.iloc[codes].set_index(sourcedids.index)


def _keep(run: _Run, old: _Old) -> None:
    """The good rows, the first of each key, are attempts."""
    query = f"""
        with old as ({_typed(old)})
        select user_id, oauth_consumer_key, lis_result_sourcedid, lis_outcome_service_url,
            is_correct, attempt_type, created_at,
            case when octet_length(coalesce(oauth_consumer_key, '')) <= :max_name_bytes
                then lis_result_sourcedid end as names_a_task
        from old join adoption_fates f on f.place = old.place
        where f.broken is null and not f.is_duplicate and not f.is_erased
    """
    values = _limits(run, old) | {"max_name_bytes": MAX_NAME_BYTES}
    for rows in run.chunks(query, **values):
        frame = _attempts(rows)
        attempts = pa.Table.from_pandas(frame, ARROW_SCHEMA, preserve_index=False)
        check_table(attempts)
        copy(run.connection, "attempts", attempts.to_batches())
        run.progress.add(len(rows))


def _attempts(rows: Sequence[Any]) -> pd.DataFrame:
    """The rows as clean attempts, in the same order."""
    user_id, key, sourcedid, url, is_correct, attempt_type, created_at, named = zip(
        *rows, strict=True
    )
    cut = _cut_sourcedids(pd.Series(named, dtype=object))
    return pd.DataFrame(
        {
            "user_id": _as_text(user_id),
            "oauth_consumer_key": _as_text(key),
            "lis_result_sourcedid": _as_text(sourcedid),
            "lis_outcome_service_url": _as_text(url),
            "is_correct": pd.array(is_correct, dtype="boolean"),
            "attempt_type": _as_text(attempt_type),
            "created_at": pa.array(created_at, pa.timestamp("us")).to_numpy(zero_copy_only=False),
            "course": _as_text(cut["course"]),
            "task": _as_text(cut["task"]),
        }
    )


def _as_text(values: Iterable[str | None]) -> Any:  # noqa: ANN401 - pandas' own array
    return pd.array(list(values), dtype="string[pyarrow]")


def _set_aside(run: _Run, old: _Old) -> None:
    """The other rows are in the quarantine, whole, as they were in the old table.

    Where the time was not UTC as it stood, what it was in UTC stands beside it.
    """
    row = "o" if old.zone == "UTC" else "(select r from (select o.*, f.created_at_utc) r)"
    query = f"""
        select coalesce(f.day, :today), case when f.is_duplicate then :duplicate else :invalid end,
            f.broken, cast(row_to_json({row}) as text)
        from only public.{_quoted(old.table)} o join adoption_fates f on f.place = o.ctid
        where (f.is_duplicate or f.broken is not null) and not f.is_erased
        order by f.place
    """
    today_here = today(run.now, ZoneInfo(run.day_zone))
    for rows in run.chunks(query, today=today_here, duplicate=DUPLICATE, invalid=INVALID):
        day, reason, field, record = zip(*rows, strict=True)
        batch = pa.record_batch(
            {
                "day": pa.array(day, pa.date32()),
                "reason": pa.array(reason, pa.string()),
                "field": pa.array(field, pa.string()),
                "record": pa.array([ascii_text(one.encode()) for one in record], pa.string()),
                "run_id": pa.array([run.run_id] * len(rows), pa.string()),
            }
        )
        copy(run.connection, "rejected_records", [batch])
        run.progress.add(len(rows))


# ------------------------------------------------------------------- the books

_DAYS = """
select day, count(*) as received, count(*) filter (where is_duplicate) as duplicates,
    count(*) filter (where is_conflicting) as conflicting,
    count(*) filter (where is_erased) as erased,
    count(*) filter (where broken is not null and not is_erased) as invalid,
    count(*) filter (where is_ungraded and broken is null and not is_duplicate and not is_erased)
        as ungraded
from adoption_fates where day is not null
group by day
having count(*) filter (where broken is null and not is_erased) > 0
order by day
"""


def _enter_days(run: _Run, old: _Old, *, seconds: float) -> list[date]:
    """The ledger has one more row for each day that the old table has attempts of, in order.

    What was set aside is among its rejected, as in the quarantine. A day of which
    every row was refused is none of them: it is still a gap.
    """
    days = run.connection.execute(text(_DAYS)).mappings().all()
    for row in days:
        pull = _pull(run, old, row, stages={"adopt_s": round(seconds / len(days), 3)})
        window = {"start": pull.window_start, "end": pull.window_end}
        record_load(
            run.connection,
            pull,
            Load.of(
                pull,
                run_id=run.run_id,
                fates=pull.fates.moved(pull.clean, "unchanged", "inserted"),
                stored=run.scalar(STORED, **window),
            ),
        )
    entered = [row["day"] for row in days]
    mark_lagging(run.connection, entered)
    return entered


def _pull(run: _Run, old: _Old, row: Any, *, stages: dict[str, float]) -> Pull:  # noqa: ANN401
    set_aside = {DUPLICATE: row["duplicates"], INVALID: row["invalid"]}
    return Pull(
        day=row["day"].isoformat(),
        window_start=midnight(row["day"], ZoneInfo(run.day_zone)),
        window_end=midnight(row["day"] + timedelta(days=1), ZoneInfo(run.day_zone)),
        zone=run.day_zone,
        fates=Fates(
            received=row["received"],
            unchanged=row["received"] - row["erased"] - sum(set_aside.values()),
            erased=row["erased"],
            rejected={reason: n for reason, n in set_aside.items() if n},
        ),
        watch={
            "adopted_from": old.source.name,
            "adopted_conflicting": row["conflicting"],
            "ungraded": row["ungraded"],
        },
        checksum=CHECKSUM,
        code_version=CODE_VERSION,
        attempts_key="",
        rejected_key="",
        stages=stages,
    )
