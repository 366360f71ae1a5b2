-- What the changed days may have touched, as far as the kept figures know: attempts that are gone
-- by now can be seen only there. Their students and, of these, the pairs that span such a day.
drop table if exists touched_days, touched_students, touched_pairs, touched_tasks, affected_days,
    changed_cohorts, changed_attempts, changed_pairs;
create temporary table touched_days (day date primary key) on commit drop;
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
-- The attempts of some of the changed days, and their pairs of student and task.
create temporary table changed_attempts (
    user_id text, oauth_consumer_key text, course text, task text, created_at timestamp,
    day date, hour integer, is_run boolean, is_submit boolean, is_graded boolean,
    is_correct boolean, has_task boolean
) on commit drop;
create temporary table changed_pairs (
    number integer, user_id text, oauth_consumer_key text, course text, task text,
    continues boolean, is_whole boolean
) on commit drop;

insert into touched_days (day) select unnest(cast(:days as date[]));
analyze touched_days;

insert into touched_students (user_id)
select distinct user_id from touched_days join student_hours using (day);

insert into touched_pairs (user_id, oauth_consumer_key, course, task)
select distinct s.user_id, s.oauth_consumer_key, s.course, s.task
from (select distinct day, user_id from touched_days join student_hours using (day)) d
join student_task_statistics s
    on s.user_id = d.user_id and d.day between s.first_day and s.last_day;

delete from student_hours h using touched_days d where h.day = d.day;
delete from task_days t using touched_days d where t.day = d.day
