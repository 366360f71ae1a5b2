-- Afterwards task_discrimination (figure 14) is up to date for every course with a touched task.
-- Grain: task. The figure is the correlation of first-try success on the task (0 or 1) with the
-- student's mean first-try success on the other tasks of the course. One changed pair changes that
-- mean for all tasks of its student, so the whole course is computed again. A student is compared
-- if they have graded submits on at least 6 tasks of the course. A task has a row if at least 30
-- of its students are compared and neither of the two values is the same for all of them.
delete from task_discrimination
where course in (select course from touched_tasks);

insert into task_discrimination (
    oauth_consumer_key, course, task, compared_students, discrimination
)
with students as (
    select course, user_id, count(*) as tasks,
        count(*) filter (where first_submit_correct) as first_try_solved
    from student_task_statistics
    where graded > 0 and course in (select course from touched_tasks)
    group by course, user_id
    having count(*) > 5
), compared as (
    select s.oauth_consumer_key, s.course, s.task, user_id,
        s.first_submit_correct::integer::double precision as on_task,
        (c.first_try_solved - s.first_submit_correct::integer)::double precision
            / (c.tasks - 1) as on_others
    from students c
    join student_task_statistics s using (course, user_id)
    where s.graded > 0
)
select oauth_consumer_key, course, task, count(*),
    -- In one order the sum of fractions is the same to the last digit, whatever the plan.
    greatest(-1, least(1, corr(on_task, on_others order by user_id)))
from compared
group by oauth_consumer_key, course, task
having count(*) >= 30 and min(on_task) < max(on_task) and min(on_others) < max(on_others)
order by oauth_consumer_key, course, task
