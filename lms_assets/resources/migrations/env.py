"""Runs the migrations on the connection that the warehouse hands over."""

from alembic import context

VERSION_TABLE = "lms_assets_version"

context.configure(
    connection=context.config.attributes["connection"],
    version_table=VERSION_TABLE,
    version_table_schema="public",
)
with context.begin_transaction():
    context.run_migrations()
