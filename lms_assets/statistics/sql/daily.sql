-- Afterwards daily_figures is up to date for the affected days (figures 1, 2 and 3). Grain: day
-- and course ('' = all courses together). A day without attempts has no row.
delete from daily_figures f using affected_days d where f.day = d.day;
insert into daily_figures (
    course, day, attempts, users, runs, submits, correct, wrong, ungraded, success_pct,
    success_low_pct, success_high_pct, correct_of_all_pct, run_to_success_pct,
    mean_attempts_per_user, median_attempts_per_user, new_users, returning_users, wau, mau,
    stickiness_pct, without_task, without_task_pct, attempts_trend_pct, busiest_hour
)
with needed_days as (
    -- mau needs the 29 days before a day. The trend needs the same weekday of the 4 weeks before.
    select distinct day - n as day from affected_days cross join generate_series(0, 29) as n
), user_days as materialized (
    select
        level.course,
        h.day,
        h.user_id,
        sum(h.attempts) as attempts,
        sum(h.runs) as runs,
        sum(h.correct) as correct,
        sum(h.wrong) as wrong,
        sum(h.ungraded) as ungraded,
        sum(h.without_task) as without_task
    from needed_days
    join student_hours h using (day)
    cross join lateral (values (''), (nullif(h.course, ''))) as level(course)
    where level.course is not null
    group by level.course, h.day, h.user_id
), volume as (
    select
        course,
        day,
        count(*) as users,
        sum(attempts)::bigint as attempts,
        sum(runs)::bigint as runs,
        sum(correct)::bigint as correct,
        sum(wrong)::bigint as wrong,
        sum(ungraded)::bigint as ungraded,
        sum(without_task)::bigint as without_task,
        percentile_cont(0.5) within group (order by attempts::double precision) as median_attempts
    from user_days
    group by course, day
), usual_volume as (
    select course, day + 7 * weeks as day, avg(attempts)::double precision as attempts
    from volume cross join generate_series(1, 4) as weeks
    group by course, day + 7 * weeks
), active_days as (
    select course, day, lead(day) over (partition by course, user_id order by day) as next_day
    from user_days
), window_changes as (
    -- Running sums of these changes give wau, mau and the student-days of the last 30 days. A
    -- student's active day adds 1 to wau. The 1 is taken away on the student's next active day,
    -- which adds its own, or 7 days later if that is earlier. Example: a student who is active on
    -- 1 and 4 May counts from 1 to 10 May. mau does the same with 30 days. A student-day leaves
    -- dau_of_30_days after 30 days in any case.
    select course, day, count(*) as wau, count(*) as mau, count(*) as dau_of_30_days
    from active_days group by course, day
    union all
    select course, least(next_day, day + 7), -count(*), 0, 0 from active_days group by 1, 2
    union all
    select course, least(next_day, day + 30), 0, -count(*), 0 from active_days group by 1, 2
    union all
    select course, day + 30, 0, 0, -count(*) from active_days group by 1, 2
), windows as (
    select
        course,
        day,
        sum(sum(wau)) over up_to_day as wau,
        sum(sum(mau)) over up_to_day as mau,
        sum(sum(dau_of_30_days)) over up_to_day as dau_of_30_days
    from window_changes
    group by course, day
    window up_to_day as (partition by course order by day)
), newcomers as (
    select a.course, a.first_day as day, count(*) as users
    from affected_days d
    join student_activity a on a.cohort_week = week_of(d.day) and a.first_day = d.day
    group by a.course, a.first_day
), busiest_hours as (
    select distinct on (level.course, h.day) level.course, h.day, h.hour
    from affected_days
    join student_hours h using (day)
    cross join lateral (values (''), (nullif(h.course, ''))) as level(course)
    where level.course is not null
    group by level.course, h.day, h.hour
    order by level.course, h.day, sum(h.attempts) desc, h.hour
)
select
    course,
    day,
    v.attempts,
    v.users,
    v.runs,
    v.correct + v.wrong + v.ungraded as submits,
    v.correct,
    v.wrong,
    v.ungraded,
    share_pct(v.correct, v.correct + v.wrong) as success_pct,
    wilson_pct(v.correct, v.correct + v.wrong, -1) as success_low_pct,
    wilson_pct(v.correct, v.correct + v.wrong, 1) as success_high_pct,
    share_pct(v.correct, v.attempts) as correct_of_all_pct,
    share_pct(v.correct, v.runs) as run_to_success_pct,
    ratio(v.attempts, v.users) as mean_attempts_per_user,
    v.median_attempts as median_attempts_per_user,
    coalesce(n.users, 0) as new_users,
    v.users - coalesce(n.users, 0) as returning_users,
    w.wau::bigint as wau,
    w.mau::bigint as mau,
    share_pct(w.dau_of_30_days::bigint, 30 * w.mau::bigint) as stickiness_pct,
    v.without_task,
    share_pct(v.without_task, v.attempts) as without_task_pct,
    100 * (v.attempts / u.attempts - 1) as attempts_trend_pct,
    h.hour as busiest_hour
from affected_days
join volume v using (day)
join windows w using (course, day)
join busiest_hours h using (course, day)
left join usual_volume u using (course, day)
left join newcomers n using (course, day)
order by day, course
