-- Afterwards retention_counts, the base of figure 11, is up to date. Grain: course ('' = all
-- courses together), cohort_week and week. active is the number of the cohort's students who were
-- active in the week. Two groups of rows are computed again: those of the weeks with a touched
-- day, and those of the cohorts that gained or lost a student.
drop table if exists touched_weeks;
create temporary table touched_weeks on commit drop as
select distinct week_of(day) as week from touched_days;
analyze touched_weeks;

delete from retention_counts r using touched_weeks t where r.week = t.week;
delete from retention_counts r using changed_cohorts c
where (r.course, r.cohort_week) = (c.course, c.cohort_week);

insert into retention_counts (course, cohort_week, week, active)
with active_students as (
    select level.course, h.user_id, t.week
    from touched_weeks t
    join student_hours h on h.day between t.week and t.week + 6
    cross join lateral (values (''), (nullif(h.course, ''))) as level(course)
    where level.course is not null
    union
    select a.course, h.user_id, week_of(h.day)
    from changed_cohorts c
    join student_activity a using (course, cohort_week)
    join student_hours h on h.user_id = a.user_id and a.course in ('', h.course)
    where not exists (select from touched_weeks t where t.week = week_of(h.day))
)
select p.course, a.cohort_week, p.week, count(*)
from active_students p
join student_activity a on (a.course, a.user_id) = (p.course, p.user_id)
group by p.course, a.cohort_week, p.week
order by p.course, a.cohort_week, p.week
