-- Figure 9: stuck pairs whose last submit lies too long before the new end of as_of.
with aged as (
    update student_task_statistics
    set state = student_task_state(solved_at, graded, last_submit_day, :as_of)
    where state = 'stuck'
      and student_task_state(solved_at, graded, last_submit_day, :as_of) <> 'stuck'
    returning oauth_consumer_key, course, task
)
insert into touched_tasks (oauth_consumer_key, course, task)
select distinct oauth_consumer_key, course, task from aged
on conflict do nothing;
analyze touched_tasks
