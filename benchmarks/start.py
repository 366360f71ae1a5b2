"""What a command costs before it works: imports, the code location, a small day, a query."""

import statistics
import tempfile
from pathlib import Path

from benchmarks.answers import answering
from benchmarks.data import DAY, write_day
from benchmarks.homes import home
from benchmarks.measure import measured, python
from benchmarks.results import Row

SMALL_DAY = 2_000
IMPORT_DAGSTER = "import dagster"
IMPORT_LOCATION = "import lms_assets.definitions"


def start(*, rounds: int) -> list[Row]:
    """Medians of the rounds, each command a process of its own."""
    with tempfile.TemporaryDirectory(prefix="lms-bench-data-") as folder:
        answer = Path(folder) / "day.json"
        write_day(answer, records=SMALL_DAY)
        with answering(answer) as api, home(api, DAY) as place:
            place.lms("run", DAY.isoformat())

            def median(*command: str) -> float:
                found = (measured(command, place.environment).seconds for _ in range(rounds))
                return statistics.median(found)

            def lms(*arguments: str) -> float:
                return statistics.median(place.lms(*arguments).seconds for _ in range(rounds))

            empty = median(*python("benchmarks.empty", DAY.isoformat()))
            small = lms("run", DAY.isoformat())
            dagster = median(*python("benchmarks.imports", IMPORT_DAGSTER))
            location = median(*python("benchmarks.imports", IMPORT_LOCATION))
            return [
                Row(
                    "`./lms run`, a day of 2,000, unchanged",
                    small,
                    small / empty,
                    1.5,
                    "an empty job",
                ),
                Row("code location load", location, location / dagster, 2.0, "`import dagster`"),
                Row("`./lms --help`", lms("--help"), None, 0.3),
                Row("`./lms query`", lms("query", "select 1"), None, 1.2),
            ]
