"""`./lms bench [--quick] [NAME…]`: the measurements, a table, and `benchmarks/README.md`.

Names: load, start, memory, history, backfill, size, page, years, workers, costs; all if left out.
With ``--quick`` the load alone, of 100,000 records and one round.
"""

import argparse
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psutil

from benchmarks import cluster, costs, history, memory, page, report, size, start, years
from benchmarks.load import Results, load
from benchmarks.results import Row, as_table

README = Path(__file__).with_name("README.md")
PLOT = Path(__file__).with_name("load.svg")
RECORDS, ROUNDS = 1_000_000, 5
QUICK_RECORDS = 100_000

OTHERS: dict[str, Callable[[], list[Row]]] = {
    "start": lambda: start.start(rounds=ROUNDS),
    "memory": lambda: memory.memory(records=(RECORDS, 4 * RECORDS)),
    "history": lambda: history.history(days=365, records=2_000),
    "backfill": lambda: history.backfill(days=24),
    "size": lambda: size.size(rows=(0, 1_000_000, 20_000_000)),
    "page": page.rows,
    "years": years.years,
    "workers": lambda: cluster.workers(days=24),
    "costs": lambda: costs.costs(records=RECORDS),
}


def main() -> int:
    """Exit code 0 where every bar is met."""
    given = _arguments()
    names = given.names or (["load"] if given.quick else ["load", *OTHERS])
    sections: dict[str, str] = {}
    rows: list[Row] = []
    for name in names:
        if name == "load":
            results = _load(quick=given.quick, rounds=given.rounds)
            sections["load"] = report.load_section(results)
            rows += report.load_rows(results)
        else:
            found = OTHERS[name]()
            sections[name] = as_table(found)
            rows += found
        print(f"\n## {name}\n\n{sections[name]}", flush=True)
    if not given.quick:
        report.write(README, sections, machine=_machine(), now=datetime.now(UTC))
    return 0 if all(row.is_met for row in rows) else 1


def _load(*, quick: bool, rounds: int) -> Results:
    results = load(records=QUICK_RECORDS if quick else RECORDS, rounds=1 if quick else rounds)
    if not quick:
        PLOT.write_text(report.plot(results), encoding="utf-8")
    return results


def _machine() -> str:
    memory = psutil.virtual_memory().total / 1024**3
    cores = psutil.cpu_count()
    return (
        f"{cores} cores, {memory:.0f} GiB, {platform.system()}, Python {platform.python_version()}"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="lms bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the load, smaller, one round")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of the load")
    parser.add_argument("names", nargs="*", choices=[[], "load", *OTHERS], metavar="NAME")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
