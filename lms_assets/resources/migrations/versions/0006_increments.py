"""Figures by increments: what a pair's next attempts need to know of those before.

``zone_offsets`` stands in the place of the zone's name, which PostgreSQL may understand by another
edition of the zone database. The index by task has no reader left.
"""

from alembic import op

revision = "0006"
down_revision = "0005"

# The next refresh counts every pair anew, since the figures' definition has changed.
UPGRADE = """
create table zone_offsets (
    starts timestamp primary key,
    ends timestamp not null,
    ahead interval not null
);
alter table student_task_statistics
    add column active interval not null default '0',
    add column last_is_run boolean not null default false;
drop index attempts_task
"""


def upgrade() -> None:
    """Makes the table and the columns."""
    op.execute(UPGRADE)
