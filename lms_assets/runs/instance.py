"""Dagster's instance of a process: where its runs, events and schedules are kept."""

import os
import warnings
from datetime import UTC, datetime, timedelta

import dagster as dg

from lms_assets.resources.sessions import staying_open

DAGSTER_URL = "LMS_DAGSTER_POSTGRES_URL"
HEARTBEAT_WITHIN = timedelta(minutes=3)


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


def last_heartbeat(instance: dg.DagsterInstance) -> datetime | None:
    """When a daemon of this instance last said that it runs, aware; None if none ever did."""
    beats = [beat.timestamp for beat in instance.get_daemon_heartbeats().values()]
    return datetime.fromtimestamp(max(beats), UTC) if beats else None


def has_daemon(instance: dg.DagsterInstance, *, now: datetime) -> bool:
    """Whether a daemon runs, so that schedules and sensors do."""
    beat = last_heartbeat(instance)
    return beat is not None and now - beat < HEARTBEAT_WITHIN
