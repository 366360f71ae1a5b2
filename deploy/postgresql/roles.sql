-- Afterwards three roles and the schema of Dagster exist in a PostgreSQL that others administer.
-- An administrator runs this script once, in the database that DB_NAME will name
-- (CREATE DATABASE lms ENCODING 'UTF8' TEMPLATE template0). Then the administrator gives each role a
-- password: ALTER ROLE lms_loader PASSWORD '…'. reader.sql later gives lms_reader its rights.
--
--   lms_owner    makes and changes the tables: DB_USER of ./lms doctor after each new version
--   lms_loader   loads, computes, publishes: DB_USER of ./lms up, run, backfill
--   lms_reader   reads attempts, ledger and figures: ./lms query, Metabase and similar programs

create role lms_owner login;
create role lms_loader login;
create role lms_reader login;
alter role lms_reader set default_transaction_read_only = on;

revoke create on schema public from public;
grant usage, create on schema public to lms_owner;
grant usage on schema public to lms_loader, lms_reader;

-- The loader gets these rights on every table and sequence that the owner makes later.
alter default privileges for role lms_owner in schema public
    grant select, insert, update, delete, truncate on tables to lms_loader;
alter default privileges for role lms_owner in schema public
    grant usage, select on sequences to lms_loader;

-- Dagster makes its tables of runs, events and schedules here. The owner becomes a member of
-- lms_loader, because ./lms doctor reads these tables too.
create schema dagster authorization lms_loader;
grant lms_loader to lms_owner;
grant usage on schema dagster to lms_reader;
