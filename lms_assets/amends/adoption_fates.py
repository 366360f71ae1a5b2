"""The fate of each row of an earlier table: an attempt, set aside, or dropped as erased."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa

from lms_assets.amends.adoption_tables import (
    EARLIER_COLUMNS,
    NAIVE,
    TEXT_COLUMNS,
    EarlierTable,
    quoted,
)
from lms_assets.amends.takeover import Takeover
from lms_assets.attempts.cleaning import (
    FIRST_MOMENT,
    MAX_RECORD_BYTES,
    MAX_USER_ID_LENGTH,
    CutSourcedid,
    Tombstones,
    cut_sourcedid,
)
from lms_assets.attempts.columns import ATTEMPT_TYPES, KEY_COLUMNS
from lms_assets.days import Window, end_of_tomorrow, offset_spans
from lms_assets.resources.copying import copy


def typed_rows(earlier: EarlierTable) -> str:
    """SQL of the earlier rows with an attempt's types, and the first field that breaks a rule.

    The rules and their order are those of ``cleaning.RULES``, as far as a typed row can break
    them. Times outside the allowed range are not converted: some have no UTC time.
    """
    to_utc = "created_at - " if earlier.time_type == NAIVE else "created_at at time zone 'UTC' + "
    moment = "created_at" if earlier.time_type == NAIVE else "created_at at time zone 'UTC'"
    texts = {name: earlier.source.text.format(name) for name in TEXT_COLUMNS}
    columns = ", ".join(f"{value} as {name}" for name, value in texts.items())
    size = " + ".join(f"octet_length(coalesce({name}, ''))" for name in TEXT_COLUMNS)
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
                    {earlier.source.verdict} as is_correct,
                    {earlier.source.is_verdict} as is_verdict,
                    case when created_at > :first - interval '2 days'
                          and created_at < :tomorrow + interval '2 days'
                        then {to_utc} {_ahead("zone", moment)} end as created_at
                from only public.{quoted(earlier.table)}
            ) as read
        ) as timed
    """


def limits_of(takeover: Takeover, earlier: EarlierTable) -> dict[str, object]:
    """The parameters of the SQL of :func:`typed_rows`."""
    tomorrow = end_of_tomorrow(takeover.now)
    return {
        **_offsets(
            "zone", ZoneInfo(earlier.zone), tomorrow=tomorrow, of_local=earlier.time_type == NAIVE
        ),
        "max_record_bytes": MAX_RECORD_BYTES,
        "max_user_id_length": MAX_USER_ID_LENGTH,
        "attempt_types": list(ATTEMPT_TYPES),
        "first": FIRST_MOMENT,
        "tomorrow": tomorrow,
    }


def _ahead(clock: str, moment: str) -> str:
    """SQL of a zone's offset from UTC at ``moment``; :func:`_offsets` gives its parameters."""
    place = f"width_bucket({moment}, cast(:{clock}_starts as timestamp[]))"
    return f"(cast(:{clock}_aheads as interval[]))[{place}]"


def _offsets(
    clock: str, zone: ZoneInfo, *, tomorrow: datetime, of_local: bool = False
) -> dict[str, object]:
    """The parameters of :func:`_ahead`: the starts of a zone's offsets, and the offsets.

    Args:
        clock: The prefix of the parameters' names.
        zone: The zone.
        tomorrow: Converted rows are at most two days later.
        of_local: Whether the moments are local times. Then a time in an hour that the clocks skip
            gets the offset before the change, and one in a repeated hour the offset after it.
    """
    margin = timedelta(days=3)
    spans = offset_spans(Window(FIRST_MOMENT - margin, tomorrow + margin), zone)
    starts = [span.start + span.ahead if of_local else span.start for span in spans]
    return {f"{clock}_starts": starts, f"{clock}_aheads": [span.ahead for span in spans]}


# Rows with the same key are compared by a hash of their other fields. PostgreSQL sorts the hash
# faster than the texts.
_COMPARED = ", ".join(name for name in EARLIER_COLUMNS if name not in KEY_COLUMNS)
_FATES = """
create temporary table adoption_fates on commit drop as
with old as ({typed}),
judged as (
    select old.*, e.place is not null as is_erased, e.place is null and broken is null as is_good,
        hash_record_extended(row({fields}), 0) as fields_hash
    from old left join adoption_erased e on cast(e.place as tid) = old.place
),
ranked as (
    select place, user_id, attempt_type, created_at, broken, is_erased, is_good, is_possible,
        fields_hash, attempt_type = 'submit' and is_correct is null as is_ungraded,
        row_number() over same as nth, first_value(fields_hash) over same as first_hash
    from judged
    window same as (
        partition by is_good, user_id collate "C", attempt_type collate "C", created_at
        order by place)
)
select r.place, r.broken, r.is_erased, r.is_ungraded, r.created_at as created_at_utc,
    case when is_possible
        then cast(r.created_at + {ahead} as date) end as day,
    r.is_good and (nth > 1 or a.id is not null) as is_duplicate,
    r.is_good and fields_hash <> case when a.id is null then first_hash
        else hash_record_extended(row({stored_fields}), 0) end as is_conflicting
from ranked r
left join attempts a on r.is_good
    and (a.user_id, a.attempt_type, a.created_at) = (r.user_id, r.attempt_type, r.created_at)
"""


def decide_fates(takeover: Takeover, earlier: EarlierTable) -> None:
    """The table ``adoption_fates`` has one row per earlier row: its place, day and fate."""
    takeover.execute("drop table if exists adoption_fates, adoption_erased")
    takeover.execute(
        "create temporary table adoption_erased (place text primary key) on commit drop"
    )
    if takeover.tombstones is not None:
        _note_erased(takeover, earlier, takeover.tombstones)
    stored_fields = ", ".join(f"a.{name}" for name in _COMPARED.split(", "))
    ahead = _ahead("days", "r.created_at")
    statement = _FATES.format(
        typed=typed_rows(earlier), fields=_COMPARED, stored_fields=stored_fields, ahead=ahead
    )
    days = _offsets("days", takeover.day_zone, tomorrow=end_of_tomorrow(takeover.now))
    takeover.execute(statement, **days, **limits_of(takeover, earlier))
    takeover.execute("analyze adoption_fates")


def _note_erased(takeover: Takeover, earlier: EarlierTable, tombstones: Tombstones) -> None:
    """The table ``adoption_erased`` holds the places of erased students' rows.

    A row names its student in ``user_id`` and in ``lis_result_sourcedid``; either counts.
    """
    query = f"""
        select cast(ctid as text), user_id, lis_result_sourcedid
        from only public.{quoted(earlier.table)}
        where octet_length(lis_result_sourcedid) <= :most or lis_result_sourcedid is null
    """
    for rows in takeover.chunks(query, most=MAX_RECORD_BYTES):
        places, users, sourcedids = zip(*rows, strict=True)
        named = [cut.user for cut in cut_sourcedids(sourcedids)]
        students = tombstones.erased_among({*filter(None, users), *filter(None, named)})
        erased = pa.array(
            [
                place
                for place, user, other in zip(places, users, named, strict=True)
                if user in students or other in students
            ],
            pa.string(),
        )
        copy(takeover.connection, "adoption_erased", [pa.record_batch({"place": erased})])


def cut_sourcedids(sourcedids: Sequence[str | None]) -> list[CutSourcedid]:
    """Course, task and user of each, every distinct text read once."""
    cut = {text: cut_sourcedid(text) for text in {*sourcedids} if text is not None}
    return [CutSourcedid() if text is None else cut[text] for text in sourcedids]
