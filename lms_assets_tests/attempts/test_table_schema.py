"""What a clean attempt is declared to be, and that nothing else gets through."""

from datetime import datetime

import pyarrow as pa
import pytest

from lms_assets.attempts.columns import ARROW_SCHEMA, ATTEMPT_COLUMNS
from lms_assets.attempts.frames import CleanedAttempts
from lms_assets.attempts.table_schema import (
    NotCleanAttempts,
    check_table,
    column_descriptions,
)

at = datetime.fromisoformat
SECRET = "3583bf109f8b458e13ae1ac9d85c396a"


def table(**changes: object) -> pa.Table:
    """One attempt that may miss what must be there."""
    row = {
        "user_id": SECRET,
        "oauth_consumer_key": "",
        "attempt_type": "run",
        "created_at": at("2025-07-24"),
    } | changes
    nullable = pa.schema([pa.field(field.name, field.type) for field in ARROW_SCHEMA])
    return pa.Table.from_pylist([row], nullable)


def typed(name: str, arrow_type: pa.DataType) -> pa.Table:
    """One attempt, a column of which is of another type."""
    at = ATTEMPT_COLUMNS.index(name)
    return table().set_column(at, name, table()[name].cast(arrow_type))


def test_the_columns_are_those_of_the_table_in_their_order() -> None:
    assert ATTEMPT_COLUMNS == (
        "user_id",
        "oauth_consumer_key",
        "lis_result_sourcedid",
        "lis_outcome_service_url",
        "is_correct",
        "attempt_type",
        "created_at",
        "course",
        "task",
    )


def test_the_file_and_the_page_say_the_same_columns() -> None:
    assert tuple(ARROW_SCHEMA.names) == ATTEMPT_COLUMNS
    columns = column_descriptions().columns
    assert tuple(column.name for column in columns) == ATTEMPT_COLUMNS
    assert all(column.description for column in columns)
    assert [column.name for column in columns if not column.constraints.nullable] == [
        "user_id",
        "attempt_type",
        "created_at",
    ]
    assert all(name in CleanedAttempts.description for name in ATTEMPT_COLUMNS)


@pytest.mark.parametrize(
    "good", [table(), ARROW_SCHEMA.empty_table(), table(is_correct=True, attempt_type="submit")]
)
def test_clean_attempts_pass(good: pa.Table) -> None:
    check_table(good)


@pytest.mark.parametrize(
    ("bad", "columns"),
    [
        (table(user_id=None), ["user_id"]),
        (table(user_id=""), ["user_id"]),
        (table(user_id="u" * 256), ["user_id"]),
        (table(attempt_type=SECRET), ["attempt_type"]),
        (table(attempt_type=None), ["attempt_type"]),
        (table(created_at=None), ["created_at"]),
        (table(user_id=None, attempt_type="Run"), ["user_id", "attempt_type"]),
        (typed("is_correct", pa.int64()), ["is_correct"]),
        (typed("created_at", pa.timestamp("s")), ["created_at"]),
        (typed("created_at", pa.timestamp("us", "UTC")), ["created_at"]),
        (typed("course", pa.binary()), ["course"]),
        (table().drop_columns(["task"]), ["task"]),
        (table().append_column("extra", pa.array([SECRET])), ["their names and their order"]),
        (table().select(ATTEMPT_COLUMNS[::-1]), ["their names and their order"]),
    ],
)
def test_anything_else_is_refused_by_the_names_of_its_columns_alone(
    bad: pa.Table, columns: list[str]
) -> None:
    with pytest.raises(NotCleanAttempts) as refused:
        check_table(bad)
    assert refused.value.columns == columns
    assert SECRET not in str(refused.value)
    checked = CleanedAttempts.type_check(None, bad.to_pandas())
    assert not checked.success
    assert SECRET not in (checked.description or "")
