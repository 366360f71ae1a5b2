"""The commands that run Dagster: its page and daemon, and the variables for its own tools."""

import os
import shlex
import sys
from pathlib import Path

import click

from lms_assets.cluster.agreement import write_agreement
from lms_assets.commands.arguments import EXISTING_FILE
from lms_assets.commands.installation import embedded_postgres, opened, prepare
from lms_assets.commands.switching import env_from_config_ini
from lms_assets.commands.up import serve
from lms_assets.settings import SHELL_OF_THE_DEMO, load_settings


@click.command()
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535))
def up(port: int) -> None:
    """Serves Dagster's page on 127.0.0.1 and runs the daemon.

    The daemon pulls each day, loads missed days and sends the letters. Ctrl-C ends everything
    that this command started.
    """
    settings = load_settings()
    with opened(settings) as (installation, instance):
        if settings.lms_broker_url:
            write_agreement(installation.warehouse, settings)
        sys.exit(serve(installation, instance, port=port, tell=click.echo))


@click.command()
@click.option(
    "--from",
    "config",
    type=EXISTING_FILE,
    help="config.ini of ETL-Project: prints it as a .env.",
)
@click.option("--stop", is_flag=True, help="Stop the embedded PostgreSQL that was left running.")
def env(config: Path | None, stop: bool) -> None:
    """Prints what bare Dagster tools need.

    eval "$(./lms env)", then dg, dagster, dagster-webserver, dagster-daemon. The embedded
    PostgreSQL is left running for them, until ./lms env --stop.
    """
    if config is not None:
        click.echo(env_from_config_ini(config), nl=False)
    elif stop:
        _stop_postgres()
    else:
        _print_environment()


def _stop_postgres() -> None:
    postgres = embedded_postgres(load_settings())
    if postgres:
        postgres.stop()


def _print_environment() -> None:
    settings = load_settings()
    postgres = embedded_postgres(settings)
    if postgres:
        postgres.keep_running()
    variables = prepare(settings).environment
    if settings.is_demo:
        variables = {**variables, "LMS_DEMO": SHELL_OF_THE_DEMO}
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
    click.echo(f"export VIRTUAL_ENV={shlex.quote(sys.prefix)}")
    click.echo(f'export PATH="{Path(sys.executable).parent}{os.pathsep}$PATH"')
