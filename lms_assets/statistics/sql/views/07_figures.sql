-- Afterwards each of figures 1 to 12 has a view of its own, named by the figure's number. The
-- view's rows are in the order in which people read the figure. docs/figures.md is made from the
-- names and columns of these views.

create view figure_01_volume as
select day, attempts, runs, submits, correct, wrong, ungraded, users, mean_attempts_per_user,
    median_attempts_per_user, attempts_trend_pct
from daily_statistics order by day;
create view figure_01_volume_by_course as
select day, course, attempts, runs, submits, correct, wrong, ungraded, users,
    mean_attempts_per_user, median_attempts_per_user, attempts_trend_pct
from course_daily_statistics order by day, course;
create view figure_02_active_students as
select day, users, wau, mau, stickiness_pct, new_users, returning_users
from daily_statistics order by day;
create view figure_03_submit_success as
select graded, correct, success_pct, success_low_pct, success_high_pct, correct_of_all_pct,
    run_to_success_pct
from overall_statistics;
create view figure_04_first_try_success as
select oauth_consumer_key, course, task, students, first_try_solvers, first_try_pct,
    first_try_low_pct, first_try_high_pct
from task_statistics order by first_try_pct, course, task, oauth_consumer_key;
create view figure_05_solve_rate as
select oauth_consumer_key, course, task, students, solvers, solve_pct
from task_statistics order by solve_pct, course, task, oauth_consumer_key;
create view figure_06_attempts_to_solve as
select oauth_consumer_key, course, task, solvers, submits, median_attempts_to_solve,
    p90_attempts_to_solve, attempts_per_solver
from task_statistics
order by median_attempts_to_solve desc nulls last, course, task, oauth_consumer_key;
create view figure_07_time_to_solve as
select solved_pairs, instant_pairs, timed_pairs, median_wall_min, p90_wall_min,
    median_active_min, p90_active_min
from overall_statistics;
create view figure_07_time_to_solve_by_task as
select oauth_consumer_key, course, task, solvers, instant_solvers, timed_solvers,
    median_wall_min, p90_wall_min, median_active_min, p90_active_min
from task_statistics
order by median_active_min desc nulls last, course, task, oauth_consumer_key;
create view figure_08_hardest_tasks as
select oauth_consumer_key, course, task, students, first_try_pct, first_try_high_pct, solve_pct,
    median_attempts_to_solve, p90_attempts_to_solve, submits, success_pct, attempts_per_solver,
    is_ranked, difficulty
from task_statistics
order by first_try_high_pct, students desc, course, task, oauth_consumer_key;
create view figure_09_stuck_students as
select pairs, stuck, gave_up from overall_statistics;
create view figure_09_stuck_students_by_task as
select oauth_consumer_key, course, task, students, stuck, gave_up
from task_statistics order by stuck desc, gave_up desc, course, task, oauth_consumer_key;
create view figure_10_runs_before_submits as
select runs_per_submit, blind_pct, success_after_run_pct, success_blind_pct
from overall_statistics;
create view figure_11_inactivity as
select active_students, at_risk_students, dropped_students from overall_statistics;
create view figure_11_retention as
select cohort_week, weeks_later, students, active, active_pct, is_complete
from retention where course = '' order by cohort_week, weeks_later;
create view figure_12_heat_map as
select iso_weekday, hour, attempts, users
from heat_map where course = '' order by iso_weekday, hour;
create view figure_12_heat_map_all_history as
select iso_weekday, hour, attempts, users
from heat_map_all_history where course = '' order by iso_weekday, hour;
