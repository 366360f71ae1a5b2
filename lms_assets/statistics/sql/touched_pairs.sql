insert into touched_pairs (user_id, oauth_consumer_key, course, task)
select distinct user_id, oauth_consumer_key, course, task
from student_attempts
where created_at >= :starts and created_at < :ends and day between :first and :last and has_task
on conflict do nothing
