-- Afterwards student_task_statistics, the base of figures 4 to 10, is up to date for the pairs of
-- the changed attempts and for the touched pairs. Grain: student and task. touched_students and
-- touched_tasks also have the students and tasks of all rows that changed. touched_pairs is empty.
-- Parameters: first and last, the days of the changed attempts, between which all days are changed
-- ones; as_of, the newest loaded day.
--
-- There are three ways to the new row of a pair:
-- * The pair's row ends before the first day, or there is no row. The row and the changed attempts
--   give the new row. Example: the row ends on 9 May, the changed attempts are of 10 May.
-- * The row counts attempts of other days too: the pair is recounted. All its attempts are read
--   again. Example: the row has attempts of 8 and 12 May, the changed attempts are of 10 May.
-- * The row counts only attempts of the changed days. The changed attempts alone give the new row.
--   Example: 10 May is loaded again, and the row has only attempts of 10 May.
drop table if exists recounted_pairs, new_pairs;
create temporary table recounted_pairs on commit drop as
select user_id, oauth_consumer_key, course, task
from student_task_statistics
join (
    select user_id, oauth_consumer_key, course, task from changed_hours where has_task
    union
    select user_id, oauth_consumer_key, course, task from touched_pairs
) as pairs using (user_id, oauth_consumer_key, course, task)
where last_day >= :first and (first_day < :first or last_day > :last);
analyze recounted_pairs;

delete from changed_hours c using recounted_pairs r
where (c.user_id, c.oauth_consumer_key, c.course, c.task)
    = (r.user_id, r.oauth_consumer_key, r.course, r.task);
insert into changed_hours
with chosen_attempts as (
    select a.*
    from (select distinct user_id from recounted_pairs) as u(owner)
    -- With offset 0 PostgreSQL reads the attempts user by user, by the index unique_attempt.
    cross join lateral (
        select * from counted_attempts where user_id = owner and has_task offset 0
    ) as a
    join recounted_pairs using (user_id, oauth_consumer_key, course, task)
),
/* hours_of_attempts.sql */;

-- A touched pair without an attempt has no row.
delete from touched_pairs t
where exists (
    select from changed_hours c
    where (c.user_id, c.oauth_consumer_key, c.course, c.task)
        = (t.user_id, t.oauth_consumer_key, t.course, t.task)
);
delete from student_task_statistics s using touched_pairs t
where (s.user_id, s.oauth_consumer_key, s.course, s.task)
    = (t.user_id, t.oauth_consumer_key, t.course, t.task);
insert into touched_students (user_id)
select distinct user_id from touched_pairs on conflict do nothing;
insert into touched_tasks (oauth_consumer_key, course, task)
select distinct oauth_consumer_key, course, task from touched_pairs on conflict do nothing;
truncate touched_pairs;

create temporary table new_pairs (like student_task_statistics) on commit drop;
insert into new_pairs (
    user_id, oauth_consumer_key, course, task, attempts, runs, submits, graded, correct,
    first_submit_correct, attempts_to_solve, is_instant, wall_min, active, active_min,
    blind_submits, blind_graded, blind_correct, first_attempt_at, last_attempt_at, last_is_run,
    last_submit_at, solved_at, first_day, last_day, last_submit_day, state
)
with pair_states as (
    select
        user_id,
        oauth_consumer_key,
        course,
        task,
        sum(attempts) as attempts,
        sum(runs) as runs,
        sum(submits) as submits,
        sum(graded) as graded,
        sum(correct) as correct,
        sum(graded_until_solved) as graded_until_solved,
        sum(attempts_until_solved) as attempts_until_solved,
        sum(active) as active,
        sum(blind_submits) as blind_submits,
        sum(blind_graded) as blind_graded,
        sum(blind_correct) as blind_correct,
        sum(first_submits) as first_submits,
        sum(first_graded) as first_graded,
        sum(first_correct) as first_correct,
        min(first_attempt_at) as first_attempt_at,
        max(last_attempt_at) as last_attempt_at,
        coalesce(max(last_submit_at) < max(last_attempt_at), true) as last_is_run,
        max(last_graded_at) as last_submit_at,
        min(solved_at) as solved_at,
        min(day) as first_day,
        max(day) as last_day,
        max(day) filter (where graded > 0) as last_submit_day
    from changed_hours
    where has_task
    group by user_id, oauth_consumer_key, course, task
), new_rows as (
    select
        user_id,
        oauth_consumer_key,
        course,
        task,
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
            when n.solved_at is not null then s.attempts is null and n.attempts_until_solved = 1
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
    from pair_states n
    left join (
        select * from student_task_statistics where last_day < :first
    ) s using (user_id, oauth_consumer_key, course, task)
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
    student_task_state(solved_at, graded::integer, last_submit_day, :as_of)
from new_rows
order by user_id, oauth_consumer_key, course, task;

-- A row that is equal to the stored one is not written, and nothing that depends on it is computed.
delete from new_pairs n using student_task_statistics s
where (n.user_id, n.oauth_consumer_key, n.course, n.task)
    = (s.user_id, s.oauth_consumer_key, s.course, s.task)
  and row(n.*) is not distinct from row(s.*);
delete from student_task_statistics s using new_pairs n
where (s.user_id, s.oauth_consumer_key, s.course, s.task)
    = (n.user_id, n.oauth_consumer_key, n.course, n.task);
insert into student_task_statistics select * from new_pairs;
insert into touched_students (user_id)
select distinct user_id from new_pairs on conflict do nothing;
insert into touched_tasks (oauth_consumer_key, course, task)
select distinct oauth_consumer_key, course, task from new_pairs on conflict do nothing
