"""The ledger's rows of the days that an earlier table holds."""

from datetime import date, timedelta
from typing import Any, Final

from sqlalchemy import text

from lms_assets.amends.adoption_rows import DUPLICATE, INVALID
from lms_assets.amends.adoption_tables import EarlierTable
from lms_assets.amends.takeover import Takeover
from lms_assets.attempts.cleaning import CODE_VERSION
from lms_assets.attempts.fates import Fates
from lms_assets.attempts.lag import mark_lagging
from lms_assets.attempts.ledger import Load, Pull, record_load
from lms_assets.attempts.merge import STORED
from lms_assets.days import midnight

CHECKSUM: Final = "adopted"

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


def enter_days(takeover: Takeover, earlier: EarlierTable, *, seconds: float) -> list[date]:
    """The ledger has a new row for each day with good rows in the earlier table; these days.

    The day's set-aside rows count as rejected. A day whose rows were all set aside gets no row
    in the ledger, so it still counts as missing.
    """
    days = takeover.connection.execute(text(_DAYS)).mappings().all()
    for row in days:
        pull = _pull(takeover, earlier, row, stages={"adopt_s": round(seconds / len(days), 3)})
        window = {"start": pull.window_start, "end": pull.window_end}
        record_load(
            takeover.connection,
            pull,
            Load.of(
                pull,
                run_id=takeover.run_id,
                fates=pull.fates.moved(pull.clean, "unchanged", "inserted"),
                stored=takeover.scalar(STORED, **window),
            ),
        )
    entered = [row["day"] for row in days]
    mark_lagging(takeover.connection, entered)
    return entered


def _pull(takeover: Takeover, earlier: EarlierTable, row: Any, *, stages: dict[str, float]) -> Pull:  # noqa: ANN401
    set_aside = {DUPLICATE: row["duplicates"], INVALID: row["invalid"]}
    return Pull(
        day=row["day"].isoformat(),
        window_start=midnight(row["day"], takeover.day_zone),
        window_end=midnight(row["day"] + timedelta(days=1), takeover.day_zone),
        zone=takeover.day_zone.key,
        fates=Fates(
            received=row["received"],
            unchanged=row["received"] - row["erased"] - sum(set_aside.values()),
            erased=row["erased"],
            rejected={reason: n for reason, n in set_aside.items() if n},
        ),
        watch={
            "adopted_from": earlier.source.name,
            "adopted_conflicting": row["conflicting"],
            "ungraded": row["ungraded"],
        },
        checksum=CHECKSUM,
        code_version=CODE_VERSION,
        attempts_key="",
        rejected_key="",
        stages=stages,
    )
