"""What a clean attempt is: its columns, their types, the values allowed.

Declared once. The Parquet file's schema, the dagster-pandas type, what the asset's page shows of
the columns, and the lists of columns in the SQL of merge, quarantine and adoption follow from it.
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
    """What must hold of a column's values, missing ones left out.

    Args:
        description: For people who read the asset's page.
        holds: Whether it does.
    """

    description: str
    holds: Callable[[pa.Array | pa.ChunkedArray], bool]


@dataclass(frozen=True)
class Column:
    """One column of a clean attempt.

    Args:
        name: As in the table ``attempts``.
        arrow_type: Of the Parquet file.
        api_key: The key of the API's record whose value holds it.
        description: What it says, for the people who read the asset's page.
        is_nullable: Whether it may be missing.
        is_derived: Whether cleaning reads it out of another column.
        constraints: What else must hold of it.
    """

    name: str
    arrow_type: pa.DataType
    api_key: str
    description: str
    is_nullable: bool = True
    is_derived: bool = False
    constraints: tuple[Constraint, ...] = ()

    @property
    def descriptions(self) -> list[str]:
        """What must hold of it, for people."""
        never_missing = [] if self.is_nullable else ["is never missing"]
        return [*never_missing, *(constraint.description for constraint in self.constraints)]

    def is_as_declared(self, values: pa.Array | pa.ChunkedArray) -> bool:
        """Whether the values could be this column."""
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

COLUMNS: Final = (
    Column(
        "user_id",
        pa.string(),
        "lti_user_id",
        "The student, as the grader names them: 1 to 255 characters, exactly as received.",
        is_nullable=False,
        constraints=(Constraint("has 1 to 255 characters", _is_a_user_id),),
    ),
    Column(
        "oauth_consumer_key",
        pa.string(),
        PASSBACK,
        "The LTI consumer that launched the task; empty text is a value.",
    ),
    Column(
        "lis_result_sourcedid", pa.string(), PASSBACK, "Where the mark goes back to, as received."
    ),
    Column(
        "lis_outcome_service_url",
        pa.string(),
        PASSBACK,
        "The address that takes the mark, as received.",
    ),
    Column(
        "is_correct",
        pa.bool_(),
        "is_correct",
        "The verdict of a submit; missing for a run and for a submit that is ungraded.",
    ),
    Column(
        "attempt_type",
        pa.string(),
        "attempt_type",
        "`run`: the code was tried out; `submit`: it was handed in for a mark.",
        is_nullable=False,
        constraints=(Constraint("is run or submit", _is_a_type_of_attempt),),
    ),
    Column(
        "created_at",
        pa.timestamp("us"),
        "created_at",
        "When the attempt was made: UTC without a zone, microseconds.",
        is_nullable=False,
    ),
    Column(
        "course",
        pa.string(),
        PASSBACK,
        "The course, cut out of `lis_result_sourcedid`; missing where it names none.",
        is_derived=True,
    ),
    Column(
        "task",
        pa.string(),
        PASSBACK,
        "The task, cut out of `lis_result_sourcedid`; missing where it names none.",
        is_derived=True,
    ),
)

ATTEMPT_COLUMNS: Final = tuple(column.name for column in COLUMNS)
KEY_COLUMNS: Final = ("user_id", "attempt_type", "created_at")
OTHER_COLUMNS: Final = tuple(name for name in ATTEMPT_COLUMNS if name not in KEY_COLUMNS)
DERIVED_COLUMNS: Final = tuple(column.name for column in COLUMNS if column.is_derived)
# What the API says of an attempt beside its key.
RECEIVED_COLUMNS: Final = tuple(name for name in OTHER_COLUMNS if name not in DERIVED_COLUMNS)
# What is kept of ``passback_params``.
PASSBACK_FIELDS: Final = tuple(
    column.name for column in COLUMNS if column.api_key == PASSBACK and not column.is_derived
)
# The keys of a record that the API's contract names.
KNOWN_KEYS: Final = frozenset(column.api_key for column in COLUMNS)

ARROW_SCHEMA: Final = pa.schema(
    [pa.field(column.name, column.arrow_type, nullable=column.is_nullable) for column in COLUMNS]
)

REJECTED_SCHEMA: Final = pa.schema(
    [pa.field(name, pa.string(), nullable=False) for name in ("reason", "field", "record")]
)
