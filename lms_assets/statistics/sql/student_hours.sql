-- Afterwards student_hours is up to date for the changed days. Grain: day, hour, course ('' if it is
-- not known) and student. Figures 1 to 3, 11 and 12 are computed from this table. touched_hours
-- also has the students and days of all rows that changed: an equal row is not written, and nothing
-- that depends on it is computed.
-- Parameters: first and last, the days of the changed attempts.
drop table if exists new_hours;
create temporary table new_hours (like student_hours) on commit drop;
insert into new_hours
    (day, hour, course, user_id, attempts, runs, correct, wrong, ungraded, without_task)
select
    day,
    hour,
    coalesce(course, ''),
    user_id,
    sum(attempts),
    sum(runs),
    sum(correct),
    sum(graded - correct),
    sum(submits - graded),
    coalesce(sum(attempts) filter (where not has_task), 0)
from changed_hours
group by 1, 2, 3, 4
order by user_id, 1, 2, 3;

with deleted_hours as (
    delete from student_hours h
    where day between :first and :last
      and not exists (
        select from new_hours n
        where (n.user_id, n.day, n.hour, n.course) = (h.user_id, h.day, h.hour, h.course)
          and row(n.*) is not distinct from row(h.*)
      )
    returning day, user_id
)
insert into touched_hours (day, user_id) select day, user_id from deleted_hours;

delete from new_hours n using student_hours h
where (n.user_id, n.day, n.hour, n.course) = (h.user_id, h.day, h.hour, h.course)
  and h.day between :first and :last;
insert into student_hours select * from new_hours;
insert into touched_hours (day, user_id) select day, user_id from new_hours
