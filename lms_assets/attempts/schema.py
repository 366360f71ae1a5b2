"""The columns of a clean attempt as Dagster shows them, and as they are checked."""

import pyarrow as pa
from dagster import TableColumn, TableColumnConstraints, TableSchema

from lms_assets.attempts.columns import COLUMNS, Column


class NotCleanAttempts(ValueError):  # noqa: N818 - a fact about the frame
    """Attempts that are about to be stored are not what a clean attempt is declared to be.

    Args:
        columns: The columns that fail; never a value of theirs.
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
    """The columns as the asset's page shows them."""
    return TableSchema([_for_dagster(column) for column in COLUMNS])


def check_table(table: pa.Table) -> None:
    """The table is clean attempts, as the type ``CleanedAttempts`` declares their frame.

    Raises:
        NotCleanAttempts: It is not; says which columns, and none of their values.
    """
    from lms_assets.attempts.frames import failing_columns

    failing = failing_columns(table)
    if failing:
        raise NotCleanAttempts(failing)
