"""Figures 13 to 15: task alarms, discrimination, where students stop."""

from alembic import op

revision = "0007"
down_revision = "0006"

TASK_DAYS = """
create table task_days (
    day date not null,
    oauth_consumer_key text not null,
    course text not null,
    task text not null,
    students integer not null,
    solved integer not null,
    is_tested boolean not null default false,
    primary key (day, oauth_consumer_key, course, task)
);
create table task_alarms (
    day date not null,
    oauth_consumer_key text not null,
    course text not null,
    task text not null,
    kind text not null check (kind in ('collapsed', 'surged')),
    students integer not null,
    solved integer not null,
    solved_pct double precision not null,
    usual_pct double precision not null,
    usual_student_days integer not null,
    usual_solved integer not null,
    q double precision not null,
    since date not null,
    primary key (day, oauth_consumer_key, course, task)
)
"""

TASK_DISCRIMINATION = """
create table task_discrimination (
    oauth_consumer_key text not null,
    course text not null,
    task text not null,
    compared_students bigint not null,
    discrimination double precision not null,
    primary key (oauth_consumer_key, course, task)
)
"""

# The next refresh computes all anew, since the figures' definition has changed.
LAST_TASKS = """
alter table student_activity
    add column last_consumer_key text,
    add column last_task text
"""


def upgrade() -> None:
    """Makes the tables."""
    for statements in (TASK_DAYS, TASK_DISCRIMINATION, LAST_TASKS):
        op.execute(statements)
