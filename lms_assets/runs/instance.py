"""Dagster's instance of a process: where its runs, events and schedules are kept."""

import os
import warnings

import dagster as dg

from lms_assets.resources.sessions import staying_open

DAGSTER_URL = "LMS_DAGSTER_POSTGRES_URL"


def open_instance() -> dg.DagsterInstance:
    """Dagster's instance, whose sessions stay open; the installation must be prepared."""
    # Dagster warns that the setting of log handlers is in beta; nobody can act on that.
    warnings.simplefilter("ignore", dg.BetaWarning)
    url = os.environ[DAGSTER_URL]
    os.environ[DAGSTER_URL] = staying_open(url)
    try:
        return dg.DagsterInstance.get()
    finally:
        # Processes that this one starts may open many instances.
        os.environ[DAGSTER_URL] = url
