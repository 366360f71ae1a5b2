"""The rows of an earlier table are copied to ``attempts`` or to the quarantine."""

from collections.abc import Sequence
from typing import Any, Final

import pyarrow as pa

from lms_assets.amends.adoption_fates import cut_sourcedids, limits_of, typed_rows
from lms_assets.amends.adoption_tables import EARLIER_COLUMNS, EarlierTable, quoted
from lms_assets.amends.takeover import Takeover
from lms_assets.attempts.cleaning import MAX_NAME_BYTES
from lms_assets.attempts.columns import ARROW_SCHEMA, DERIVED_COLUMNS
from lms_assets.attempts.table_schema import check_table
from lms_assets.days import today
from lms_assets.resources.copying import copy
from lms_assets.resources.records import ascii_text

DUPLICATE: Final = "adopted_duplicate"
INVALID: Final = "adopted_invalid"


def keep_good_rows(takeover: Takeover, earlier: EarlierTable) -> None:
    """The good rows are in ``attempts``: of rows with the same key, the first."""
    query = f"""
        with old as ({typed_rows(earlier)})
        select {", ".join(EARLIER_COLUMNS)},
            case when octet_length(coalesce(oauth_consumer_key, '')) <= :max_name_bytes
                then lis_result_sourcedid end as names_a_task
        from old join adoption_fates f on f.place = old.place
        where f.broken is null and not f.is_duplicate and not f.is_erased
    """
    values = limits_of(takeover, earlier) | {"max_name_bytes": MAX_NAME_BYTES}
    for rows in takeover.chunks(query, **values):
        attempts = _attempts(rows)
        check_table(attempts)
        copy(takeover.connection, "attempts", attempts.to_batches())
        takeover.progress.add(len(rows))


def _attempts(rows: Sequence[Any]) -> pa.Table:
    """The rows as clean attempts, in the same order."""
    *copied, sourcedids = zip(*rows, strict=True)
    cut = cut_sourcedids(sourcedids)
    columns: dict[str, Any] = dict(zip(EARLIER_COLUMNS, copied, strict=True))
    columns |= {name: [getattr(parts, name) for parts in cut] for name in DERIVED_COLUMNS}
    # The earlier system lacks some columns of ours.
    values = [columns.get(name, [None] * len(rows)) for name in ARROW_SCHEMA.names]
    return pa.table(values, schema=ARROW_SCHEMA)


def set_aside_other_rows(takeover: Takeover, earlier: EarlierTable) -> None:
    """The other rows are in the quarantine, with all columns of the earlier table.

    If the table's times are not UTC, ``created_at_utc`` stands beside them.
    """
    row = "o" if earlier.zone == "UTC" else "(select r from (select o.*, f.created_at_utc) r)"
    query = f"""
        select coalesce(f.day, :today), case when f.is_duplicate then :duplicate else :invalid end,
            f.broken, cast(row_to_json({row}) as text)
        from only public.{quoted(earlier.table)} o join adoption_fates f on f.place = o.ctid
        where (f.is_duplicate or f.broken is not null) and not f.is_erased
        order by f.place
    """
    today_here = today(takeover.now, takeover.day_zone)
    for rows in takeover.chunks(query, today=today_here, duplicate=DUPLICATE, invalid=INVALID):
        day, reason, field, record = zip(*rows, strict=True)
        batch = pa.record_batch(
            {
                "day": pa.array(day, pa.date32()),
                "reason": pa.array(reason, pa.string()),
                "field": pa.array(field, pa.string()),
                "record": pa.array(
                    [ascii_text(json_text.encode()) for json_text in record], pa.string()
                ),
                "run_id": pa.array([takeover.run_id] * len(rows), pa.string()),
            }
        )
        copy(takeover.connection, "rejected_records", [batch])
        takeover.progress.add(len(rows))


def forget_erased(takeover: Takeover, earlier: EarlierTable) -> None:
    """The renamed earlier table holds no rows of students who were erased here."""
    takeover.execute(
        f"""
        delete from only public.{quoted(earlier.table)} o using adoption_fates f
        where f.place = o.ctid and f.is_erased
        """
    )
