"""The memory that the run of a large day takes, with its children."""

import tempfile
from pathlib import Path

from benchmarks.answers import answering
from benchmarks.data import DAY, write_day
from benchmarks.homes import home
from benchmarks.results import Row

ALLOWED_MB = 600


def memory(*, records: tuple[int, int]) -> list[Row]:
    """The peak of a day of so many records, and of a larger one against it."""
    few, many = records
    small, large = _peak_mb(few), _peak_mb(many)
    return [
        Row(f"a day of {few:,}, MB", small, small / ALLOWED_MB, 1, f"{ALLOWED_MB} MB"),
        Row(f"a day of {many:,}, MB", large, large / small, 1.2, f"a day of {few:,}"),
    ]


def _peak_mb(records: int) -> float:
    with tempfile.TemporaryDirectory(prefix="lms-bench-data-") as folder:
        answer = Path(folder) / "day.json"
        write_day(answer, records=records)
        with answering(answer) as api, home(api, DAY) as place:
            return place.lms("run", DAY.isoformat()).peak_mb
