"""What else loads a day: the physical limit, dlt, the earlier pipeline's method, pandas.

Each is a process of its own: `python -m benchmarks.peers NAME ANSWER URL`; it prints the seconds
from the bytes of the answer to the last commit, imports left out.
"""

import ast
import csv
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extras

COLUMNS = (
    "user_id",
    "oauth_consumer_key",
    "lis_result_sourcedid",
    "lis_outcome_service_url",
    "is_correct",
    "attempt_type",
    "created_at",
)
# The table of the LMS Analytics Pipeline.
TABLE = """
create table if not exists attempts (
    id serial primary key,
    user_id text not null,
    oauth_consumer_key text,
    lis_result_sourcedid text,
    lis_outcome_service_url text,
    is_correct boolean,
    attempt_type text not null check (attempt_type in ('run', 'submit')),
    created_at timestamp not null,
    constraint unique_attempt unique (user_id, attempt_type, created_at)
)
"""
INSERT = f"insert into attempts ({', '.join(COLUMNS)}) values"
NOTHING = "on conflict on constraint unique_attempt do nothing"

Seconds = float
Peer = Callable[[Path, str], Seconds]


def attempts_in(answer: Path) -> Iterator[tuple[Any, ...]]:
    """The rows that the earlier pipeline made of an answer, its way: a literal per record."""
    for record in json.loads(answer.read_bytes()):
        row = _attempt(record)
        if row is not None:
            yield row


def _attempt(record: dict[str, Any]) -> tuple[Any, ...] | None:
    if record.get("attempt_type") not in ("run", "submit") or not record.get("lti_user_id"):
        return None
    try:
        passback = ast.literal_eval(record.get("passback_params") or "{}")
        created_at = datetime.fromisoformat(record["created_at"])
    except (ValueError, SyntaxError):
        return None
    is_correct = record.get("is_correct")
    return (
        record["lti_user_id"],
        passback.get("oauth_consumer_key"),
        passback.get("lis_result_sourcedid"),
        passback.get("lis_outcome_service_url"),
        None if is_correct is None else bool(is_correct),
        record["attempt_type"],
        created_at,
    )


def _connected(url: str) -> Any:  # noqa: ANN401 - psycopg2 has no public type of a connection
    connection = psycopg2.connect(url)
    with connection.cursor() as cursor:
        cursor.execute(TABLE)
    connection.commit()
    return connection


def limit(answer: Path, url: str) -> Seconds:
    """COPY of rows that are ready, into the earlier pipeline's table."""
    keys: set[tuple[Any, ...]] = set()
    with tempfile.TemporaryFile("w+", newline="") as ready:
        writer = csv.writer(ready)
        for row in attempts_in(answer):
            if (row[0], row[5], row[6]) not in keys:
                keys.add((row[0], row[5], row[6]))
                writer.writerow("" if value is None else value for value in row)
        ready.seek(0)
        with _connected(url) as connection, connection.cursor() as cursor:
            began = time.perf_counter()
            cursor.copy_expert(f"copy attempts ({', '.join(COLUMNS)}) from stdin csv", ready)
            connection.commit()
            return time.perf_counter() - began


def etl(answer: Path, url: str) -> Seconds:
    """The LMS Analytics Pipeline's method: literal_eval, execute_batch, ON CONFLICT DO NOTHING."""
    with _connected(url) as connection, connection.cursor() as cursor:
        began = time.perf_counter()
        marks = ", ".join(["%s"] * len(COLUMNS))
        statement = f"{INSERT} ({marks}) {NOTHING}"
        psycopg2.extras.execute_batch(cursor, statement, list(attempts_in(answer)), page_size=1000)
        connection.commit()
        return time.perf_counter() - began


def row_each(answer: Path, url: str) -> Seconds:
    """ETL-Project's method: a statement and a commit for each row."""
    with _connected(url) as connection, connection.cursor() as cursor:
        began = time.perf_counter()
        marks = ", ".join(["%s"] * len(COLUMNS))
        for row in attempts_in(answer):
            cursor.execute(f"{INSERT} ({marks}) {NOTHING}", row)
            connection.commit()
        return time.perf_counter() - began


def to_sql(answer: Path, url: str) -> Seconds:
    """pandas.to_sql, many values a statement; repeats are dropped in pandas."""
    import pandas as pd
    from sqlalchemy import create_engine

    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    began = time.perf_counter()
    frame = pd.DataFrame(attempts_in(answer), columns=list(COLUMNS))
    frame = frame.drop_duplicates(["user_id", "attempt_type", "created_at"])
    with engine.begin() as connection:
        frame.to_sql(
            "attempts_of_pandas",
            connection,
            if_exists="append",
            index=False,
            method="multi",
            chunksize=1000,
        )
    return time.perf_counter() - began


def dlt_dicts(answer: Path, url: str) -> Seconds:
    """dlt's merge by the key, of Python dicts as the API gave them."""
    return _dlt(url, lambda: json.loads(answer.read_bytes()))


def dlt_arrow(answer: Path, url: str) -> Seconds:
    """dlt's merge by the key, of an Arrow table of the same five columns."""
    import pyarrow as pa

    def table() -> Any:  # noqa: ANN401
        records = json.loads(answer.read_bytes())
        columns = {
            name: [_as_text(record.get(name)) for record in records]
            for name in (
                "lti_user_id",
                "attempt_type",
                "created_at",
                "passback_params",
                "is_correct",
            )
        }
        good = [n for n, key in enumerate(columns["lti_user_id"]) if key is not None]
        return pa.table(columns).take(good)

    return _dlt(url, table)


def _as_text(value: object) -> str | None:
    return None if value is None else str(value)


def _dlt(url: str, data: Callable[[], Any]) -> Seconds:
    import dlt

    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    with tempfile.TemporaryDirectory() as folder:
        pipeline = dlt.pipeline(
            "bench",
            pipelines_dir=folder,
            # dlt wants a password and a host; the socket's folder in the query comes before both.
            destination=dlt.destinations.postgres(url.replace("@/", ":none@localhost/")),
            dataset_name="dlt",
        )
        began = time.perf_counter()
        pipeline.run(
            data(),
            table_name="attempts",
            write_disposition="merge",
            primary_key=["lti_user_id", "attempt_type", "created_at"],
        ).raise_on_failed_jobs()
        return time.perf_counter() - began


PEERS: dict[str, Peer] = {
    "limit": limit,
    "dlt_dicts": dlt_dicts,
    "dlt_arrow": dlt_arrow,
    "etl": etl,
    "row_each": row_each,
    "to_sql": to_sql,
}

if __name__ == "__main__":
    name, answer_file, database = sys.argv[1:]
    print(json.dumps({"seconds": PEERS[name](Path(answer_file), database)}))
