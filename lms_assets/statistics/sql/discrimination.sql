-- Figure 14 of the courses whose pairs have changed: the correlation of first-try success on a
-- task with the mean first-try success on the student's other tasks of the course.
delete from task_discrimination
where course in (select course from touched_tasks);

insert into task_discrimination (
    oauth_consumer_key, course, task, compared_students, discrimination
)
with students as (
    select course, user_id, count(*) as tasks, count(*) filter (where first_submit_correct) as firsts
    from student_task_statistics
    where graded > 0 and course in (select course from touched_tasks)
    group by course, user_id
    having count(*) > 5
), compared as (
    select s.oauth_consumer_key, s.course, s.task,
        s.first_submit_correct::integer::double precision as own,
        (c.firsts - s.first_submit_correct::integer)::double precision / (c.tasks - 1) as others
    from students c
    join student_task_statistics s using (course, user_id)
    where s.graded > 0
)
select oauth_consumer_key, course, task, count(*), greatest(-1, least(1, corr(own, others)))
from compared
group by oauth_consumer_key, course, task
having count(*) >= 30 and min(own) < max(own) and min(others) < max(others)
order by oauth_consumer_key, course, task
