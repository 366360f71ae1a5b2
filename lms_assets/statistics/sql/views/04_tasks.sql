-- Afterwards these views exist:
-- * task_figures: a row per task, figures 4 to 10 computed at the time of the query. tasks.sql
--   stores its rows in task_statistics;
-- * hardest_tasks: a row per task with at least 10 students, figure 8;
-- * students_who_need_help: a row per student and task that is stuck or gave up, figure 9.

create view task_figures as
select oauth_consumer_key, course, task,
    /* figures_of_pairs.sql */
from student_task_statistics
group by oauth_consumer_key, course, task;

create view hardest_tasks as
select * from task_statistics where is_ranked
order by first_try_high_pct, students desc, course, task, oauth_consumer_key;

create view students_who_need_help as
select user_id, oauth_consumer_key, course, task, state, graded, runs, blind_submits,
    first_attempt_at, last_submit_at, last_submit_day
from student_task_statistics
where state in ('stuck', 'gave_up')
order by state desc, last_submit_at desc, user_id, course, task, oauth_consumer_key;
