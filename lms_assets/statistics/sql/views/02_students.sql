-- Afterwards these views exist:
-- * counted_attempts: a row per attempt that is not by staff, whatever day is the newest loaded
--   one;
-- * student_attempts: a row per counted attempt up to the end of as_of, with its day and hour in
--   the zone;
-- * student_statistics: a row per student, figure 11;
-- * retention: a row per course ('' = all courses together), cohort_week and weeks_later, figure
--   11. A week in which nobody of the cohort was active has a row with active = 0.

create view counted_attempts as
select
    id,
    user_id,
    coalesce(oauth_consumer_key, '') as oauth_consumer_key,
    course,
    task,
    created_at,
    attempt_type = 'run' as is_run,
    attempt_type = 'submit' as is_submit,
    attempt_type = 'submit' and is_correct is not null as is_graded,
    attempt_type = 'submit' and coalesce(is_correct, false) as is_correct,
    coalesce(course, '') <> '' and task is not null as has_task
from attempts a
where not exists (select from staff where staff.user_id = a.user_id);

create view student_attempts as
select
    a.id,
    a.user_id,
    a.oauth_consumer_key,
    a.course,
    a.task,
    a.created_at,
    (a.created_at + z.ahead)::date as day,
    extract(hour from a.created_at + z.ahead)::integer as hour,
    a.is_run,
    a.is_submit,
    a.is_graded,
    a.is_correct,
    a.has_task
from figure_settings s
cross join counted_attempts a
join zone_offsets z on a.created_at >= z.starts and a.created_at < z.ends
where (a.created_at + z.ahead)::date <= s.as_of;

create view student_statistics as
select user_id, first_day, last_day, attempts, active_days, as_of - last_day as days_inactive,
    student_activity_state(as_of - last_day) as activity
from student_activity cross join figure_settings
where course = '';

create view retention as
with cohorts as (
    select course, cohort_week, count(*) as students
    from student_activity
    group by course, cohort_week
)
select
    c.course,
    c.cohort_week,
    (w.monday::date - c.cohort_week) / 7 as weeks_later,
    c.students,
    coalesce(r.active, 0) as active,
    share_pct(coalesce(r.active, 0), c.students) as active_pct,
    w.monday::date + 6 <= f.as_of as is_complete
from cohorts c
cross join figure_settings f
cross join lateral generate_series(
    c.cohort_week::timestamp, week_of(f.as_of)::timestamp, interval '7 days'
) as w(monday)
left join retention_counts r on (r.course, r.cohort_week, r.week)
    = (c.course, c.cohort_week, w.monday::date);
