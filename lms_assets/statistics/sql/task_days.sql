-- Figure 13: student-days of the changed attempts. A student-day is a student with an S on the
-- task on a day; it is solved when one S of that day is correct.
insert into task_days (day, oauth_consumer_key, course, task, students, solved)
select day, oauth_consumer_key, course, task, count(*), count(*) filter (where is_solved)
from (
    select day, oauth_consumer_key, course, task, user_id, bool_or(is_correct) as is_solved
    from changed_attempts
    where is_graded and has_task
    group by day, oauth_consumer_key, course, task, user_id
) as student_days
group by day, oauth_consumer_key, course, task
order by day, oauth_consumer_key, course, task
