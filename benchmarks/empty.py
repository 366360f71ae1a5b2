"""The same shape of runs with empty bodies: what Dagster and the imports cost by themselves.

`python -m benchmarks.empty DAY [DAYS [--checks]]`, in a home that was made; prints the seconds of
the runs. The assets are empty; with ``--checks`` the checks of our assets stand beside them, empty
too.
"""

import json
import sys
import time
from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg

import lms_assets.definitions
from lms_assets.attempts.assets import attempts_assets
from lms_assets.attempts.checks import attempts_checks
from lms_assets.attempts.partitions import attempt_days
from lms_assets.automation.room import room_checks
from lms_assets.commands.installation import prepare
from lms_assets.runs.instance import open_instance
from lms_assets.settings import load_settings
from lms_assets.statistics.assets import statistics_assets
from lms_assets.statistics.checks import statistics_checks

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


def _empty_check(check: dg.AssetChecksDefinition) -> dg.AssetChecksDefinition:
    specs = [
        dg.AssetCheckSpec(spec.name, asset=f"empty_{spec.asset_key.to_user_string()}")
        for spec in check.check_specs
    ]

    @dg.multi_asset_check(name=f"empty_{specs[0].name}", specs=specs)
    def body() -> Iterator[dg.AssetCheckResult]:
        for spec in specs:
            yield dg.AssetCheckResult(check_name=spec.name, asset_key=spec.asset_key, passed=True)

    return body


def main() -> None:
    """The runs, one after the other in this process."""
    first, days = date.fromisoformat(sys.argv[1]), int((sys.argv[2:] or ["1"])[0])
    settings = load_settings()
    prepare(settings)
    before = (None, *NAMES[:-1])
    assets = [_empty(name, upstream) for name, upstream in zip(NAMES, before, strict=True)]
    checks = [*attempts_checks, *statistics_checks, *room_checks(settings)]
    empty_checks = [_empty_check(check) for check in checks] if "--checks" in sys.argv else []
    job = dg.define_asset_job("empty_attempts", selection=dg.AssetSelection.all())
    definitions = dg.Definitions(
        assets=assets, asset_checks=empty_checks, jobs=[job], executor=dg.in_process_executor
    )
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
