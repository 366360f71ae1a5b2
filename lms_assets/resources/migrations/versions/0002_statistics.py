"""The figures: their tables, the views that show them, and what each column means."""

from alembic import op

revision = "0002"
down_revision = "0001"

FUNCTIONS = """
create function share_pct(part bigint, whole bigint) returns double precision
    language sql immutable parallel safe
    return 100::double precision * part / nullif(whole, 0);
comment on function share_pct is 'part of whole in percent; null where whole is 0.';

create function ratio(total bigint, number bigint) returns double precision
    language sql immutable parallel safe
    return total::double precision / nullif(number, 0);
comment on function ratio is 'total per number; null where number is 0.';

create function wilson_pct(successes bigint, trials bigint, side integer)
    returns double precision language sql immutable parallel safe
    return case when trials > 0 then 100 * greatest(0, least(1, (
        successes::double precision / trials
        + 1.959963984540054 ^ 2 / (2 * trials)
        + side * 1.959963984540054 * sqrt(
            successes::double precision / trials * (1 - successes::double precision / trials)
                / trials
            + 1.959963984540054 ^ 2 / (4 * trials::double precision ^ 2)
        )
    ) / (1 + 1.959963984540054 ^ 2 / trials))) end;
comment on function wilson_pct is
    'Bound of the 95 % Wilson interval of successes / trials in percent: side -1 lower, 1 upper.';

create function week_of(day date) returns date language sql immutable parallel safe
    return day - (extract(isodow from day)::integer - 1);
comment on function week_of is 'The Monday of the ISO week that a day lies in.';

create function student_task_state(
    solved_at timestamp, graded integer, last_submit_day date, as_of date
) returns text language sql immutable parallel safe
    return case
        when solved_at is not null then 'solved'
        when graded < 5 then 'trying'
        when last_submit_day > as_of - 7 then 'stuck'
        else 'gave_up'
    end;
comment on function student_task_state is
    'stuck: five or more graded submits, none correct, the last within 7 days of the end of as_of.';

create function student_activity_state(days_inactive integer) returns text
    language sql immutable parallel safe
    return case
        when days_inactive < 7 then 'active' when days_inactive < 14 then 'at_risk' else 'dropped'
    end;
comment on function student_activity_state is
    'active: inactive for under 7 days; at_risk: 7 to 13; dropped: 14 and over.';
"""

SOURCE = """
create table figure_settings (
    is_single boolean primary key default true check (is_single),
    zone text not null,
    as_of date not null,
    refreshed_at timestamptz not null
);
create table staff (user_id text primary key);

create view student_attempts as
select
    a.id,
    a.user_id,
    coalesce(a.oauth_consumer_key, '') as oauth_consumer_key,
    a.course,
    a.task,
    a.created_at,
    local_at::date as day,
    extract(hour from local_at)::integer as hour,
    a.attempt_type = 'run' as is_run,
    a.attempt_type = 'submit' as is_submit,
    a.attempt_type = 'submit' and a.is_correct is not null as is_graded,
    a.attempt_type = 'submit' and coalesce(a.is_correct, false) as is_correct,
    coalesce(a.course, '') <> '' and a.task is not null as has_task
from figure_settings s
cross join attempts a
cross join lateral (select a.created_at at time zone 'UTC' at time zone s.zone) as t(local_at)
where local_at::date <= s.as_of
  and not exists (select from staff where staff.user_id = a.user_id);
"""

TABLES = """
create table student_hours (
    day date not null,
    hour integer not null,
    course text not null,
    user_id text not null,
    attempts integer not null,
    runs integer not null,
    correct integer not null,
    wrong integer not null,
    ungraded integer not null,
    without_task integer not null,
    primary key (day, hour, course, user_id)
);
create index student_hours_user on student_hours (user_id);

create table student_activity (
    course text not null,
    user_id text not null,
    first_day date not null,
    last_day date not null,
    cohort_week date not null,
    active_days integer not null,
    attempts bigint not null,
    runs bigint not null,
    correct bigint not null,
    wrong bigint not null,
    ungraded bigint not null,
    without_task bigint not null,
    primary key (course, user_id)
);
create index student_activity_user on student_activity (user_id);
create index student_activity_cohort on student_activity (course, cohort_week);
create index student_activity_first_day on student_activity (first_day);

create table daily_statistics (
    day date primary key,
    attempts bigint not null,
    users bigint not null,
    runs bigint not null,
    submits bigint not null,
    correct bigint not null,
    wrong bigint not null,
    ungraded bigint not null,
    success_pct double precision,
    success_low_pct double precision,
    success_high_pct double precision,
    correct_of_all_pct double precision,
    run_to_success_pct double precision,
    mean_attempts_per_user double precision not null,
    median_attempts_per_user double precision not null,
    new_users bigint not null,
    returning_users bigint not null,
    wau bigint not null,
    mau bigint not null,
    stickiness_pct double precision not null,
    without_task bigint not null,
    without_task_pct double precision not null,
    attempts_trend_pct double precision,
    busiest_hour integer not null,
    computed_at timestamptz not null default now()
);
create table course_daily_statistics (
    day date not null,
    course text not null,
    attempts bigint not null,
    users bigint not null,
    runs bigint not null,
    submits bigint not null,
    correct bigint not null,
    wrong bigint not null,
    ungraded bigint not null,
    success_pct double precision,
    success_low_pct double precision,
    success_high_pct double precision,
    correct_of_all_pct double precision,
    run_to_success_pct double precision,
    mean_attempts_per_user double precision not null,
    median_attempts_per_user double precision not null,
    new_users bigint not null,
    returning_users bigint not null,
    wau bigint not null,
    mau bigint not null,
    stickiness_pct double precision not null,
    attempts_trend_pct double precision,
    busiest_hour integer not null,
    primary key (day, course)
);

create table retention_counts (
    course text not null,
    cohort_week date not null,
    week date not null,
    active bigint not null,
    primary key (course, cohort_week, week)
);
create index retention_counts_week on retention_counts (week);

create table student_task_statistics (
    user_id text not null,
    oauth_consumer_key text not null,
    course text not null,
    task text not null,
    attempts integer not null,
    runs integer not null,
    submits integer not null,
    graded integer not null,
    correct integer not null,
    first_submit_correct boolean,
    attempts_to_solve integer,
    is_instant boolean,
    wall_min double precision,
    active_min double precision,
    blind_submits integer not null,
    blind_graded integer not null,
    blind_correct integer not null,
    first_attempt_at timestamp not null,
    last_attempt_at timestamp not null,
    last_submit_at timestamp,
    solved_at timestamp,
    first_day date not null,
    last_day date not null,
    last_submit_day date,
    state text not null,
    primary key (user_id, oauth_consumer_key, course, task)
);
create index student_task_statistics_task
    on student_task_statistics (course, task, oauth_consumer_key);
create index student_task_statistics_stuck
    on student_task_statistics (last_submit_day) where state = 'stuck';
"""

# One definition for a task, a course and all courses together: each is a group of pairs.
FIGURES_OF_PAIRS = """
    count(*) as users,
    count(*) filter (where graded > 0) as students,
    count(solved_at) as solvers,
    count(*) filter (where first_submit_correct) as first_try_solvers,
    share_pct(count(*) filter (where first_submit_correct),
              count(*) filter (where graded > 0)) as first_try_pct,
    wilson_pct(count(*) filter (where first_submit_correct),
               count(*) filter (where graded > 0), -1) as first_try_low_pct,
    wilson_pct(count(*) filter (where first_submit_correct),
               count(*) filter (where graded > 0), 1) as first_try_high_pct,
    share_pct(count(solved_at), count(*) filter (where graded > 0)) as solve_pct,
    sum(graded) as submits,
    sum(submits) - sum(graded) as ungraded,
    sum(correct) as correct,
    share_pct(sum(correct), sum(graded)) as success_pct,
    wilson_pct(sum(correct), sum(graded), -1) as success_low_pct,
    wilson_pct(sum(correct), sum(graded), 1) as success_high_pct,
    percentile_cont(0.5) within group (order by attempts_to_solve) as median_attempts_to_solve,
    percentile_disc(0.9) within group (order by attempts_to_solve) as p90_attempts_to_solve,
    ratio(sum(graded), count(solved_at)) as attempts_per_solver,
    count(*) filter (where is_instant) as instant_solvers,
    count(wall_min) as timed_solvers,
    percentile_cont(0.5) within group (order by wall_min) as median_wall_min,
    percentile_disc(0.9) within group (order by wall_min) as p90_wall_min,
    percentile_cont(0.5) within group (order by active_min) as median_active_min,
    percentile_disc(0.9) within group (order by active_min) as p90_active_min,
    count(*) filter (where state = 'stuck') as stuck,
    count(*) filter (where state = 'gave_up') as gave_up,
    sum(runs) as runs,
    ratio(sum(runs), sum(submits)) as runs_per_submit,
    share_pct(sum(blind_submits), sum(submits)) as blind_pct,
    share_pct(sum(correct) - sum(blind_correct),
              sum(graded) - sum(blind_graded)) as success_after_run_pct,
    share_pct(sum(blind_correct), sum(blind_graded)) as success_blind_pct
"""

TASKS = f"""
create view task_figures as
select oauth_consumer_key, course, task, {FIGURES_OF_PAIRS}
from student_task_statistics
group by oauth_consumer_key, course, task;

create table task_statistics (
    oauth_consumer_key text not null,
    course text not null,
    task text not null,
    users bigint not null,
    students bigint not null,
    solvers bigint not null,
    first_try_solvers bigint not null,
    first_try_pct double precision,
    first_try_low_pct double precision,
    first_try_high_pct double precision,
    solve_pct double precision,
    submits bigint not null,
    ungraded bigint not null,
    correct bigint not null,
    success_pct double precision,
    success_low_pct double precision,
    success_high_pct double precision,
    median_attempts_to_solve double precision,
    p90_attempts_to_solve integer,
    attempts_per_solver double precision,
    instant_solvers bigint not null,
    timed_solvers bigint not null,
    median_wall_min double precision,
    p90_wall_min double precision,
    median_active_min double precision,
    p90_active_min double precision,
    stuck bigint not null,
    gave_up bigint not null,
    runs bigint not null,
    runs_per_submit double precision,
    blind_pct double precision,
    success_after_run_pct double precision,
    success_blind_pct double precision,
    is_ranked boolean not null generated always as (students >= 10) stored,
    difficulty text generated always as (case
        when students < 10 then null
        when first_try_pct < 30 then 'hard'
        when first_try_pct > 90 then 'very_easy'
    end) stored,
    as_of date not null,
    primary key (oauth_consumer_key, course, task)
);

create view course_statistics as
with volume as (
    select
        course,
        count(*) as users,
        sum(attempts)::bigint as attempts,
        sum(runs)::bigint as runs,
        sum(correct + wrong + ungraded)::bigint as submits,
        sum(correct)::bigint as correct,
        sum(wrong)::bigint as wrong,
        sum(ungraded)::bigint as ungraded,
        sum(without_task)::bigint as without_task,
        count(*) filter (where student_activity_state(as_of - last_day) = 'active') as active,
        count(*) filter (where student_activity_state(as_of - last_day) = 'at_risk') as at_risk,
        count(*) filter (where student_activity_state(as_of - last_day) = 'dropped') as dropped
    from student_activity cross join figure_settings
    group by course
), on_tasks as (
    select level.course as course_or_all, {FIGURES_OF_PAIRS}
    from student_task_statistics s
    cross join lateral (values (''), (s.course)) as level(course)
    group by level.course
)
select
    v.course,
    v.attempts,
    v.users,
    v.runs,
    v.submits,
    v.correct + v.wrong as graded,
    v.correct,
    v.wrong,
    v.ungraded,
    share_pct(v.correct, v.correct + v.wrong) as success_pct,
    wilson_pct(v.correct, v.correct + v.wrong, -1) as success_low_pct,
    wilson_pct(v.correct, v.correct + v.wrong, 1) as success_high_pct,
    share_pct(v.correct, v.attempts) as correct_of_all_pct,
    share_pct(v.correct, v.runs) as run_to_success_pct,
    v.without_task,
    share_pct(v.without_task, v.attempts) as without_task_pct,
    coalesce(t.students, 0) as pairs,
    coalesce(t.solvers, 0) as solved_pairs,
    t.first_try_pct,
    t.first_try_low_pct,
    t.first_try_high_pct,
    t.solve_pct,
    t.median_attempts_to_solve,
    t.p90_attempts_to_solve,
    t.attempts_per_solver,
    coalesce(t.instant_solvers, 0) as instant_pairs,
    coalesce(t.timed_solvers, 0) as timed_pairs,
    t.median_wall_min,
    t.p90_wall_min,
    t.median_active_min,
    t.p90_active_min,
    coalesce(t.stuck, 0) as stuck,
    coalesce(t.gave_up, 0) as gave_up,
    t.runs_per_submit,
    t.blind_pct,
    t.success_after_run_pct,
    t.success_blind_pct,
    v.active as active_students,
    v.at_risk as at_risk_students,
    v.dropped as dropped_students,
    f.as_of
from volume v
cross join figure_settings f
left join on_tasks t on t.course_or_all = v.course;

create view overall_statistics as select * from course_statistics where course = '';
alter view overall_statistics rename column course to all_courses;
"""  # noqa: S608  (both parts are constants of this file)

VIEWS = """
create view student_statistics as
select user_id, first_day, last_day, attempts, active_days, as_of - last_day as days_inactive,
    student_activity_state(as_of - last_day) as activity
from student_activity cross join figure_settings
where course = '';

create view retention as
with cohorts as (
    select course, cohort_week, count(*) as students
    from student_activity
    group by course, cohort_week
)
select
    c.course,
    c.cohort_week,
    (w.monday::date - c.cohort_week) / 7 as weeks_later,
    c.students,
    coalesce(r.active, 0) as active,
    share_pct(coalesce(r.active, 0), c.students) as active_pct,
    w.monday::date + 6 <= f.as_of as is_complete
from cohorts c
cross join figure_settings f
cross join lateral generate_series(
    c.cohort_week::timestamp, week_of(f.as_of)::timestamp, interval '7 days'
) as w(monday)
left join retention_counts r on (r.course, r.cohort_week, r.week)
    = (c.course, c.cohort_week, w.monday::date);

create function heat_map_between(first_day date, last_day date)
    returns table (
        course text, iso_weekday integer, hour integer, attempts bigint, users bigint
    ) language sql stable parallel safe
begin atomic
    select c.course, extract(isodow from h.day)::integer, h.hour, sum(h.attempts),
        count(distinct h.user_id)
    from student_hours h
    cross join lateral (values (''), (nullif(h.course, ''))) as c(course)
    where h.day between first_day and last_day and c.course is not null
    group by 1, 2, 3;
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

create view hardest_tasks as
select * from task_statistics where is_ranked
order by first_try_high_pct, students desc, course, task, oauth_consumer_key;

create view students_who_need_help as
select user_id, oauth_consumer_key, course, task, state, graded, runs, blind_submits,
    first_attempt_at, last_submit_at, last_submit_day
from student_task_statistics
where state in ('stuck', 'gave_up')
order by state desc, last_submit_at desc, user_id, course, task, oauth_consumer_key;
"""

# The twelve, by number: the columns of the tables above and nothing computed anew.
FIGURES = """
create view figure_01_volume as
select day, attempts, runs, submits, correct, wrong, ungraded, users, mean_attempts_per_user,
    median_attempts_per_user, attempts_trend_pct
from daily_statistics order by day;
create view figure_01_volume_by_course as
select day, course, attempts, runs, submits, correct, wrong, ungraded, users,
    mean_attempts_per_user, median_attempts_per_user, attempts_trend_pct
from course_daily_statistics order by day, course;
create view figure_02_active_students as
select day, users, wau, mau, stickiness_pct, new_users, returning_users
from daily_statistics order by day;
create view figure_03_submit_success as
select graded, correct, success_pct, success_low_pct, success_high_pct, correct_of_all_pct,
    run_to_success_pct
from overall_statistics;
create view figure_04_first_try_success as
select oauth_consumer_key, course, task, students, first_try_solvers, first_try_pct,
    first_try_low_pct, first_try_high_pct
from task_statistics order by first_try_pct, course, task, oauth_consumer_key;
create view figure_05_solve_rate as
select oauth_consumer_key, course, task, students, solvers, solve_pct
from task_statistics order by solve_pct, course, task, oauth_consumer_key;
create view figure_06_attempts_to_solve as
select oauth_consumer_key, course, task, solvers, submits, median_attempts_to_solve,
    p90_attempts_to_solve, attempts_per_solver
from task_statistics
order by median_attempts_to_solve desc nulls last, course, task, oauth_consumer_key;
create view figure_07_time_to_solve as
select solved_pairs, instant_pairs, timed_pairs, median_wall_min, p90_wall_min,
    median_active_min, p90_active_min
from overall_statistics;
create view figure_07_time_to_solve_by_task as
select oauth_consumer_key, course, task, solvers, instant_solvers, timed_solvers,
    median_wall_min, p90_wall_min, median_active_min, p90_active_min
from task_statistics
order by median_active_min desc nulls last, course, task, oauth_consumer_key;
create view figure_08_hardest_tasks as
select oauth_consumer_key, course, task, students, first_try_pct, first_try_high_pct, solve_pct,
    median_attempts_to_solve, p90_attempts_to_solve, submits, success_pct, attempts_per_solver,
    is_ranked, difficulty
from task_statistics
order by first_try_high_pct, students desc, course, task, oauth_consumer_key;
create view figure_09_stuck_students as
select pairs, stuck, gave_up from overall_statistics;
create view figure_09_stuck_students_by_task as
select oauth_consumer_key, course, task, students, stuck, gave_up
from task_statistics order by stuck desc, gave_up desc, course, task, oauth_consumer_key;
create view figure_10_runs_before_submits as
select runs_per_submit, blind_pct, success_after_run_pct, success_blind_pct
from overall_statistics;
create view figure_11_inactivity as
select active_students, at_risk_students, dropped_students from overall_statistics;
create view figure_11_retention as
select cohort_week, weeks_later, students, active, active_pct, is_complete
from retention where course = '' order by cohort_week, weeks_later;
create view figure_12_heat_map as
select iso_weekday, hour, attempts, users
from heat_map where course = '' order by iso_weekday, hour;
create view figure_12_heat_map_all_history as
select iso_weekday, hour, attempts, users
from heat_map_all_history where course = '' order by iso_weekday, hour;
"""

RELATIONS = {
    "figure_settings": "One row: what every figure depends on besides the attempts. Written by the "
    "refresh; a figure is never a matter of the clock.",
    "staff": "One row per user who is left out of every figure (LMS_STAFF). Key: user_id.",
    "student_attempts": "One row per attempt that counts: not by staff, up to the end of as_of. "
    "Every figure is made from it.",
    "student_hours": "Attempts by student, course, day and hour, in the set zone. "
    "Key: day, hour, course, user_id. On a day of 25 hours the repeated hour is one row.",
    "student_activity": "What a student did in a course over the whole history. "
    "Key: course ('' = all courses together), user_id.",
    "daily_statistics": "Figures 1, 2 and 3 by day; a row for each day with attempts. Key: day.",
    "course_daily_statistics": "Figures 1, 2 and 3 by day and course. Key: day, course.",
    "retention_counts": "Figure 11: students of a cohort active in a week; no row for none. "
    "Key: course ('' = all), cohort_week, week. Read the view retention instead.",
    "student_task_statistics": "What one student did on one task, over the whole history. "
    "Key: user_id, oauth_consumer_key, course, task. S = graded submit. Order: created_at, run "
    "before submit, wrong before right.",
    "task_figures": "Figures 4 to 10 by task: the definition that fills task_statistics.",
    "task_statistics": "Figures 4 to 10 by task, over the whole history. "
    "Key: oauth_consumer_key, course, task.",
    "course_statistics": "Figures 3 to 11 over the whole history, by course. "
    "Key: course ('' = all courses together). A pair is a student and a task.",
    "overall_statistics": "Figures 3 to 11 over the whole history and all courses: one row. "
    "A pair is a student and a task.",
    "student_statistics": "Figure 11: when each student was last active. Key: user_id.",
    "retention": "Figure 11: of the students who began in a week, those active k weeks later. "
    "Key: course ('' = all), cohort_week, weeks_later.",
    "heat_map": "Figure 12 over the last 28 full days. Key: course ('' = all), iso_weekday, hour; "
    "no row for an hour without attempts.",
    "heat_map_all_history": "Figure 12 over the whole history. Key: as heat_map.",
    "period_statistics": "Figures 1 to 3 over the last 7, 28, 90 days and all history, beside the "
    "period before. Key: course ('' = all), period_days.",
    "hardest_tasks": "Figure 8: tasks with at least 10 students, the hardest first.",
    "students_who_need_help": "Figure 9: a row per student and task that is stuck or gave up.",
    "figure_01_volume": "Figure 1 by day.",
    "figure_01_volume_by_course": "Figure 1 by day and course.",
    "figure_02_active_students": "Figure 2 by day.",
    "figure_03_submit_success": "Figure 3 over the whole history: one row.",
    "figure_04_first_try_success": "Figure 4 by task.",
    "figure_05_solve_rate": "Figure 5 by task.",
    "figure_06_attempts_to_solve": "Figure 6 by task.",
    "figure_07_time_to_solve": "Figure 7 over all pairs of student and task: one row.",
    "figure_07_time_to_solve_by_task": "Figure 7 by task.",
    "figure_08_hardest_tasks": "Figure 8, every task: those with is_ranked are in hardest_tasks.",
    "figure_09_stuck_students": "Figure 9 over all pairs of student and task: one row.",
    "figure_09_stuck_students_by_task": "Figure 9 by task: stuck of students need help.",
    "figure_10_runs_before_submits": "Figure 10 over all tasks: one row.",
    "figure_11_inactivity": "Figure 11, inactivity: one row.",
    "figure_11_retention": "Figure 11, retention, all courses.",
    "figure_12_heat_map": "Figure 12 over the last 28 full days, all courses.",
    "figure_12_heat_map_all_history": "Figure 12 over the whole history, all courses.",
}

# What a column means wherever it stands; a relation's own words win (OWN_WORDS).
COLUMNS = {
    "as_of": "The newest loaded day: figures are as of its end.",
    "zone": "IANA zone that says what a day and an hour are.",
    "refreshed_at": "Instant of the last refresh.",
    "computed_at": "Instant at which the row was computed.",
    "is_single": "Always true: there is one row.",
    "id": "The attempt: attempts.id.",
    "user_id": "The student: attempts.user_id.",
    "oauth_consumer_key": "Part of the task's key: the LTI consumer, '' where there is none.",
    "course": "The course: context of lis_result_sourcedid, URL-unquoted.",
    "all_courses": "Always '': all courses together.",
    "task": "The task: link of lis_result_sourcedid, URL-unquoted.",
    "created_at": "Instant of the attempt, naive UTC.",
    "day": "The day in the set zone.",
    "hour": "Hour of the day, 0 to 23, in the set zone.",
    "iso_weekday": "Day of the week in the set zone: 1 Monday to 7 Sunday.",
    "is_run": "The attempt is a run.",
    "is_submit": "The attempt is a submit.",
    "is_graded": "The attempt is an S: a submit whose verdict is known.",
    "is_correct": "The attempt is an S and correct.",
    "has_task": "Course and task could be cut out of lis_result_sourcedid.",
    "attempts": "Number of attempts = runs + correct + wrong + ungraded.",
    "users": "Number of distinct students with an attempt.",
    "runs": "Number of runs.",
    "submits": "Number of submits = correct + wrong + ungraded.",
    "graded": "Number of S: submits whose verdict is known.",
    "correct": "Number of correct S.",
    "wrong": "Number of wrong S.",
    "ungraded": "Number of submits without a verdict; in no denominator of success.",
    "without_task": "Number of attempts of which no task is known; in no figure by task.",
    "without_task_pct": "Percent: without_task / attempts.",
    "success_pct": "Submit success, percent: correct / (correct + wrong). Null without S.",
    "success_low_pct": "Lower bound of the 95 % Wilson interval of success_pct, percent.",
    "success_high_pct": "Upper bound of the 95 % Wilson interval of success_pct, percent.",
    "correct_of_all_pct": "Correct of all attempts, percent: correct / attempts.",
    "run_to_success_pct": "Run to success, percent: correct / runs; may pass 100. Null if no runs.",
    "mean_attempts_per_user": "Mean number of attempts per student: attempts / users.",
    "median_attempts_per_user": "Median number of attempts per student.",
    "new_users": "Students whose first attempt ever (in the course, by course) lies in it.",
    "returning_users": "Students who are not new: users - new_users.",
    "wau": "Distinct students of the 7 days that end with this day.",
    "mau": "Distinct students of the 30 days that end with this day.",
    "stickiness_pct": "Percent: mean daily students of the last 30 days (a day without attempts "
    "counts as 0) / mau.",
    "attempts_trend_pct": "Percent by which attempts differ from the mean of the same weekday in "
    "the four weeks before, of which days without attempts are left out. Null without any.",
    "busiest_hour": "Hour of the day (0 to 23, set zone) with most attempts; of equals, the first.",
    "pairs": "Number of pairs of student and task with an S.",
    "solved_pairs": "Pairs with a correct S.",
    "students": "Number of students with an S.",
    "solvers": "Number of students with a correct S.",
    "first_try_solvers": "Number of students whose first S is correct.",
    "first_try_pct": "First-try success, percent: students whose first S is correct / students "
    "with an S.",
    "first_try_low_pct": "Lower bound of the 95 % Wilson interval of first_try_pct, percent.",
    "first_try_high_pct": "Upper bound of the 95 % Wilson interval of first_try_pct, percent.",
    "solve_pct": "Solve rate, percent: students with a correct S / students with an S.",
    "median_attempts_to_solve": "Median number of S up to the first correct one; solvers only.",
    "p90_attempts_to_solve": "90th percentile (nearest rank) of the S up to the first correct one.",
    "attempts_per_solver": "Number of S / number of solvers.",
    "instant_solvers": "Solvers whose only attempt up to the solution is the solution.",
    "timed_solvers": "Solvers with two or more attempts up to the solution: the n of the times.",
    "instant_pairs": "Solved pairs whose only attempt up to the solution is the solution.",
    "timed_pairs": "Solved pairs with two or more attempts up to the solution: the n of the times.",
    "median_wall_min": "Median wall time to solve, minutes: from the first attempt to the first "
    "correct S; without instant ones.",
    "p90_wall_min": "90th percentile (nearest rank) of the wall time to solve, minutes.",
    "median_active_min": "Median active time to solve, minutes: the sum of the gaps of at most 30 "
    "minutes between attempts up to the first correct S; without instant ones.",
    "p90_active_min": "90th percentile (nearest rank) of the active time to solve, minutes.",
    "stuck": "Pairs of student and task with 5 or more S, none correct, the last within 7 days of "
    "the end of as_of.",
    "gave_up": "Pairs of student and task with 5 or more S, none correct, the last longer ago.",
    "runs_per_submit": "Runs / submits, of attempts with a task.",
    "blind_pct": "Blind share, percent: submits without a run by the student on the task since "
    "their last submit on it / submits.",
    "success_after_run_pct": "Success of S that are not blind, percent.",
    "success_blind_pct": "Success of blind S, percent.",
    "is_ranked": "At least 10 students: the task takes part in the hardest tasks.",
    "difficulty": "hard: first_try_pct under 30; very_easy: over 90; null between, or under 10 "
    "students.",
    "active_students": "Students last active under 7 days before as_of.",
    "at_risk_students": "Students last active 7 to 13 days before as_of.",
    "dropped_students": "Students last active 14 or more days before as_of.",
    "first_day": "Day of the first attempt.",
    "last_day": "Day of the last attempt.",
    "active_days": "Number of days with an attempt.",
    "days_inactive": "Whole days from the last active day to as_of.",
    "activity": "active: inactive for under 7 days; at_risk: 7 to 13; dropped: 14 and over.",
    "cohort_week": "Monday of the ISO week of the first attempt.",
    "week": "Monday of the ISO week of the activity.",
    "weeks_later": "Weeks from cohort_week.",
    "active": "Students of the cohort with an attempt in that week.",
    "active_pct": "Percent: active / students.",
    "is_complete": "False for the running week, which is not over at the end of as_of.",
    "period_days": "Length of the period in days, ending with as_of; 0: all history.",
    "previous_attempts": "attempts of the period before; null for all history.",
    "previous_users": "users of the period before; null for all history.",
    "previous_success_pct": "success_pct of the period before; null for all history.",
    "previous_new_users": "new_users of the period before; null for all history.",
    "first_submit_correct": "The first S is correct. Null without S.",
    "attempts_to_solve": "Number of S up to the first correct one. Null while unsolved.",
    "is_instant": "The solution is the first attempt. Null while unsolved.",
    "wall_min": "Minutes from the first attempt to the first correct S. Null where instant or "
    "unsolved.",
    "active_min": "Minutes in gaps of at most 30 minutes between attempts up to the first correct "
    "S. Null where instant or unsolved.",
    "blind_submits": "Submits without a run since the student's last submit on the task.",
    "blind_graded": "S among blind_submits.",
    "blind_correct": "Correct S among blind_submits.",
    "first_attempt_at": "Instant of the first attempt, naive UTC.",
    "last_attempt_at": "Instant of the last attempt, naive UTC.",
    "last_submit_at": "Instant of the last S, naive UTC. Null without S.",
    "last_submit_day": "Day of the last S, in the set zone. Null without S.",
    "solved_at": "Instant of the first correct S, naive UTC. Null while unsolved.",
    "state": "solved; stuck: 5 or more S, none correct, the last within 7 days of the end of "
    "as_of; gave_up: the last longer ago; trying: the rest.",
}

_OF_PAIRS = {
    "users": "Number of students with an attempt on the task.",
    "submits": "Number of S: submits whose verdict is known.",
    "correct": "Number of correct S on the task.",
}
OWN_WORDS: dict[str, dict[str, str]] = {
    "student_hours": {"course": "The course; '' where it is not known."},
    "student_activity": {"course": "The course; '': all courses together."},
    "retention_counts": {"course": "The course; '': all courses together."},
    "retention": {
        "course": "The course; '': all courses together.",
        "students": "Number of students of the cohort.",
    },
    "figure_11_retention": {"students": "Number of students of the cohort."},
    "heat_map": {"course": "The course; '': all courses together."},
    "heat_map_all_history": {"course": "The course; '': all courses together."},
    "period_statistics": {"course": "The course; '': all courses together."},
    "course_statistics": {"course": "The course; '': all courses together."},
    "figure_02_active_students": {"users": "Daily active students: distinct students of the day."},
    "figure_06_attempts_to_solve": {"submits": _OF_PAIRS["submits"]},
    "figure_08_hardest_tasks": {"submits": _OF_PAIRS["submits"]},
    "task_figures": _OF_PAIRS,
    "task_statistics": _OF_PAIRS,
    "hardest_tasks": _OF_PAIRS,
}


def upgrade() -> None:
    """Makes the tables and views of the figures, each column with its meaning."""
    for statements in (FUNCTIONS, SOURCE, TABLES, TASKS, VIEWS, FIGURES):
        op.execute(statements)
    for relation, meaning in RELATIONS.items():
        _comment(relation, meaning)


def _comment(relation: str, meaning: str) -> None:
    connection = op.get_bind()
    kind, columns = connection.exec_driver_sql(
        "select case relkind when 'v' then 'view' else 'table' end, array_agg(attname::text) "
        "from pg_class join pg_attribute on attrelid = pg_class.oid "
        "where pg_class.oid = to_regclass(%(name)s) and attnum > 0 group by relkind",
        {"name": f"public.{relation}"},
    ).one()
    words = COLUMNS | OWN_WORDS.get(relation, {})
    connection.exec_driver_sql(f"comment on {kind} {relation} is %(text)s", {"text": meaning})
    for column in columns:
        connection.exec_driver_sql(
            f"comment on column {relation}.{column} is %(text)s", {"text": words[column]}
        )
