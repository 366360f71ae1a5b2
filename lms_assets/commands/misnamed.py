"""Variables that look like one of our settings but are none: misspelt or other programs' names."""

import os
from difflib import get_close_matches

from lms_assets.settings import Settings, bindings, env_file

# Variables that our own processes pass to each other.
_OWN = (
    "LMS_DEMO",
    "LMS_SEALED_",
    "LMS_DAGSTER_",
    "LMS_PYTHON",
    "LMS_RUNS_AT_ONCE",
    "LMS_VERBOSE",
    "LMS_TEST_",
)
# Another program's name of a setting → our name.
_OTHER_NAMES = {
    "API_KEY": "API_CLIENT_KEY",
    "API_TOKEN": "API_CLIENT_KEY",
    "DB_DATABASE": "DB_NAME",
    "DB_PASS": "DB_PASSWORD",
    "DB_USERNAME": "DB_USER",
    "SMTP_HOST": "SMTP_SERVER",
    "SMTP_PASSWORD": "SENDER_PASSWORD",
    "SMTP_USER": "SENDER_EMAIL",
}


def unknown_settings() -> list[str]:
    """A sentence for each variable in the environment or ``.env`` that seems to be a wrong name."""
    settings = {name.upper() for name in Settings.model_fields}
    names_set = {b.key for b in bindings(env_file()) if b.key} | {
        name
        for name in os.environ
        if name in _OTHER_NAMES or (name.startswith("LMS_") and not name.startswith(_OWN))
    }
    findings = []
    for name in sorted(names_set - settings):
        near = _OTHER_NAMES.get(name) or next(iter(get_close_matches(name, settings, 1, 0.8)), None)
        if near or name.startswith("LMS_"):
            findings.append(f"{name} is no setting" + (f": {near} is meant?" if near else ""))
    return findings
