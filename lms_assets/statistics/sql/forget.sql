-- Afterwards every table of computed figures is empty. The rows are deleted instead of truncated:
-- a truncate would make other sessions wait or see empty tables. After a delete they read the
-- earlier figures until the transaction commits.
delete from student_hours;
delete from student_activity;
delete from daily_figures;
delete from retention_counts;
delete from student_task_statistics;
delete from task_statistics;
delete from task_days;
delete from task_alarms;
delete from task_discrimination
