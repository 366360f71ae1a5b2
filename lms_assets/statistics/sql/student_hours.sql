-- Afterwards student_hours also has the changed attempts. Grain: day, hour, course ('' if it is
-- not known) and student. Figures 1 to 3, 11 and 12 are computed from this table.
insert into student_hours
    (day, hour, course, user_id, attempts, runs, correct, wrong, ungraded, without_task)
select
    day,
    hour,
    coalesce(course, ''),
    user_id,
    count(*),
    count(*) filter (where is_run),
    count(*) filter (where is_correct),
    count(*) filter (where is_graded and not is_correct),
    count(*) filter (where is_submit and not is_graded),
    count(*) filter (where not has_task)
from changed_attempts
group by 1, 2, 3, 4
order by 1, 2, 3, 4
