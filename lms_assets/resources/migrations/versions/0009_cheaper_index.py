"""Attempts are found by their day through a BRIN index: 100 kB instead of a third of the table.

The attempts of a day are loaded at once and so lie side by side. ``autosummarize`` has the pages
of a new day entered without waiting for a vacuum of the whole table.
"""

from alembic import op

revision = "0009"
down_revision = "0008"

UPGRADE = """
drop index attempts_created_at;
create index attempts_created_at on attempts using brin (created_at)
    with (pages_per_range = 32, autosummarize = on)
"""


def upgrade() -> None:
    """Puts the one index in the place of the other."""
    op.execute(UPGRADE)
