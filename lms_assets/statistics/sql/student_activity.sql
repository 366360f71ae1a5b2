-- Afterwards student_activity is up to date for the touched students. Grain: course ('' = all
-- courses together) and student. Four temporary tables are filled for later steps:
-- * touched_students also has the students of touched_hours;
-- * touched_days has the days of touched_hours;
-- * changed_cohorts has the cohorts that gained or lost a student;
-- * affected_days has the days whose rows in daily_figures may change.
-- Parameter: as_of, the newest loaded day.
insert into touched_days (day) select distinct day from touched_hours;
insert into touched_students (user_id)
select distinct user_id from touched_hours on conflict do nothing;
analyze touched_students;

drop table if exists new_activity;
create temporary table new_activity (like student_activity) on commit drop;
insert into new_activity (
    course, user_id, first_day, last_day, cohort_week, active_days,
    attempts, runs, correct, wrong, ungraded, without_task, last_consumer_key, last_task
)
with activity as (
    select
        level.course,
        h.user_id,
        min(h.day) as first_day,
        max(h.day) as last_day,
        week_of(min(h.day)) as cohort_week,
        count(distinct h.day) as active_days,
        sum(h.attempts) as attempts,
        sum(h.runs) as runs,
        sum(h.correct) as correct,
        sum(h.wrong) as wrong,
        sum(h.ungraded) as ungraded,
        sum(h.without_task) as without_task
    from touched_students
    join student_hours h using (user_id)
    cross join lateral (values (''), (nullif(h.course, ''))) as level(course)
    where level.course is not null
    group by level.course, h.user_id
), last_tasks as (
    -- unique_attempt allows one run and one submit of a student at the same instant. The submit
    -- counts as the later one.
    select distinct on (s.user_id, s.course) s.user_id, s.course, s.oauth_consumer_key, s.task
    from touched_students
    join student_task_statistics s using (user_id)
    order by s.user_id, s.course, s.last_attempt_at desc, s.last_is_run, s.task desc
)
select course, user_id, first_day, last_day, cohort_week, active_days, attempts, runs, correct,
    wrong, ungraded, without_task, l.oauth_consumer_key, l.task
from activity
left join last_tasks l using (course, user_id)
order by user_id, course;

-- A day's row depends on the attempts of the day, on those of the 29 days before it (mau; the trend
-- needs 28) and on the students whose first day it is.
with first_days as (
    select a.first_day as first_day_before, n.first_day as first_day_now,
        a.cohort_week as week_before, n.cohort_week as week_now, course
    from (
        select a.* from student_activity a join touched_students using (user_id)
    ) a
    full join new_activity n using (course, user_id)
    where a.first_day is distinct from n.first_day
), inserted_cohorts as (
    insert into changed_cohorts (course, cohort_week)
    select course, week_before from first_days
    where week_before is distinct from week_now and week_before is not null
    union
    select course, week_now from first_days
    where week_before is distinct from week_now and week_now is not null
)
insert into affected_days (day)
select day from (
    select day + n as day from touched_days cross join generate_series(0, 29) as n
    union
    select first_day_before from first_days
    union
    select first_day_now from first_days
) as days
where day <= :as_of;
analyze affected_days;
analyze changed_cohorts;

-- An equal row is not written.
delete from student_activity a using touched_students t
where a.user_id = t.user_id
  and not exists (
    select from new_activity n
    where (n.user_id, n.course) = (a.user_id, a.course) and row(n.*) is not distinct from row(a.*)
  );
delete from new_activity n using student_activity a
where (n.user_id, n.course) = (a.user_id, a.course);
insert into student_activity select * from new_activity
