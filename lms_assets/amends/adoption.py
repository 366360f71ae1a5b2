"""Adoption of an earlier system's table: each row becomes an attempt or is set aside.

Two tables are recognised: ``attempts`` of the LMS Analytics Pipeline and ``lms_database`` of
ETL-Project. Both may be there. The adoption is one transaction: after a crash the database is
unchanged.
"""

import time
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, text

from lms_assets.amends.adoption_books import enter_days
from lms_assets.amends.adoption_fates import decide_fates
from lms_assets.amends.adoption_rows import forget_erased, keep_good_rows, set_aside_other_rows
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
    """The result for one table: rows_before = kept + erased + the sum of set_aside.

    Attributes:
        source: ``lms_analytics_pipeline`` or ``etl_project``.
        rows_before: Rows of the earlier table.
        kept: Rows that became attempts.
        set_aside: Reason → rows that went to ``rejected_records``.
        erased: Rows dropped because their student was erased here.
        days: Number of days for which the ledger got a row.
        first_day: The first of these days; None if there are none.
        last_day: The last of these days. The earlier system may have stopped in the middle of it.
        renamed_to: The present name of the earlier table. Its rows are unchanged, except that
            those of erased students are deleted.
    """

    source: str
    rows_before: int
    kept: int
    set_aside: dict[str, int]
    erased: int
    days: int
    first_day: date | None
    last_day: date | None
    renamed_to: str


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
    """The rows of earlier systems' tables are attempts, or set aside with a reason.

    Of rows with the same key the first is kept; an attempt that is already in our table wins over
    all of them. Rows that break a rule of cleaning are ``adopted_invalid``, repeated rows are
    ``adopted_duplicate``. Each day with attempts gets a row in the ledger, so that it does not
    count as missing. The earlier tables are renamed. The figures are not computed again.

    Args:
        warehouse: A migrated database, or one that holds only tables of earlier systems.
        zone_of_naive_times: The IANA zone of the sessions that wrote ``timestamptz`` columns. If
            all columns are ``timestamp``: the zone of their times, which is UTC by default.
        day_zone: The IANA zone of the days.
        run_id: The run id of this adoption in the ledger and the quarantine.
        progress: Called now and then with the rows done and all rows. It starts again from 0
            when the database aborts the transaction and it is repeated.
        erasure: Knows the erased students, whose rows are dropped.
        now: Gives the day of rows without a day; the database's clock by default.

    Returns:
        One result for each adopted table, in order; empty if there was none.

    Raises:
        PermanentFault: A table is not recognised, a zone must be given, or the database refused.
            Nothing was changed.
    """
    if zone_of_naive_times is not None and not is_zone(zone_of_naive_times):
        raise PermanentFault("adoption.zone_unknown", zone=zone_of_naive_times)
    is_migrated = _is_migrated(warehouse)
    if is_migrated:
        warehouse.migrate(figure_views())
    default_zone = warehouse.default_zone()

    def work(connection: Connection) -> tuple[Adoption, ...]:
        hold(connection, Lock.SCHEMA)
        tables = with_zones(earlier_tables(connection), zone_of_naive_times, default_zone)
        moment = now or connection.execute(text("select now()")).scalar_one()
        tombstones = erasure.until_commit(connection) if is_migrated else None
        counter = RowCounter(progress, sum(earlier.rows for earlier in tables))
        takeover = Takeover(connection, ZoneInfo(day_zone), run_id, moment, tombstones, counter)
        return _adopt_all(takeover, warehouse, tables)

    adopted = warehouse.in_transaction(work)
    if any(adoption.erased for adoption in adopted):
        vacuum(warehouse)
    return adopted


def _adopt_all(
    takeover: Takeover, warehouse: Warehouse, tables: list[EarlierTable]
) -> tuple[Adoption, ...]:
    if not tables:
        return ()
    tables = [renamed(takeover.connection, earlier) for earlier in tables]
    warehouse.migrate_within(takeover.connection, figure_views())
    list_renamed(takeover.connection, tables)
    _refuse_another_zone(takeover)
    # No run may load rows between the two counts in `_adopt`.
    takeover.execute("lock table public.attempts in share row exclusive mode")
    takeover.execute("set local work_mem = '128MB'")
    takeover.execute("set local jit = off")
    adoptions = tuple(_adopt(takeover, earlier) for earlier in tables)
    takeover.execute("analyze public.attempts")
    return adoptions


def _is_migrated(warehouse: Warehouse) -> bool:
    rows = warehouse.rows("select to_regclass('public.lms_assets_version') is not null as is_ours")
    return bool(rows[0]["is_ours"])


def _refuse_another_zone(takeover: Takeover) -> None:
    loaded = zone_of_ledger(takeover.connection)
    if loaded not in (None, takeover.day_zone.key):
        raise PermanentFault("settings.zone_changed", zone=takeover.day_zone.key, loaded=loaded)


def _adopt(takeover: Takeover, earlier: EarlierTable) -> Adoption:
    """Every row of the table is an attempt, set aside or dropped; the ledger counts it.

    Raises:
        PermanentFault: The counts do not add up. Nothing is kept.
    """
    began = time.monotonic()
    attempts_before = takeover.scalar("select count(*) from attempts")
    set_aside_before = takeover.scalar("select coalesce(max(id), 0) from rejected_records")
    decide_fates(takeover, earlier)
    keep_good_rows(takeover, earlier)
    set_aside_other_rows(takeover, earlier)
    kept = takeover.scalar("select count(*) from attempts") - attempts_before
    reasons = "select reason, count(*) from rejected_records where id > :id group by reason"
    rows = takeover.connection.execute(text(reasons), {"id": set_aside_before}).tuples()
    set_aside = dict(sorted(rows))
    erased = takeover.scalar("select count(*) from adoption_fates where is_erased")
    if kept + sum(set_aside.values()) + erased != earlier.rows:
        raise PermanentFault("adoption.unbalanced", table=earlier.source.table, rows=earlier.rows)
    days = enter_days(takeover, earlier, seconds=time.monotonic() - began)
    forget_erased(takeover, earlier)
    return Adoption(
        source=earlier.source.name,
        rows_before=earlier.rows,
        kept=kept,
        set_aside=set_aside,
        erased=erased,
        days=len(days),
        first_day=days[0] if days else None,
        last_day=days[-1] if days else None,
        renamed_to=earlier.table,
    )
