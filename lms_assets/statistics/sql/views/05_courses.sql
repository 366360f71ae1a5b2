-- Afterwards course_statistics has a row per course, and one with course '' for all courses
-- together: figures 3 to 11 over the whole history. overall_statistics has only the row for all
-- courses. Figures 4 to 10 count pairs of a student and a task here.

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
), pair_figures as (
    select level.course as course_or_all,
    /* figures_of_pairs.sql */
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
left join pair_figures t on t.course_or_all = v.course;

create view overall_statistics (all_courses) as select * from course_statistics where course = '';
