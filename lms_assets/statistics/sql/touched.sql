-- Afterwards the temporary tables of one refresh exist, and task_days has no rows of the changed
-- days. touched_pairs has each pair of a student with an attempt on a changed day and a task whose
-- first attempt lies on or before that day and whose last attempt lies on or after it. These are
-- pairs of the stored figures: an attempt that was deleted since the last refresh is visible only
-- there. The other tables are empty; later steps fill them with what differs from the stored
-- figures.
-- Parameter: days, the changed days as an array.
drop table if exists touched_days, touched_hours, touched_students, touched_pairs, touched_tasks,
    affected_days, changed_cohorts;
create temporary table touched_days (day date primary key) on commit drop;
create temporary table touched_hours (day date, user_id text) on commit drop;
create temporary table touched_students (user_id text primary key) on commit drop;
create temporary table touched_pairs (
    user_id text, oauth_consumer_key text, course text, task text
) on commit drop;
create temporary table touched_tasks (
    oauth_consumer_key text, course text, task text,
    primary key (oauth_consumer_key, course, task)
) on commit drop;
create temporary table affected_days (day date primary key) on commit drop;
create temporary table changed_cohorts (
    course text, cohort_week date, primary key (course, cohort_week)
) on commit drop;

insert into touched_pairs (user_id, oauth_consumer_key, course, task)
select distinct s.user_id, s.oauth_consumer_key, s.course, s.task
from (
    select distinct day, user_id
    from unnest(cast(:days as date[])) as changed(day) join student_hours using (day)
) d
join student_task_statistics s
    on s.user_id = d.user_id and d.day between s.first_day and s.last_day;
analyze touched_pairs;

delete from task_days where day = any(cast(:days as date[]))
