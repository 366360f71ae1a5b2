-- Afterwards task_days, the base of figure 13, also has the changed attempts. Grain: day and task.
-- students is the number of students with a graded submit on the task on the day; solved is the
-- number of those who have a correct one on that day.
insert into task_days (day, oauth_consumer_key, course, task, students, solved)
select day, oauth_consumer_key, course, task, count(*), count(*) filter (where is_solved)
from (
    select day, oauth_consumer_key, course, task, user_id, bool_or(correct > 0) as is_solved
    from changed_hours
    where graded > 0 and has_task
    group by day, oauth_consumer_key, course, task, user_id
) as student_days
group by day, oauth_consumer_key, course, task
order by day, oauth_consumer_key, course, task
