"""Letters by other ways than mail, and to other people than RECIPIENTS_EMAILS."""

from alembic import op

revision = "0005"
down_revision = "0004"

CHANNELS = """
alter table letters
    add column channel text not null default 'mail',
    add column recipients jsonb,
    add column language text
"""

ONCE = """
drop index letters_once;
create unique index letters_once on letters (channel, kind, coalesce(batch, run_id))
"""


def upgrade() -> None:
    """Adds the columns; a run's notice is there once for each channel."""
    for statement in (CHANNELS, ONCE):
        op.execute(statement)
