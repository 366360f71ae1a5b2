-- Afterwards the role lms_reader can read the attempts, the ledger and the figures. It cannot read
-- the refused records, the letters, the hashes of erased students and Dagster's tables.
-- The owner of the tables runs this script after ./lms doctor has made the tables, and again after a
-- new version that has new views. It may be run any number of times.

grant select on
    attempts, load_ledger, lagging_days, figure_settings, staff, student_hours, student_activity,
    daily_figures, retention_counts, student_task_statistics, task_statistics, task_days,
    task_alarms, task_discrimination, lms_assets_version, repeatable_objects
to lms_reader;

do $$
declare statement text;
begin
    for statement in select format('grant select on public.%I to lms_reader', relname)
        from pg_class where relnamespace = 'public'::regnamespace and relkind = 'v'
    loop
        execute statement;
    end loop;
end $$;
