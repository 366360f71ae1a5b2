-- The attempts of a stretch of time in which the zone's clocks are one offset ahead of UTC.
insert into changed_attempts
select
    user_id, oauth_consumer_key, course, task, created_at, (created_at + :ahead)::date,
    extract(hour from created_at + :ahead), is_run, is_submit, is_graded, is_correct, has_task
from counted_attempts
where created_at >= :starts and created_at < :ends
