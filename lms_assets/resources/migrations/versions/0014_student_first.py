"""The rows of a student have keys that begin with the student, so one index less finds them.

A key that began with the course, or with the day, needed a second index by student. The students
of a first day are found by the week of their cohort.
"""

from alembic import op

revision = "0014"
down_revision = "0013"

UPGRADE = """
alter table student_activity
    drop constraint student_activity_pkey,
    add primary key (user_id, course);
drop index student_activity_user;
drop index student_activity_cohort;
drop index student_activity_first_day;
create index student_activity_cohort on student_activity (cohort_week, course);
alter table student_hours
    drop constraint student_hours_pkey,
    add primary key (user_id, day, hour, course);
drop index student_hours_user;
create index student_hours_day on student_hours (day)
"""


def upgrade() -> None:
    """Puts the new keys in the place of the old ones."""
    op.execute(UPGRADE)
