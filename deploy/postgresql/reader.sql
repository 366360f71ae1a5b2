-- What lms_reader sees: attempts, ledger and figures; not the refused records, not the letters,
-- not the erased, not Dagster's tables. The owner of the tables runs this after ./lms doctor has
-- made them, and again after a new version that brings new views. It may be run any number of times.

grant select on
    attempts, load_ledger, lagging_days, figure_settings, staff, student_hours, student_activity,
    daily_figures, retention_counts, student_task_statistics, task_statistics, task_days,
    task_alarms, task_discrimination, lms_assets_version, repeatable_objects
to lms_reader;

do $$
declare shown text;
begin
    for shown in select format('grant select on public.%I to lms_reader', relname)
        from pg_class where relnamespace = 'public'::regnamespace and relkind = 'v'
    loop
        execute shown;
    end loop;
end $$;
