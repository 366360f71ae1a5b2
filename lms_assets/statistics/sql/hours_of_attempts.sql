-- Returns the rows of changed_hours for the attempts in chosen_attempts, which are rows of
-- counted_attempts. This is the end of a query: the file that includes it begins the query with
-- chosen_attempts. Grain: student, task and hour of the zone. Attempts without a task have rows of
-- their own, with has_task false.
-- Parameter: as_of, the newest loaded day; later attempts are left out.
attempts_of_hours as (
    -- A zone's clocks have one offset from UTC in a span. In a span the hours have the order of the
    -- instants; when the clocks are put back, an hour comes twice, the second time in a new span.
    select a.*, z.starts as span_starts, (a.created_at + z.ahead)::date as day,
        extract(hour from a.created_at + z.ahead)::integer as hour
    from chosen_attempts a
    join zone_offsets z on a.created_at >= z.starts and a.created_at < z.ends
), attempts_in_order as (
    select
        *,
        created_at - lag(created_at) over in_order as gap,
        lag(is_run) over in_order as is_after_run,
        count(*) filter (where is_correct) over in_order = 0 as is_until_solved
    from attempts_of_hours
    where day <= :as_of
    -- unique_attempt allows one run and one submit of a student at the same instant. The run
    -- counts as the earlier one. The count is of the attempts before; lag does not need the frame.
    window in_order as (
        partition by user_id, oauth_consumer_key, course, task
        order by span_starts, day, hour, created_at, is_submit
        rows between unbounded preceding and 1 preceding
    )
)
select
    user_id,
    oauth_consumer_key,
    course,
    task,
    day,
    hour,
    bool_and(has_task) as has_task,
    count(*)::integer as attempts,
    (count(*) filter (where is_run))::integer as runs,
    (count(*) filter (where is_submit))::integer as submits,
    (count(*) filter (where is_graded))::integer as graded,
    (count(*) filter (where is_correct))::integer as correct,
    (count(*) filter (where is_graded and is_until_solved))::integer as graded_until_solved,
    (count(*) filter (where is_until_solved))::integer as attempts_until_solved,
    coalesce(
        sum(gap) filter (where is_until_solved and gap <= interval '30 minutes'), interval '0'
    ) as active,
    -- A submit is blind if the attempt before it is not a run. For the first attempt here that one
    -- may be in the pair's row, so the first attempt is counted on its own.
    (count(*) filter (where is_submit and not is_after_run))::integer as blind_submits,
    (count(*) filter (where is_graded and not is_after_run))::integer as blind_graded,
    (count(*) filter (where is_correct and not is_after_run))::integer as blind_correct,
    (count(*) filter (where is_after_run is null and is_submit))::integer as first_submits,
    (count(*) filter (where is_after_run is null and is_graded))::integer as first_graded,
    (count(*) filter (where is_after_run is null and is_correct))::integer as first_correct,
    min(created_at) as first_attempt_at,
    max(created_at) as last_attempt_at,
    max(created_at) filter (where is_submit) as last_submit_at,
    max(created_at) filter (where is_graded) as last_graded_at,
    min(created_at) filter (where is_correct) as solved_at
from attempts_in_order
group by user_id, oauth_consumer_key, course, task, span_starts, day, hour
