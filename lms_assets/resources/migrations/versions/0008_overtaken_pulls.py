"""When each pull was asked, whether a later one had overtaken it, and what a mirror deleted."""

from alembic import op

revision = "0008"
down_revision = "0007"

LEDGER = """
alter table load_ledger
    add column deleted bigint not null default 0,
    add column asked_at timestamp,
    add column overtaken boolean not null default false,
    add constraint deleted_have_vanished check (deleted between 0 and vanished);
comment on column load_ledger.deleted is 'Those of vanished that a mirror has deleted.';
comment on column load_ledger.asked_at is
    'When the API was asked, naive UTC; null for rows of versions that did not note it.';
comment on column load_ledger.overtaken is
    'A pull asked later was loaded before: this one changed nothing and is never the newest.'
"""


def upgrade() -> None:
    """Adds the columns to the ledger."""
    op.execute(LEDGER)
