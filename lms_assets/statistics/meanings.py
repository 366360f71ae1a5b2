"""What each relation, column and function of the figures means: the comments in the database."""

RELATIONS = {
    "figure_settings": "One row: what every figure depends on besides the attempts. Written by the "
    "refresh; a figure is never a matter of the clock.",
    "staff": "One row per user who is left out of every figure (LMS_STAFF). Key: user_id.",
    "zone_offsets": "One row per stretch of time in which the zone's clocks are one offset ahead "
    "of UTC, by the tzdata package. Key: starts.",
    "counted_attempts": "One row per attempt that is not by staff. Every figure is made from it.",
    "student_attempts": "One row per attempt that counts: not by staff, up to the end of as_of, "
    "with its day and hour.",
    "student_hours": "Attempts by student, course, day and hour, in the set zone. "
    "Key: day, hour, course, user_id. On a day of 25 hours the repeated hour is one row.",
    "student_activity": "What a student did in a course over the whole history. "
    "Key: course ('' = all courses together), user_id.",
    "daily_figures": "Figures 1, 2 and 3 by day and course; a row for each day with attempts. "
    "Key: day, course ('' = all courses together).",
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
    "task_days": "Student-days of a task: students with an S on it on a day. Key: day, "
    "oauth_consumer_key, course, task.",
    "task_alarms": "Figure 13: a row per day and task in alarm. Key: day, "
    "oauth_consumer_key, course, task. Only days on which the task was tested have one.",
    "task_discrimination": "Figure 14, tasks with at least 30 students compared. "
    "Key: oauth_consumer_key, course, task.",
    "task_stops": "Figure 15, courses with at least 10 dropped students. "
    "Key: oauth_consumer_key, course, task.",
    "figure_13_task_alarms": "Figure 13, every alarm, the newest day first.",
    "figure_14_discrimination": "Figure 14 by task, the lowest first.",
    "figure_15_where_students_stop": "Figure 15 by course and task.",
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
    "kind": "collapsed: far fewer students solve it than usual; surged: far more.",
    "solved": "Student-days with a correct S on that day, whatever came before.",
    "solved_pct": "Percent: solved / students.",
    "usual_pct": "Percent: solved student-days of the 28 days before, without days in alarm.",
    "usual_student_days": "Student-days of the 28 days before, without days in alarm.",
    "usual_solved": "Solved ones of usual_student_days.",
    "q": "Probability of so few (collapsed) or many (surged) solved by chance: Fisher's exact "
    "test, one-sided, adjusted by Benjamini and Hochberg for both sides of every task "
    "tested that day.",
    "since": "First day of the alarm.",
    "is_tested": "The day has at least 8 student-days of the task, and the usual at least 20.",
    "compared_students": "Students with an S on the task and on at least 5 others of the "
    "course: n.",
    "discrimination": "Pearson correlation of first-try success on the task with the student's "
    "mean first-try success on the other tasks of the course.",
    "discrimination_low": "Lower bound of the 95 % interval (Fisher's z) of discrimination.",
    "discrimination_high": "Upper bound of the 95 % interval (Fisher's z) of discrimination.",
    "discrimination_state": "negative: discrimination_high is under 0, check the task; weak: under "
    "0.10; fair: under 0.30; good: from 0.30.",
    "stopped": "Dropped students of the course whose last attempt in it was on the task.",
    "stopped_solvers": "Those of stopped who ever solved the task.",
    "dropped_students": "Students last active 14 or more days before as_of; by task: in its "
    "course.",
    "stopped_pct": "Percent: stopped / dropped_students.",
    "last_consumer_key": "oauth_consumer_key of last_task.",
    "last_task": "The task of the student's last attempt in the course; null without one.",
    "definition": "Hash of the SQL that computed the figures. Under another one all are computed "
    "anew.",
    "starts": "First instant of the stretch, naive UTC.",
    "ends": "First instant after the stretch, naive UTC.",
    "ahead": "By how much the zone's clocks are ahead of UTC.",
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
    "last_is_run": "The last attempt is a run: a submit that follows is not blind.",
    "last_submit_at": "Instant of the last S, naive UTC. Null without S.",
    "last_submit_day": "Day of the last S, in the set zone. Null without S.",
    "solved_at": "Instant of the first correct S, naive UTC. Null while unsolved.",
    "state": "solved; stuck: 5 or more S, none correct, the last within 7 days of the end of "
    "as_of; gave_up: the last longer ago; trying: the rest.",
}

OF_PAIRS = {
    "users": "Number of students with an attempt on the task.",
    "submits": "Number of S: submits whose verdict is known.",
    "correct": "Number of correct S on the task.",
}
OWN_WORDS: dict[str, dict[str, str]] = {
    "task_days": {"students": "Student-days: students with an S on the task on the day."},
    "task_alarms": {"students": "Student-days: students with an S on the task on the day."},
    "figure_13_task_alarms": {
        "students": "Student-days: students with an S on the task on the day."
    },
    "student_task_statistics": {
        "active": "Sum of the gaps of at most 30 minutes between attempts, up to the first correct "
        "S or, while unsolved, so far.",
    },
    "student_hours": {"course": "The course; '' where it is not known."},
    "daily_figures": {"course": "The course; '': all courses together."},
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
    "figure_06_attempts_to_solve": {"submits": OF_PAIRS["submits"]},
    "figure_08_hardest_tasks": {"submits": OF_PAIRS["submits"]},
    "task_figures": OF_PAIRS,
    "task_statistics": OF_PAIRS,
    "hardest_tasks": OF_PAIRS,
}

# The comments of functions.
FUNCTIONS = {
    "share_pct": "part of whole in percent; null where whole is 0.",
    "ratio": "total per number; null where number is 0.",
    "wilson_pct": "Bound of the 95 % Wilson interval of successes / trials in percent: "
    "side -1 lower, 1 upper.",
    "week_of": "The Monday of the ISO week that a day lies in.",
    "student_task_state": "stuck: five or more graded submits, none correct, the last within "
    "7 days of the end of as_of.",
    "discrimination_bound": "Bound of the 95 % interval of a correlation by Fisher's z: side -1 "
    "lower, 1 upper.",
    "discrimination_state": "negative: the upper bound is under 0; weak: under 0.10; fair: under "
    "0.30; good: from 0.30.",
    "student_activity_state": "active: inactive for under 7 days; at_risk: 7 to 13; "
    "dropped: 14 and over.",
}
