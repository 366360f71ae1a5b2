"""The same shape of runs with empty bodies: what Dagster and the imports cost by themselves.

`python -m benchmarks.empty DAY [DAYS]`, in a home that was made; prints the seconds of the runs.
"""

import json
import sys
import time
from datetime import date, timedelta

import dagster as dg

import lms_assets.definitions
from lms_assets.attempts.assets import attempts_assets
from lms_assets.attempts.partitions import attempt_days
from lms_assets.commands.installation import prepare
from lms_assets.runs.instance import open_instance
from lms_assets.settings import load_settings
from lms_assets.statistics.assets import statistics_assets

# What a day's run imports besides, and its job names.
__all__ = ["lms_assets"]

NAMES = [asset.key.to_user_string() for asset in (*attempts_assets, *statistics_assets)]
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def _empty(name: str, before: str | None) -> dg.AssetsDefinition:
    @dg.asset(
        name=f"empty_{name}",
        partitions_def=attempt_days,
        deps=[f"empty_{before}"] if before else [],
    )
    def body() -> None:
        return None

    return body


def main() -> None:
    """The runs, one after the other in this process."""
    first, days = date.fromisoformat(sys.argv[1]), int((sys.argv[2:] or ["1"])[0])
    settings = load_settings()
    prepare(settings)
    before = (None, *NAMES[:-1])
    assets = [_empty(name, upstream) for name, upstream in zip(NAMES, before, strict=True)]
    job = dg.define_asset_job("empty_attempts", selection=dg.AssetSelection.all())
    definitions = dg.Definitions(assets=assets, jobs=[job], executor=dg.in_process_executor)
    with open_instance() as instance:
        began = time.perf_counter()
        for n in range(days):
            day = (first + timedelta(days=n)).isoformat()
            definitions.resolve_job_def("empty_attempts").execute_in_process(
                instance=instance, partition_key=day, run_config=QUIET
            )
        print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
