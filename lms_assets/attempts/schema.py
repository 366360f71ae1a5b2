"""What a clean attempt is: its columns, their types, the values allowed.

Declared once, as a dagster-pandas type; the Parquet file's schema and what
the asset's page shows of the columns are built from the same declaration.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

import pandas as pd
import pyarrow as pa
from dagster import BetaWarning, TableColumn, TableColumnConstraints, TableSchema
from dagster_pandas import PandasColumn, create_dagster_pandas_dataframe_type
from dagster_pandas.constraints import (
    ColumnConstraint,
    ColumnConstraintViolationException,
    ConstraintViolationException,
    StrictColumnsConstraint,
)

from lms_assets.days import Window

__all__ = [
    "ARROW_SCHEMA",
    "ATTEMPT_COLUMNS",
    "ATTEMPT_TYPES",
    "REJECTED_SCHEMA",
    "CleanedAttempts",
    "NotCleanAttempts",
    "Window",
    "check_frame",
    "column_descriptions",
    "no_attempts",
]

ATTEMPT_TYPES: Final = ("run", "submit")


class NotCleanAttempts(ValueError):  # noqa: N818 - a fact about the frame
    """A frame that is about to be stored is not what a clean attempt is declared to be.

    Args:
        columns: The columns that fail; never a value of theirs.
    """

    def __init__(self, columns: list[str]) -> None:
        self.columns = columns
        super().__init__(f"these columns are not as declared: {', '.join(columns)}")


class _Holds(ColumnConstraint):
    """A constraint that, broken, names the column alone.

    Those of dagster-pandas put the offending rows into their message, and so a
    student's record into an event.
    """

    def __init__(self, description: str, holds: "Callable[[pd.Series[Any]], bool]") -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            error_description=description, markdown_description=description
        )
        self._holds = holds

    def validate(self, dataframe: pd.DataFrame, column_name: str) -> None:
        """Nothing happens where it holds.

        Raises:
            ColumnConstraintViolationException: It does not.
        """
        if not self._holds(dataframe[column_name]):
            raise ColumnConstraintViolationException(
                constraint_name=self.name,
                constraint_description=self.error_description,
                column_name=column_name,
            )


@dataclass(frozen=True)
class _Column:
    """One column of a clean attempt.

    Args:
        name: As in the table ``attempts``.
        dtype: Of pandas.
        arrow_type: Of the Parquet file.
        description: What it says, for the people who read the asset's page.
        is_nullable: Whether it may be missing.
        constraints: What else must hold of it.
    """

    name: str
    dtype: str
    arrow_type: pa.DataType
    description: str
    is_nullable: bool = True
    constraints: tuple[_Holds, ...] = ()

    def for_pandas(self) -> PandasColumn:
        """The column as dagster-pandas checks it."""
        constraints = [
            _Holds(f"has the type {self.dtype}", lambda values: values.dtype == self.dtype),
            *([] if self.is_nullable else [_Holds("is never missing", _is_never_missing)]),
            *self.constraints,
        ]
        return PandasColumn(self.name, constraints=constraints)

    def for_arrow(self) -> pa.Field:
        """The column as the Parquet file declares it."""
        return pa.field(self.name, self.arrow_type, nullable=self.is_nullable)

    def for_dagster(self) -> TableColumn:
        """The column as the asset's page shows it."""
        return TableColumn(
            self.name,
            type=str(self.arrow_type),
            description=self.description,
            constraints=TableColumnConstraints(
                nullable=self.is_nullable,
                other=[constraint.error_description for constraint in self.constraints],
            ),
        )


def _is_never_missing(values: "pd.Series[Any]") -> bool:
    return not values.isna().any()


def _is_a_type_of_attempt(values: "pd.Series[Any]") -> bool:
    return bool(values.isin(ATTEMPT_TYPES).all())


def _is_a_user_id(values: "pd.Series[Any]") -> bool:
    return bool(values.dropna().str.len().between(1, 255).all())


def _text(name: str, description: str, *constraints: _Holds, is_nullable: bool = True) -> _Column:
    return _Column(name, "string[pyarrow]", pa.string(), description, is_nullable, constraints)


_COLUMNS: Final = (
    _text(
        "user_id",
        "The student, as the grader names them: 1 to 255 characters, exactly as received.",
        _Holds("has 1 to 255 characters", _is_a_user_id),
        is_nullable=False,
    ),
    _text("oauth_consumer_key", "The LTI consumer that launched the task; empty text is a value."),
    _text("lis_result_sourcedid", "Where the mark goes back to, as received."),
    _text("lis_outcome_service_url", "The address that takes the mark, as received."),
    _Column(
        "is_correct",
        "boolean",
        pa.bool_(),
        "The verdict of a submit; missing for a run and for a submit that is ungraded.",
    ),
    _text(
        "attempt_type",
        "`run`: the code was tried out; `submit`: it was handed in for a mark.",
        _Holds("is run or submit", _is_a_type_of_attempt),
        is_nullable=False,
    ),
    _Column(
        "created_at",
        "datetime64[us]",
        pa.timestamp("us"),
        "When the attempt was made: UTC without a zone, microseconds.",
        is_nullable=False,
    ),
    _text("course", "The course, cut out of `lis_result_sourcedid`; missing where it names none."),
    _text("task", "The task, cut out of `lis_result_sourcedid`; missing where it names none."),
)

ATTEMPT_COLUMNS: Final = tuple(column.name for column in _COLUMNS)

ARROW_SCHEMA: Final = pa.schema([column.for_arrow() for column in _COLUMNS])

REJECTED_SCHEMA: Final = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("reason", "field", "record")]
)

with warnings.catch_warnings():
    # dagster-pandas is beta as a whole, and is what declares frames to Dagster.
    warnings.simplefilter("ignore", BetaWarning)
    _PANDAS_COLUMNS: Final = [column.for_pandas() for column in _COLUMNS]
    CleanedAttempts: Final = create_dagster_pandas_dataframe_type(
        name="CleanedAttempts",
        description=(
            "One row per attempt. Key: `user_id`, `attempt_type`, `created_at`. "
            "In the order received.\n\n"
            + "\n".join(f"- `{column.name}`: {column.description}" for column in _COLUMNS)
        ),
        columns=_PANDAS_COLUMNS,
        dataframe_constraints=[
            StrictColumnsConstraint(list(ATTEMPT_COLUMNS), enforce_ordering=True)
        ],
    )


def column_descriptions() -> TableSchema:
    """The columns as the asset's page shows them."""
    return TableSchema([column.for_dagster() for column in _COLUMNS])


def check_frame(frame: pd.DataFrame) -> None:
    """The frame is clean attempts, as the type ``CleanedAttempts`` declares them.

    Raises:
        NotCleanAttempts: It is not; says which columns, and none of their values.
    """
    # The type does not look at the context that Dagster would give it.
    if not CleanedAttempts.type_check(cast(Any, None), frame).success:
        raise NotCleanAttempts(_failing_columns(frame))


def _failing_columns(frame: pd.DataFrame) -> list[str]:
    failing = [column.name for column in _PANDAS_COLUMNS if not _is_as_declared(column, frame)]
    return failing or ["their names and their order"]


def _is_as_declared(column: PandasColumn, frame: pd.DataFrame) -> bool:
    try:
        column.validate(frame)
    except ConstraintViolationException:
        return False
    return True


def no_attempts() -> pd.DataFrame:
    """A frame of clean attempts without a row."""
    return pd.DataFrame({column.name: pd.Series(dtype=column.dtype) for column in _COLUMNS})
