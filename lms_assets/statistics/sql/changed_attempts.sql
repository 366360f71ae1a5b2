-- Afterwards changed_attempts also has every counted attempt of one span of time, with its day and
-- hour in the zone. The zone's clocks have one offset from UTC in the whole span.
-- Parameters: starts, the first instant of the span, and ends, the first instant after it, both
-- naive UTC; ahead, the offset as an interval (Europe/Prague in summer: 2 hours).
insert into changed_attempts
select
    user_id, oauth_consumer_key, course, task, created_at, (created_at + :ahead)::date,
    extract(hour from created_at + :ahead), is_run, is_submit, is_graded, is_correct, has_task
from counted_attempts
where created_at >= :starts and created_at < :ends
