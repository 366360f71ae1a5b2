"""The index of attempts by their day bears rows of other days in the holes of a day.

A changed attempt leaves a hole, and an attempt of another day may fill it. One such row widens
the block range of plain BRIN to all days between. ``minmax_multi`` keeps such a row apart.
"""

from alembic import op

revision = "0012"
down_revision = "0011"

UPGRADE = """
drop index attempts_created_at;
create index attempts_created_at on attempts
    using brin (created_at timestamp_minmax_multi_ops)
    with (pages_per_range = 32, autosummarize = on)
"""


def upgrade() -> None:
    """Puts the one index in the place of the other."""
    op.execute(UPGRADE)
