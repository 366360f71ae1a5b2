"""The frame of clean attempts as a type of dagster-pandas."""

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

# Of frames: texts stay where Arrow has them, and a missing verdict is missing.
_EXTENSIONS: Final = {pa.string(): pd.StringDtype("pyarrow"), pa.bool_(): pd.BooleanDtype()}
_DTYPES: Final = {**_EXTENSIONS, pa.timestamp("us"): "datetime64[us]"}


class _AsDeclared(ColumnConstraint):
    """The column is as ``columns.py`` declares it; broken, it names the column alone.

    Those of dagster-pandas put the offending rows into their message, and so a
    student's record into an event.
    """

    def __init__(self, column: Column) -> None:
        says = "; ".join(column.descriptions) or f"is {column.arrow_type}"
        super().__init__(  # type: ignore[no-untyped-call]
            error_description=says, markdown_description=says
        )
        self._column = column

    def validate(self, dataframe: pd.DataFrame, column_name: str) -> None:
        """Nothing happens where it holds.

        Raises:
            ColumnConstraintViolationException: It does not.
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
    # dagster-pandas is beta as a whole, and is what declares frames to Dagster.
    warnings.simplefilter("ignore", BetaWarning)
    _PANDAS_COLUMNS: Final = [
        PandasColumn(column.name, constraints=[_AsDeclared(column)]) for column in COLUMNS
    ]
    CleanedAttempts: Final = create_dagster_pandas_dataframe_type(
        name="CleanedAttempts",
        description=(
            "One row per attempt. Key: `user_id`, `attempt_type`, `created_at`. "
            "In the order received.\n\n"
            + "\n".join(f"- `{column.name}`: {column.description}" for column in COLUMNS)
        ),
        columns=_PANDAS_COLUMNS,
        dataframe_constraints=[
            StrictColumnsConstraint(list(ATTEMPT_COLUMNS), enforce_ordering=True)
        ],
    )


def failing_columns(table: pa.Table) -> list[str]:
    """Which columns are not as ``CleanedAttempts`` declares them; none where all are."""
    frame = table.to_pandas(types_mapper=_EXTENSIONS.get)
    # The type does not look at the context that Dagster would give it.
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
