"""What all machines of an installation must have set alike, as `./lms up` has it."""

from alembic import op

revision = "0013"
down_revision = "0012"

UPGRADE = """
create table agreed_settings (
    name text primary key,
    value text not null
);
comment on table agreed_settings is
    'What workers must have set as ./lms up has it; of what nobody should read, a hash.'
"""


def upgrade() -> None:
    """Adds the table."""
    op.execute(UPGRADE)
