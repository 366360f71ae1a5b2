-- Three roles for a PostgreSQL that others administer. An administrator runs this once, in the
-- database that DB_NAME will name (CREATE DATABASE lms ENCODING 'UTF8' TEMPLATE template0),
-- and gives the roles passwords: ALTER ROLE lms_loader PASSWORD '…'.
--
--   lms_owner    makes and changes the tables: DB_USER of ./lms doctor after each new version
--   lms_loader   loads, computes, publishes: DB_USER of ./lms up, run, backfill
--   lms_reader   reads attempts, ledger and figures: ./lms query, Metabase and the like

create role lms_owner login;
create role lms_loader login;
create role lms_reader login;
alter role lms_reader set default_transaction_read_only = on;

revoke create on schema public from public;
grant usage, create on schema public to lms_owner;
grant usage on schema public to lms_loader, lms_reader;

-- Whatever the owner makes, the loader may use.
alter default privileges for role lms_owner in schema public
    grant select, insert, update, delete, truncate on tables to lms_loader;
alter default privileges for role lms_owner in schema public
    grant usage, select on sequences to lms_loader;

-- Dagster's runs, events and schedules; the owner's doctor looks there too.
create schema dagster authorization lms_loader;
grant lms_loader to lms_owner;
grant usage on schema dagster to lms_reader;
