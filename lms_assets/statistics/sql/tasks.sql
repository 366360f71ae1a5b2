-- Afterwards task_statistics has figures 4 to 10 of the touched tasks as the view task_figures
-- gives them, and every row has the present as_of. Grain: task.
-- Parameter: as_of, the newest loaded day.
delete from task_statistics s using touched_tasks t
where (s.oauth_consumer_key, s.course, s.task) = (t.oauth_consumer_key, t.course, t.task);

insert into task_statistics (
    oauth_consumer_key, course, task, users, students, solvers, first_try_solvers, first_try_pct,
    first_try_low_pct, first_try_high_pct, solve_pct, submits, ungraded, correct, success_pct,
    success_low_pct, success_high_pct, median_attempts_to_solve, p90_attempts_to_solve,
    attempts_per_solver, instant_solvers, timed_solvers, median_wall_min, p90_wall_min,
    median_active_min, p90_active_min, stuck, gave_up, runs, runs_per_submit, blind_pct,
    success_after_run_pct, success_blind_pct, as_of
)
select
    f.oauth_consumer_key, f.course, f.task, users, students, solvers, first_try_solvers,
    first_try_pct, first_try_low_pct, first_try_high_pct, solve_pct, submits, ungraded, correct,
    success_pct, success_low_pct, success_high_pct, median_attempts_to_solve,
    p90_attempts_to_solve, attempts_per_solver, instant_solvers, timed_solvers, median_wall_min,
    p90_wall_min, median_active_min, p90_active_min, stuck, gave_up, runs, runs_per_submit,
    blind_pct, success_after_run_pct, success_blind_pct, :as_of
from touched_tasks t
-- Without offset 0 PostgreSQL may compute the figures of every task before it joins.
cross join lateral (
    select * from task_figures f
    where f.oauth_consumer_key = t.oauth_consumer_key and f.course = t.course and f.task = t.task
    offset 0
) as f
order by f.oauth_consumer_key, f.course, f.task;

update task_statistics set as_of = :as_of where as_of <> :as_of
