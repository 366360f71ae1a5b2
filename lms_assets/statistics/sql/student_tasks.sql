-- Afterwards student_task_statistics, the base of figures 4 to 10, is up to date for the pairs of
-- the changed attempts and for the touched pairs. Grain: student and task. touched_tasks also has
-- the tasks of all rows that changed. touched_pairs is empty.
-- Parameters: first and last, the days of the changed attempts; as_of, the newest loaded day.
--
-- There are three ways to the new row of a pair:
-- * continues: every changed attempt is later than the attempts in the pair's row, or there is no
--   row. The row and the changed attempts give the new row. Example: the row ends on 9 May, the
--   changed attempts are of 10 May.
-- * is_recounted: the row counts attempts of other days too. All attempts of the pair are read
--   again. Example: the row has attempts of 8 and 12 May, the changed attempts are of 10 May.
-- * neither: the row counts only attempts of the changed days. The changed attempts alone give the
--   new row. Example: 10 May is loaded again, and the row has only attempts of 10 May.
analyze changed_attempts;
truncate changed_pairs;
insert into changed_pairs (
    number, user_id, oauth_consumer_key, course, task, continues, is_recounted
)
select row_number() over (), p.user_id, p.oauth_consumer_key, p.course, p.task,
    coalesce(s.last_attempt_at, '-infinity') < p.first_at,
    s.user_id is not null and s.last_attempt_at >= p.first_at
        and not (s.first_day >= :first and s.last_day <= :last)
from (
    select user_id, oauth_consumer_key, course, task, min(created_at) as first_at
    from (
        select user_id, oauth_consumer_key, course, task, created_at
        from changed_attempts where has_task
        union all
        -- Attempts of a touched pair may have been deleted, so the pair never continues its row.
        select user_id, oauth_consumer_key, course, task, '-infinity' from touched_pairs
    ) as attempts
    group by user_id, oauth_consumer_key, course, task
) as p
left join student_task_statistics s using (user_id, oauth_consumer_key, course, task);
analyze changed_pairs;
truncate touched_pairs;

drop table if exists pair_states;
create temporary table pair_states on commit drop as
with chosen_attempts as (
    select p.number, c.created_at, c.day, c.is_run, c.is_submit, c.is_graded, c.is_correct
    from changed_pairs p
    join changed_attempts c using (user_id, oauth_consumer_key, course, task)
    where not p.is_recounted and c.has_task
    union all
    select p.number, a.created_at, a.day, a.is_run, a.is_submit, a.is_graded, a.is_correct
    from (select distinct user_id from changed_pairs where is_recounted) as u(owner)
    -- With offset 0 PostgreSQL reads the attempts user by user, by the index unique_attempt.
    cross join lateral (
        select * from student_attempts where user_id = owner and has_task offset 0
    ) as a
    join changed_pairs p using (user_id, oauth_consumer_key, course, task)
    where p.is_recounted
), attempts_in_order as (
    select
        *,
        created_at - lag(created_at) over in_order as gap,
        lag(is_run) over in_order as is_after_run,
        count(*) filter (where is_correct) over (
            in_order rows between unbounded preceding and 1 preceding
        ) = 0 as is_until_solved
    from chosen_attempts
    -- unique_attempt allows one run and one submit of a student at the same instant. The run
    -- counts as the earlier one.
    window in_order as (partition by number order by created_at, is_submit)
)
select
    number,
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
    coalesce(
        max(created_at) filter (where is_submit) < max(created_at), true
    ) as last_is_run,
    max(created_at) filter (where is_graded) as last_submit_at,
    min(created_at) filter (where is_correct) as solved_at,
    min(day) as first_day,
    max(day) as last_day,
    max(day) filter (where is_graded) as last_submit_day
from attempts_in_order
group by number;
analyze pair_states;

with deleted_pairs as (
    delete from student_task_statistics s using changed_pairs p
    where not p.continues
      and (s.user_id, s.oauth_consumer_key, s.course, s.task)
        = (p.user_id, p.oauth_consumer_key, p.course, p.task)
      and not exists (select from pair_states n where n.number = p.number)
    returning s.oauth_consumer_key, s.course, s.task
)
insert into touched_tasks (oauth_consumer_key, course, task)
select distinct oauth_consumer_key, course, task from deleted_pairs
on conflict do nothing;

with new_rows as (
    select
        p.user_id,
        p.oauth_consumer_key,
        p.course,
        p.task,
        coalesce(s.attempts, 0) + n.attempts as attempts,
        coalesce(s.runs, 0) + n.runs as runs,
        coalesce(s.submits, 0) + n.submits as submits,
        coalesce(s.graded, 0) + n.graded as graded,
        coalesce(s.correct, 0) + n.correct as correct,
        case
            when s.graded > 0 then s.first_submit_correct
            when n.graded > 0 then n.solved_at is not null and n.graded_until_solved = 1
        end as first_submit_correct,
        case
            when s.solved_at is not null then s.attempts_to_solve
            when n.solved_at is not null then coalesce(s.graded, 0) + n.graded_until_solved
        end as attempts_to_solve,
        case
            when s.solved_at is not null then s.is_instant
            when n.solved_at is not null then s.user_id is null and n.attempts_until_solved = 1
        end as is_instant,
        case
            when s.solved_at is not null then s.active
            when n.first_attempt_at - s.last_attempt_at <= interval '30 minutes'
            then s.active + (n.first_attempt_at - s.last_attempt_at) + n.active
            else coalesce(s.active, interval '0') + n.active
        end as active,
        coalesce(s.blind_submits, 0) + n.blind_submits
            + case when s.last_is_run then 0 else n.first_submits end as blind_submits,
        coalesce(s.blind_graded, 0) + n.blind_graded
            + case when s.last_is_run then 0 else n.first_graded end as blind_graded,
        coalesce(s.blind_correct, 0) + n.blind_correct
            + case when s.last_is_run then 0 else n.first_correct end as blind_correct,
        coalesce(s.first_attempt_at, n.first_attempt_at) as first_attempt_at,
        n.last_attempt_at,
        n.last_is_run,
        coalesce(n.last_submit_at, s.last_submit_at) as last_submit_at,
        coalesce(s.solved_at, n.solved_at) as solved_at,
        coalesce(s.first_day, n.first_day) as first_day,
        n.last_day,
        coalesce(n.last_submit_day, s.last_submit_day) as last_submit_day
    from changed_pairs p
    join pair_states n using (number)
    left join student_task_statistics s on p.continues
        and (s.user_id, s.oauth_consumer_key, s.course, s.task)
            = (p.user_id, p.oauth_consumer_key, p.course, p.task)
), written_pairs as (
    insert into student_task_statistics (
        user_id, oauth_consumer_key, course, task, attempts, runs, submits, graded, correct,
        first_submit_correct, attempts_to_solve, is_instant, wall_min, active, active_min,
        blind_submits, blind_graded, blind_correct, first_attempt_at, last_attempt_at, last_is_run,
        last_submit_at, solved_at, first_day, last_day, last_submit_day, state
    )
    select
        user_id, oauth_consumer_key, course, task, attempts, runs, submits, graded, correct,
        first_submit_correct, attempts_to_solve, is_instant,
        case when not is_instant
            then extract(epoch from solved_at - first_attempt_at)::double precision / 60 end,
        active,
        case when not is_instant then extract(epoch from active)::double precision / 60 end,
        blind_submits, blind_graded, blind_correct, first_attempt_at, last_attempt_at, last_is_run,
        last_submit_at, solved_at, first_day, last_day, last_submit_day,
        student_task_state(solved_at, graded, last_submit_day, :as_of)
    from new_rows
    order by user_id, oauth_consumer_key, course, task
    on conflict (user_id, oauth_consumer_key, course, task) do update set
        attempts = excluded.attempts,
        runs = excluded.runs,
        submits = excluded.submits,
        graded = excluded.graded,
        correct = excluded.correct,
        first_submit_correct = excluded.first_submit_correct,
        attempts_to_solve = excluded.attempts_to_solve,
        is_instant = excluded.is_instant,
        wall_min = excluded.wall_min,
        active = excluded.active,
        active_min = excluded.active_min,
        blind_submits = excluded.blind_submits,
        blind_graded = excluded.blind_graded,
        blind_correct = excluded.blind_correct,
        first_attempt_at = excluded.first_attempt_at,
        last_attempt_at = excluded.last_attempt_at,
        last_is_run = excluded.last_is_run,
        last_submit_at = excluded.last_submit_at,
        solved_at = excluded.solved_at,
        first_day = excluded.first_day,
        last_day = excluded.last_day,
        last_submit_day = excluded.last_submit_day,
        state = excluded.state
    -- An equal row is not written, so its task is not computed again.
    where student_task_statistics.* is distinct from excluded.*
    returning student_task_statistics.oauth_consumer_key, student_task_statistics.course,
        student_task_statistics.task
)
insert into touched_tasks (oauth_consumer_key, course, task)
select distinct oauth_consumer_key, course, task from written_pairs
on conflict do nothing
