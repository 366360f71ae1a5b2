"""The columns of a clean attempt: their types and the allowed values, declared once.

The schema of the Parquet files, the dagster-pandas type, the columns on the asset's page in
Dagster, and the lists of columns in the SQL of merge, quarantine and adoption are made from this
declaration.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

ATTEMPT_TYPES: Final = ("run", "submit")
MAX_USER_ID_LENGTH: Final = 255


@dataclass(frozen=True)
class Constraint:
    """A condition on the values of a column; missing values satisfy it.

    Args:
        description: The condition in words, for the asset's page in Dagster.
        holds: Whether all values satisfy the condition.
    """

    description: str
    holds: Callable[[pa.Array | pa.ChunkedArray], bool]


@dataclass(frozen=True)
class Column:
    """One column of a clean attempt.

    Args:
        name: The name in the table ``attempts``.
        arrow_type: The type in the Parquet file.
        api_key: The key of the API's record whose value the column is read from.
        description: The meaning, for the asset's page in Dagster.
        is_nullable: Whether values may be missing.
        is_derived: Whether cleaning reads the column out of another column.
        constraints: Further conditions on the values.
    """

    name: str
    arrow_type: pa.DataType
    api_key: str
    description: str
    is_nullable: bool = True
    is_derived: bool = False
    constraints: tuple[Constraint, ...] = ()

    @property
    def field(self) -> str:
        """What a refused record's ``field`` says if this column's value is the reason."""
        return self.name if self.api_key == PASSBACK else self.api_key

    @property
    def descriptions(self) -> list[str]:
        """All conditions on the column, in words."""
        never_missing = [] if self.is_nullable else ["is never missing"]
        return [*never_missing, *(constraint.description for constraint in self.constraints)]

    def is_as_declared(self, values: pa.Array | pa.ChunkedArray) -> bool:
        """Whether the values have the column's type and satisfy all its conditions."""
        return (
            values.type == self.arrow_type
            and (self.is_nullable or not values.null_count)
            and all(constraint.holds(values) for constraint in self.constraints)
        )


def _is_a_type_of_attempt(values: pa.Array | pa.ChunkedArray) -> bool:
    types = pa.array(ATTEMPT_TYPES, pa.string())
    return bool(pc.all(pc.is_in(values.drop_null(), types), min_count=0).as_py())


def _is_a_user_id(values: pa.Array | pa.ChunkedArray) -> bool:
    lengths = pc.min_max(pc.utf8_length(values)).as_py()
    return lengths["min"] is None or 1 <= lengths["min"] <= lengths["max"] <= MAX_USER_ID_LENGTH


PASSBACK: Final = "passback_params"

# Raise it with every change of the columns: days cleaned before are then stale.
COLUMNS_VERSION: Final = 0

COLUMNS: Final = (
    Column(
        "user_id",
        pa.string(),
        "lti_user_id",
        "The grader's id of the student: 1 to 255 characters, exactly as received.",
        is_nullable=False,
        constraints=(Constraint("has 1 to 255 characters", _is_a_user_id),),
    ),
    Column(
        "oauth_consumer_key",
        pa.string(),
        PASSBACK,
        "The LTI consumer that launched the task. An empty text is a value, not a missing one.",
    ),
    Column(
        "lis_result_sourcedid",
        pa.string(),
        PASSBACK,
        "The place in the LMS that the mark goes to, as received.",
    ),
    Column(
        "lis_outcome_service_url",
        pa.string(),
        PASSBACK,
        "The URL that receives the mark, as received.",
    ),
    Column(
        "is_correct",
        pa.bool_(),
        "is_correct",
        "The verdict of a submit. Missing for runs and for ungraded submits.",
    ),
    Column(
        "attempt_type",
        pa.string(),
        "attempt_type",
        "`run`: the student tried the code out; `submit`: the student handed it in for a mark.",
        is_nullable=False,
        constraints=(Constraint("is run or submit", _is_a_type_of_attempt),),
    ),
    Column(
        "created_at",
        pa.timestamp("us"),
        "created_at",
        "The time of the attempt: UTC without a zone, in microseconds.",
        is_nullable=False,
    ),
    Column(
        "course",
        pa.string(),
        PASSBACK,
        "The course in `lis_result_sourcedid`; missing if it names none.",
        is_derived=True,
    ),
    Column(
        "task",
        pa.string(),
        PASSBACK,
        "The task in `lis_result_sourcedid`; missing if it names none.",
        is_derived=True,
    ),
)

ATTEMPT_COLUMNS: Final = tuple(column.name for column in COLUMNS)
KEY_COLUMNS: Final = ("user_id", "attempt_type", "created_at")
OTHER_COLUMNS: Final = tuple(name for name in ATTEMPT_COLUMNS if name not in KEY_COLUMNS)
DERIVED_COLUMNS: Final = tuple(column.name for column in COLUMNS if column.is_derived)
# The columns beside the key that the API sends.
RECEIVED_COLUMNS: Final = tuple(name for name in OTHER_COLUMNS if name not in DERIVED_COLUMNS)
# The fields of ``passback_params`` that are kept.
PASSBACK_FIELDS: Final = tuple(
    column.name for column in COLUMNS if column.api_key == PASSBACK and not column.is_derived
)
# The columns whose text may hold what PostgreSQL cannot store.
TEXT_COLUMNS: Final = tuple(
    column
    for column in COLUMNS
    if column.arrow_type == pa.string() and not column.is_derived and column.name != "attempt_type"
)
# The keys of a record that the API's contract names.
KNOWN_KEYS: Final = frozenset(column.api_key for column in COLUMNS)

ARROW_SCHEMA: Final = pa.schema(
    [pa.field(column.name, column.arrow_type, nullable=column.is_nullable) for column in COLUMNS]
)

REJECTED_SCHEMA: Final = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("reason", "field", "record")]
)
