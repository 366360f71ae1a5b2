-- Afterwards the temporary tables of one refresh exist, and student_hours and task_days have no
-- rows of the changed days. Three of the tables are filled:
-- * touched_days has the changed days;
-- * touched_students has the students with an attempt on a changed day;
-- * touched_pairs has each pair of such a student and a task whose first attempt lies on or before
--   that day and whose last attempt lies on or after it.
-- Students and pairs are those of the stored figures: an attempt that was deleted since the last
-- refresh is visible only there. Later steps add those of the present attempts.
-- Parameter: days, the changed days as an array.
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
-- These two hold at most 31 changed days at a time. measures.py fills them for one span of days
-- after the other.
create temporary table changed_attempts (
    user_id text, oauth_consumer_key text, course text, task text, created_at timestamp,
    day date, hour integer, is_run boolean, is_submit boolean, is_graded boolean,
    is_correct boolean, has_task boolean
) on commit drop;
create temporary table changed_pairs (
    number integer, user_id text, oauth_consumer_key text, course text, task text,
    continues boolean, is_recounted boolean
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
