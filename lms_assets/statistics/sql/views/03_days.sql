-- Afterwards daily_statistics has a row per day, for all courses together, and
-- course_daily_statistics has a row per day and course (figures 1, 2 and 3). An attempt without a
-- task has no course either, so without_task is only in daily_statistics.

create view daily_statistics as
select day, attempts, users, runs, submits, correct, wrong, ungraded, success_pct,
    success_low_pct, success_high_pct, correct_of_all_pct, run_to_success_pct,
    mean_attempts_per_user, median_attempts_per_user, new_users, returning_users, wau, mau,
    stickiness_pct, without_task, without_task_pct, attempts_trend_pct, busiest_hour, computed_at
from daily_figures where course = '';

create view course_daily_statistics as
select day, course, attempts, users, runs, submits, correct, wrong, ungraded, success_pct,
    success_low_pct, success_high_pct, correct_of_all_pct, run_to_success_pct,
    mean_attempts_per_user, median_attempts_per_user, new_users, returning_users, wau, mau,
    stickiness_pct, attempts_trend_pct, busiest_hour
from daily_figures where course <> '';
