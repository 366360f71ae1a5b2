-- Afterwards no pair of student and task is 'stuck' whose last graded submit is 7 or more days
-- before as_of: the state of such a pair is 'gave_up'. touched_tasks also has the tasks of the
-- pairs that changed. A pair may change without a new attempt, because as_of moves on. Example: a
-- pair with a last graded submit on 1 May is 'stuck' as of 7 May and 'gave_up' as of 8 May.
-- Parameter: as_of, the newest loaded day.
with aged_pairs as (
    update student_task_statistics
    set state = student_task_state(solved_at, graded, last_submit_day, :as_of)
    where state = 'stuck'
      and student_task_state(solved_at, graded, last_submit_day, :as_of) <> 'stuck'
    returning oauth_consumer_key, course, task
)
insert into touched_tasks (oauth_consumer_key, course, task)
select distinct oauth_consumer_key, course, task from aged_pairs
on conflict do nothing;
analyze touched_tasks
