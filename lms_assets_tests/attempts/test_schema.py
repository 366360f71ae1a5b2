"""What a clean attempt is declared to be, and that nothing else gets through."""

from datetime import datetime

import pandas as pd
import pyarrow as pa
import pytest

from lms_assets.attempts.columns import (
    ARROW_SCHEMA,
    ATTEMPT_COLUMNS,
    NotCleanAttempts,
    check_table,
)
from lms_assets.attempts.schema import (
    CleanedAttempts,
    check_frame,
    column_descriptions,
    no_attempts,
)

at = datetime.fromisoformat
SECRET = "3583bf109f8b458e13ae1ac9d85c396a"


def frame(**changes: object) -> pd.DataFrame:
    row = {
        "user_id": SECRET,
        "oauth_consumer_key": "",
        "lis_result_sourcedid": None,
        "lis_outcome_service_url": None,
        "is_correct": None,
        "attempt_type": "run",
        "created_at": at("2025-07-24"),
        "course": None,
        "task": None,
    } | changes
    types = no_attempts().dtypes.to_dict()
    return pd.DataFrame([row]).astype({name: types[name] for name in row})


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
    "good", [frame(), no_attempts(), frame(is_correct=True, attempt_type="submit")]
)
def test_clean_attempts_pass_and_go_to_the_file_and_back(good: pd.DataFrame) -> None:
    check_frame(good)
    table = pa.Table.from_pandas(good, ARROW_SCHEMA, preserve_index=False)
    assert table.schema.remove_metadata() == ARROW_SCHEMA
    check_table(table)
    assert table.num_rows == len(good)


def wrongly_typed(name: str, dtype: str) -> pd.DataFrame:
    return frame().astype({name: dtype})


@pytest.mark.parametrize(
    ("bad", "columns"),
    [
        (frame(user_id=None), ["user_id"]),
        (frame(user_id=""), ["user_id"]),
        (frame(user_id="u" * 256), ["user_id"]),
        (frame(attempt_type=SECRET), ["attempt_type"]),
        (frame(attempt_type=None), ["attempt_type"]),
        (frame(created_at=None), ["created_at"]),
        (frame(user_id=None, attempt_type="Run"), ["user_id", "attempt_type"]),
        (wrongly_typed("is_correct", "object"), ["is_correct"]),
        (wrongly_typed("created_at", "datetime64[s]"), ["created_at"]),
        (wrongly_typed("course", "object"), ["course"]),
        (frame().drop(columns="task"), ["task"]),
        (frame().assign(extra=SECRET), ["their names and their order"]),
        (frame()[list(ATTEMPT_COLUMNS[::-1])], ["their names and their order"]),
    ],
)
def test_anything_else_is_refused_by_the_names_of_its_columns_alone(
    bad: pd.DataFrame, columns: list[str]
) -> None:
    with pytest.raises(NotCleanAttempts) as refused:
        check_frame(bad)
    assert refused.value.columns == columns
    assert SECRET not in str(refused.value)
    checked = CleanedAttempts.type_check(None, bad)
    assert not checked.success
    assert SECRET not in (checked.description or "")


def table(**changes: object) -> pa.Table:
    """One attempt that may miss what must be there."""
    nullable = pa.schema([pa.field(field.name, field.type) for field in ARROW_SCHEMA])
    return pa.Table.from_pandas(frame(**changes), nullable, preserve_index=False)


@pytest.mark.parametrize(
    ("bad", "columns"),
    [
        (table(user_id=None), ["user_id"]),
        (table(user_id=""), ["user_id"]),
        (table(user_id="u" * 256), ["user_id"]),
        (table(attempt_type=SECRET), ["attempt_type"]),
        (table(created_at=None), ["created_at"]),
        (table(user_id=None, attempt_type="Run"), ["user_id", "attempt_type"]),
        (table().set_column(4, "is_correct", pa.array([1])), ["is_correct"]),
        (table().drop_columns(["task"]), ["their names and their order"]),
        (table().append_column("extra", pa.array([SECRET])), ["their names and their order"]),
        (table().select(ATTEMPT_COLUMNS[::-1]), ["their names and their order"]),
    ],
)
def test_a_table_is_refused_for_what_a_frame_is_refused_for(
    bad: pa.Table, columns: list[str]
) -> None:
    with pytest.raises(NotCleanAttempts) as refused:
        check_table(bad)
    assert refused.value.columns == columns
    assert SECRET not in str(refused.value)
