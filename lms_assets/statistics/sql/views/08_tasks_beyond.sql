-- Afterwards the views and functions of figures 13, 14 and 15 exist:
-- * discrimination_bound: a bound of the 95-percent interval of a correlation by Fisher's z, side
--   -1 lower, 1 upper; 1.959963984540054 is the quantile of the normal distribution;
-- * discrimination_state: the correlation in words;
-- * task_stops: a row per task at which dropped students stopped, in courses with at least 10
--   dropped students;
-- * figure_13_task_alarms: a row per day and task in alarm;
-- * figure_14_discrimination: a row per task with at least 30 compared students;
-- * figure_15_where_students_stop: the rows of task_stops.

create function discrimination_bound(discrimination double precision, students bigint, side integer)
    returns double precision language sql immutable parallel safe
    return tanh(atanh(discrimination) + side * 1.959963984540054 / sqrt(students - 3));

create function discrimination_state(discrimination double precision, students bigint)
    returns text language sql immutable parallel safe
    return case
        when discrimination_bound(discrimination, students, 1) < 0 then 'negative'
        when discrimination < 0.10 then 'weak'
        when discrimination < 0.30 then 'fair'
        else 'good'
    end;

create view task_stops as
with dropped as (
    select a.course, a.user_id, a.last_consumer_key as oauth_consumer_key, a.last_task as task
    from student_activity a
    cross join figure_settings f
    where a.course <> '' and student_activity_state(f.as_of - a.last_day) = 'dropped'
), counted_courses as (
    select course, count(*) as dropped_students from dropped group by course
    having count(*) >= 10
)
select
    d.oauth_consumer_key,
    d.course,
    d.task,
    count(*) as stopped,
    count(s.solved_at) as stopped_solvers,
    c.dropped_students,
    share_pct(count(*), c.dropped_students) as stopped_pct
from counted_courses c
join dropped d using (course)
join student_task_statistics s using (user_id, oauth_consumer_key, course, task)
group by d.oauth_consumer_key, d.course, d.task, c.dropped_students;

create view figure_13_task_alarms as
select day, oauth_consumer_key, course, task, kind, students, solved, solved_pct, usual_pct,
    usual_student_days, q, since
from task_alarms order by day desc, kind, q, course, task, oauth_consumer_key;
create view figure_14_discrimination as
select oauth_consumer_key, course, task, compared_students, discrimination,
    discrimination_bound(discrimination, compared_students, -1) as discrimination_low,
    discrimination_bound(discrimination, compared_students, 1) as discrimination_high,
    discrimination_state(discrimination, compared_students) as discrimination_state
from task_discrimination order by discrimination, course, task, oauth_consumer_key;
create view figure_15_where_students_stop as
select oauth_consumer_key, course, task, stopped, stopped_solvers, dropped_students, stopped_pct
from task_stops order by course, stopped desc, task, oauth_consumer_key;
