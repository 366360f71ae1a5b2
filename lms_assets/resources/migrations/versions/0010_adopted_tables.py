"""The tables of earlier systems that adoption renamed: erasing looks into these, and no others."""

from alembic import op

revision = "0010"
down_revision = "0009"

ADOPTED_TABLES = """
create table adopted_tables (
    name text primary key,
    source text not null,
    adopted_at timestamptz not null default now()
);
comment on table adopted_tables is
    'The tables of earlier systems, by the names under which adoption keeps them in public.'
"""

# Those that were adopted before this list was kept: by the name and the columns that adoption left.
ADOPTED_BEFORE = r"""
insert into adopted_tables (name, source)
select c.relname,
    case when c.relname like 'attempts%' then 'lms_analytics_pipeline' else 'etl_project' end
from pg_class c
where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'
  and c.relname ~ '^(attempts|lms_database)_before_adoption(_[0-9]+)?$'
  and (
    select count(*) from pg_attribute a
    where a.attrelid = c.oid and not a.attisdropped
      and a.atttypid in ('text'::regtype, 'character varying'::regtype)
      and a.attname in ('user_id', 'lis_result_sourcedid')) = 2
"""


def upgrade() -> None:
    """Makes the list, with what was adopted already."""
    for statement in (ADOPTED_TABLES, ADOPTED_BEFORE):
        op.execute(statement)
