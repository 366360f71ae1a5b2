"""The columns of clean attempts as Dagster shows them, and the check of a table against them."""

import pyarrow as pa
from dagster import TableColumn, TableColumnConstraints, TableSchema

from lms_assets.attempts.columns import COLUMNS, Column


class NotCleanAttempts(ValueError):  # noqa: N818 - a fact about the frame
    """Columns of a table of attempts are not as ``columns.py`` declares them.

    Args:
        columns: The names of the failing columns; no values, which may be of students.
    """

    def __init__(self, columns: list[str]) -> None:
        self.columns = columns
        super().__init__(f"these columns are not as declared: {', '.join(columns)}")


def _for_dagster(column: Column) -> TableColumn:
    others = [constraint.description for constraint in column.constraints]
    return TableColumn(
        column.name,
        type=str(column.arrow_type),
        description=column.description,
        constraints=TableColumnConstraints(nullable=column.is_nullable, other=others),
    )


def column_descriptions() -> TableSchema:
    """The columns for the asset's page in Dagster."""
    return TableSchema([_for_dagster(column) for column in COLUMNS])


def check_table(table: pa.Table) -> None:
    """The columns of the table are as the dagster-pandas type ``CleanedAttempts`` declares them.

    Raises:
        NotCleanAttempts: Some columns are not; the message has their names and no values.
    """
    from lms_assets.attempts.frames import failing_columns

    failing = failing_columns(table)
    if failing:
        raise NotCleanAttempts(failing)
