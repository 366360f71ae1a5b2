"""The dagster-pandas type of a frame with clean attempts."""

import warnings
from typing import Any, Final, cast

import pandas as pd
import pyarrow as pa
from dagster import BetaWarning
from dagster_pandas import PandasColumn, create_dagster_pandas_dataframe_type
from dagster_pandas.constraints import (
    ColumnConstraint,
    ColumnConstraintViolationException,
    ConstraintViolationException,
    StrictColumnsConstraint,
)

from lms_assets.attempts.columns import ATTEMPT_COLUMNS, COLUMNS, Column

# Texts stay in Arrow's memory, and columns of the other types can have missing values.
_EXTENSIONS: Final = {
    pa.string(): pd.StringDtype("pyarrow"),
    pa.bool_(): pd.BooleanDtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.float64(): pd.Float64Dtype(),
}
_DTYPES: Final = {**_EXTENSIONS, pa.timestamp("us"): "datetime64[us]"}


class _AsDeclared(ColumnConstraint):
    """The column is as ``columns.py`` declares it; the message of a failure names only the column.

    The constraints of dagster-pandas are not used: they put the failing rows into the message, so
    a student's record would stand in an event.
    """

    def __init__(self, column: Column) -> None:
        description = "; ".join(column.descriptions) or f"is {column.arrow_type}"
        super().__init__(  # type: ignore[no-untyped-call]
            error_description=description, markdown_description=description
        )
        self._column = column

    def validate(self, dataframe: pd.DataFrame, column_name: str) -> None:
        """The column of the frame is as declared.

        Raises:
            ColumnConstraintViolationException: The column has another type, or a value breaks a
                condition.
        """
        values = dataframe[column_name]
        if values.dtype == _DTYPES[self._column.arrow_type]:
            array = pa.array(values, self._column.arrow_type, from_pandas=True)
            if self._column.is_as_declared(array):
                return
        raise ColumnConstraintViolationException(
            constraint_name=self.name,
            constraint_description=self.error_description,
            column_name=column_name,
        )


with warnings.catch_warnings():
    # All of dagster-pandas is marked as beta.
    warnings.simplefilter("ignore", BetaWarning)
    _PANDAS_COLUMNS: Final = [
        PandasColumn(column.name, constraints=[_AsDeclared(column)]) for column in COLUMNS
    ]
    CleanedAttempts: Final = create_dagster_pandas_dataframe_type(
        name="CleanedAttempts",
        description=(
            "One row per attempt. Key: `user_id`, `attempt_type`, `created_at`. "
            "Rows are in the order received.\n\n"
            + "\n".join(f"- `{column.name}`: {column.description}" for column in COLUMNS)
        ),
        columns=_PANDAS_COLUMNS,
        dataframe_constraints=[
            StrictColumnsConstraint(list(ATTEMPT_COLUMNS), enforce_ordering=True)
        ],
    )


def failing_columns(table: pa.Table) -> list[str]:
    """The columns of the table that are not as ``CleanedAttempts`` declares them."""
    frame = table.to_pandas(types_mapper=_EXTENSIONS.get)
    # The type check does not use the context, so None stands for it.
    if CleanedAttempts.type_check(cast(Any, None), frame).success:
        return []
    failing = [column.name for column in _PANDAS_COLUMNS if not _is_as_declared(column, frame)]
    return failing or ["their names and their order"]


def _is_as_declared(column: PandasColumn, frame: pd.DataFrame) -> bool:
    try:
        column.validate(frame)
    except ConstraintViolationException:
        return False
    return True
