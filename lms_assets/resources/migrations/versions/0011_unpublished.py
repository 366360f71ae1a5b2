"""Changed figures that the sheet or the page does not show yet; letters are found by their day."""

from alembic import op

revision = "0011"
down_revision = "0010"

UPGRADE = """
create table unpublished_changes (
    id bigint generated always as identity primary key,
    place text not null,
    marked_at timestamptz not null default now()
);
comment on table unpublished_changes is
    'Marks of changed figures that the sheet or the page (place) does not show yet.';
create index letters_day on letters (day);
create index letters_run on letters (run_id)
"""


def upgrade() -> None:
    """Adds the table and the indexes."""
    op.execute(UPGRADE)
