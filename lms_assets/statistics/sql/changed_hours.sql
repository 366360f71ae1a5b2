-- Afterwards changed_hours has every counted attempt of some days, by student, task and hour.
-- Parameters: starts, the first instant of the days, and ends, the first instant after them, both
-- naive UTC; as_of, the newest loaded day.
drop table if exists changed_hours;

-- The attempts of a day lie side by side. By the index unique_attempt, which has them in the order
-- of the students, PostgreSQL would read them one by one from all over the day.
set local enable_indexscan = off;
create temporary table changed_hours on commit drop as
with chosen_attempts as (
    select * from counted_attempts where created_at >= :starts and created_at < :ends
),
/* hours_of_attempts.sql */;
set local enable_indexscan = on;
analyze changed_hours (user_id, oauth_consumer_key, course, task, day, hour)
