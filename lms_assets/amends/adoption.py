"""The table of an earlier system is taken over: each row becomes an attempt or is set aside.

Known are ``attempts`` of the LMS Analytics Pipeline and ``lms_database`` of ETL-Project, both at
once too. All happens in one transaction: after a crash the database is as it was.
"""

import time
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from lms_assets.amends.adoption_books import enter_days
from lms_assets.amends.adoption_fates import decide_fates
from lms_assets.amends.adoption_rows import forget_erased, keep_good_rows, set_aside_the_rest
from lms_assets.amends.adoption_tables import (
    EarlierTable,
    earlier_tables,
    list_renamed,
    renamed,
    with_zones,
)
from lms_assets.amends.erasure_tables import vacuum
from lms_assets.amends.takeover import Progress, RowCounter, Takeover
from lms_assets.attempts.ledger import zone_of_ledger
from lms_assets.attempts.tombstones import Erasure
from lms_assets.days import is_zone
from lms_assets.faults import PermanentFault
from lms_assets.locks import Lock, hold
from lms_assets.resources.warehouse import Warehouse
from lms_assets.statistics.views import figure_views


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
        old_table_now: The name under which the old table is kept, its rows untouched but for
            those of erased students, which are gone.
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
        found = with_zones(earlier_tables(connection), zone_of_naive_times, default_zone)
        moment = now or connection.execute(text("select now()")).scalar_one()
        tombstones = erasure.until_commit(connection) if is_ours else None
        done = RowCounter(progress, sum(old.rows for old in found))
        takeover = Takeover(connection, ZoneInfo(day_zone), run_id, moment, tombstones, done)
        return _adopt_all(takeover, warehouse, found)

    adopted = warehouse.in_transaction(work)
    if any(one.erased for one in adopted):
        vacuum(warehouse)
    return adopted


def _adopt_all(
    takeover: Takeover, warehouse: Warehouse, found: list[EarlierTable]
) -> tuple[Adoption, ...]:
    if not found:
        return ()
    tables = [renamed(takeover.connection, old) for old in found]
    warehouse.migrate_within(takeover.connection, figure_views())
    list_renamed(takeover.connection, tables)
    _refuse_another_zone(takeover)
    # The rows of a day that is being loaded now must not come between count and count.
    takeover.execute("lock table public.attempts in share row exclusive mode")
    takeover.execute("set local work_mem = '128MB'")
    takeover.execute("set local jit = off")
    adoptions = tuple(_adopt(takeover, old) for old in tables)
    takeover.execute("analyze public.attempts")
    return adoptions


def _is_ours(warehouse: Warehouse) -> bool:
    rows = warehouse.rows("select to_regclass('public.lms_assets_version') is not null as is_ours")
    return bool(rows[0]["is_ours"])


def _refuse_another_zone(takeover: Takeover) -> None:
    loaded = zone_of_ledger(takeover.connection)
    if loaded not in (None, takeover.day_zone.key):
        raise PermanentFault("settings.zone_changed", zone=takeover.day_zone.key, loaded=loaded)


def _adopt(takeover: Takeover, old: EarlierTable) -> Adoption:
    """Every row of the table has its fate, and the books say so.

    Raises:
        PermanentFault: The counts do not add up; nothing of it was then kept.
    """
    began = time.monotonic()
    kept_before = takeover.scalar("select count(*) from attempts")
    set_aside_before = takeover.scalar("select coalesce(max(id), 0) from rejected_records")
    decide_fates(takeover, old)
    keep_good_rows(takeover, old)
    set_aside_the_rest(takeover, old)
    kept = takeover.scalar("select count(*) from attempts") - kept_before
    reasons = "select reason, count(*) from rejected_records where id > :id group by reason"
    rows = takeover.connection.execute(text(reasons), {"id": set_aside_before}).tuples()
    set_aside = dict(sorted(rows))
    erased = takeover.scalar("select count(*) from adoption_fates where is_erased")
    if kept + sum(set_aside.values()) + erased != old.rows:
        raise PermanentFault("adoption.unbalanced", table=old.source.table, rows=old.rows)
    days = enter_days(takeover, old, seconds=time.monotonic() - began)
    forget_erased(takeover, old)
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
