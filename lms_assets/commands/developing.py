"""The commands for developers: tests and benchmarks."""

import os
import subprocess
import sys

import click

from lms_assets.settings import Settings, project_folder

# Three workers on two cores, because tests often wait for servers. One worker runs all tests of a
# file, because they share fixtures that are slow to make.
SIDE_BY_SIDE = ("-n", "3", "--dist", "loadfile")


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--all", "everything", is_flag=True, help="The slow tests too.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def test(everything: bool, arguments: tuple[str, ...]) -> None:
    """Runs the tests; other arguments are pytest's."""
    chosen = [] if everything else ["-m", "not slow"]
    # The caller's arguments come last, so that they override ours.
    command = [sys.executable, "-m", "pytest", *SIDE_BY_SIDE, *chosen, *arguments]
    # The tests make their own settings and must not reach configured systems.
    setting_names = {name.upper() for name in Settings.model_fields}
    environment = {name: value for name, value in os.environ.items() if name not in setting_names}
    sys.exit(subprocess.run(command, cwd=project_folder(), env=environment, check=False).returncode)


@click.command()
@click.option("--quick", is_flag=True, help="100,000 attempts and one round, in two minutes.")
@click.argument("names", nargs=-1)
def bench(quick: bool, names: tuple[str, ...]) -> None:
    """Measures how fast this is: all benchmarks, or those named."""
    command = [sys.executable, "-m", "benchmarks", *(["--quick"] if quick else []), *names]
    sys.exit(subprocess.run(command, cwd=project_folder(), check=False).returncode)
