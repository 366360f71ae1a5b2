-- Afterwards these functions and views exist; course '' is all courses together in each:
-- * heat_map_between: a row per course, iso_weekday and hour, figure 12 of the days from first_day
--   to last_day, both included;
-- * heat_map and heat_map_all_history: the same for the last 28 days and for all days;
-- * figures_between: a row per course with attempts in the days, figures 1 to 3. A student of the
--   range counts once. With first_day '-infinity' the figures come from student_activity, which
--   has one row per student and course. They then cover the whole history up to as_of, whatever
--   last_day is; only new_users ends with last_day;
-- * period_statistics: a row per course and period_days (7, 28, 90; 0 = all history), figures 1 to
--   3 of the period that ends with as_of and, in columns previous_…, of the period before it.
--   Example: as of 30 May, 7 days are 24 to 30 May and the period before is 17 to 23 May.

create function heat_map_between(first_day date, last_day date)
    returns table (
        course text, iso_weekday integer, hour integer, attempts bigint, users bigint
    ) language sql stable parallel safe
begin atomic
    with per_user as (
        select c.course, extract(isodow from h.day)::integer as iso_weekday, h.hour, h.user_id,
            sum(h.attempts) as attempts
        from student_hours h
        cross join lateral (values (''), (nullif(h.course, ''))) as c(course)
        where h.day between first_day and last_day and c.course is not null
        group by c.course, iso_weekday, h.hour, h.user_id
    )
    select p.course, p.iso_weekday, p.hour, sum(p.attempts)::bigint, count(*)
    from per_user p
    group by p.course, p.iso_weekday, p.hour;
end;

create view heat_map as
select h.* from figure_settings, heat_map_between(as_of - 27, as_of) as h;

create view heat_map_all_history as
select h.* from figure_settings, heat_map_between('-infinity', as_of) as h;

create function figures_between(first_day date, last_day date)
    returns table (
        course text, attempts bigint, users bigint, runs bigint, submits bigint, correct bigint,
        wrong bigint, ungraded bigint, success_pct double precision,
        success_low_pct double precision, success_high_pct double precision,
        correct_of_all_pct double precision, run_to_success_pct double precision,
        mean_attempts_per_user double precision, median_attempts_per_user double precision,
        new_users bigint
    ) language sql stable parallel safe
begin atomic
    with per_user as (
        select c.course, h.user_id, sum(h.attempts) as attempts, sum(h.runs) as runs,
            sum(h.correct) as correct, sum(h.wrong) as wrong, sum(h.ungraded) as ungraded
        from student_hours h
        cross join lateral (values (''), (nullif(h.course, ''))) as c(course)
        where figures_between.first_day > '-infinity'
          and h.day between figures_between.first_day and figures_between.last_day
          and c.course is not null
        group by c.course, h.user_id
        union all
        select a.course, a.user_id, a.attempts, a.runs, a.correct, a.wrong, a.ungraded
        from student_activity a
        where figures_between.first_day = '-infinity'
    ), volume as (
        select p.course, sum(p.attempts)::bigint as attempts, count(*) as users,
            sum(p.runs)::bigint as runs, sum(p.correct)::bigint as correct,
            sum(p.wrong)::bigint as wrong, sum(p.ungraded)::bigint as ungraded,
            percentile_cont(0.5) within group (order by p.attempts::double precision) as median
        from per_user p
        group by p.course
    ), newcomers as (
        select a.course, count(*) as users
        from student_activity a
        where a.first_day between figures_between.first_day and figures_between.last_day
        group by a.course
    )
    select v.course, v.attempts, v.users, v.runs, v.correct + v.wrong + v.ungraded, v.correct,
        v.wrong, v.ungraded,
        share_pct(v.correct, v.correct + v.wrong),
        wilson_pct(v.correct, v.correct + v.wrong, -1),
        wilson_pct(v.correct, v.correct + v.wrong, 1),
        share_pct(v.correct, v.attempts),
        share_pct(v.correct, v.runs),
        ratio(v.attempts, v.users),
        v.median,
        coalesce(n.users, 0)
    from volume v
    left join newcomers n using (course);
end;

create view period_statistics as
with periods as (
    select days, as_of,
        case when days > 0 then as_of - days + 1 else '-infinity' end as first_day,
        case when days > 0 then as_of - 2 * days + 1 end as previous_first_day,
        as_of - days as previous_last_day
    from figure_settings cross join unnest(array[7, 28, 90, 0]) as days
)
select p.days as period_days, both_periods.*, p.as_of
from periods p
cross join lateral (
    select
        coalesce(latest.course, earlier.course) as course,
        coalesce(latest.attempts, 0) as attempts,
        coalesce(latest.users, 0) as users,
        coalesce(latest.runs, 0) as runs,
        coalesce(latest.submits, 0) as submits,
        coalesce(latest.correct, 0) as correct,
        coalesce(latest.wrong, 0) as wrong,
        coalesce(latest.ungraded, 0) as ungraded,
        latest.success_pct,
        latest.success_low_pct,
        latest.success_high_pct,
        latest.correct_of_all_pct,
        latest.run_to_success_pct,
        latest.mean_attempts_per_user,
        latest.median_attempts_per_user,
        coalesce(latest.new_users, 0) as new_users,
        case when p.days > 0 then coalesce(earlier.attempts, 0) end as previous_attempts,
        case when p.days > 0 then coalesce(earlier.users, 0) end as previous_users,
        earlier.success_pct as previous_success_pct,
        case when p.days > 0 then coalesce(earlier.new_users, 0) end as previous_new_users
    from figures_between(p.first_day, p.as_of) as latest
    full join figures_between(p.previous_first_day, p.previous_last_day) as earlier using (course)
) as both_periods;
