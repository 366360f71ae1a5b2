-- Figures 4 to 10 by student and task: the touched pairs anew, and stuck ones that have aged.
analyze touched_pairs;

delete from student_task_statistics s using touched_pairs p
where (s.user_id, s.oauth_consumer_key, s.course, s.task)
    = (p.user_id, p.oauth_consumer_key, p.course, p.task);

insert into student_task_statistics (
    user_id, oauth_consumer_key, course, task, attempts, runs, submits, graded, correct,
    first_submit_correct, attempts_to_solve, is_instant, wall_min, active_min,
    blind_submits, blind_graded, blind_correct, first_attempt_at, last_attempt_at,
    last_submit_at, solved_at, first_day, last_day, last_submit_day, state
)
with neighbours as (
    select
        a.*,
        a.created_at - lag(a.created_at) over earlier as gap,
        a.is_submit and not coalesce(lag(a.is_run) over earlier, false) as is_blind,
        count(*) filter (where a.is_correct) over (
            earlier rows between unbounded preceding and 1 preceding
        ) = 0 as is_until_solved
    from touched_pairs p
    join student_attempts a
        on a.user_id = p.user_id and a.course = p.course and a.task = p.task
        and a.oauth_consumer_key = p.oauth_consumer_key
    where a.has_task
    window earlier as (
        partition by a.user_id, a.oauth_consumer_key, a.course, a.task
        order by a.created_at, a.is_submit, a.is_correct, a.id
    )
), pairs as (
    select
        user_id,
        oauth_consumer_key,
        course,
        task,
        count(*)::integer as attempts,
        count(*) filter (where is_run) as runs,
        count(*) filter (where is_submit) as submits,
        (count(*) filter (where is_graded))::integer as graded,
        count(*) filter (where is_correct) as correct,
        count(*) filter (where is_graded and is_until_solved) as graded_until_solved,
        count(*) filter (where is_until_solved) as attempts_until_solved,
        coalesce(
            sum(gap) filter (where is_until_solved and gap <= interval '30 minutes'), interval '0'
        ) as active,
        count(*) filter (where is_blind) as blind_submits,
        count(*) filter (where is_blind and is_graded) as blind_graded,
        count(*) filter (where is_blind and is_correct) as blind_correct,
        min(created_at) as first_attempt_at,
        max(created_at) as last_attempt_at,
        max(created_at) filter (where is_graded) as last_submit_at,
        min(created_at) filter (where is_correct) as solved_at,
        min(day) as first_day,
        max(day) as last_day,
        max(day) filter (where is_graded) as last_submit_day
    from neighbours
    group by user_id, oauth_consumer_key, course, task
)
select
    user_id,
    oauth_consumer_key,
    course,
    task,
    attempts,
    runs,
    submits,
    graded,
    correct,
    case when graded > 0 then solved_at is not null and graded_until_solved = 1 end,
    case when solved_at is not null then graded_until_solved end,
    case when solved_at is not null then attempts_until_solved = 1 end,
    case when solved_at is not null and attempts_until_solved > 1
        then extract(epoch from solved_at - first_attempt_at)::double precision / 60 end,
    case when solved_at is not null and attempts_until_solved > 1
        then extract(epoch from active)::double precision / 60 end,
    blind_submits,
    blind_graded,
    blind_correct,
    first_attempt_at,
    last_attempt_at,
    last_submit_at,
    solved_at,
    first_day,
    last_day,
    last_submit_day,
    student_task_state(solved_at, graded, last_submit_day, :as_of)
from pairs
order by user_id, oauth_consumer_key, course, task;

insert into touched_tasks (oauth_consumer_key, course, task)
select distinct oauth_consumer_key, course, task from touched_pairs;

with aged as (
    update student_task_statistics
    set state = student_task_state(solved_at, graded, last_submit_day, :as_of)
    where state = 'stuck'
      and student_task_state(solved_at, graded, last_submit_day, :as_of) <> 'stuck'
    returning oauth_consumer_key, course, task
)
insert into touched_tasks (oauth_consumer_key, course, task)
select distinct oauth_consumer_key, course, task from aged
on conflict do nothing;
analyze touched_tasks
