"""The settings that all machines of a cluster must share: `./lms up` writes them, workers compare.

A worker compares when it starts and before each run, because `./lms up` may have been started
again with other settings or other code since.

Two workers with different zones would load different windows for one day. With different lists of
staff, each would compute all figures again after the other. The lake is compared by an object in
it, not by its address: machines may mount one folder under different names, and a folder that is
not mounted looks like an empty lake.
"""

import secrets
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from sqlalchemy import text

from lms_assets.attempts.keys import hash_of, key_made_in
from lms_assets.attempts.tombstones import Erasure
from lms_assets.code_hash import code_hash
from lms_assets.faults import PermanentFault, TemporaryFault
from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets.settings import Settings
from lms_assets.systems import erasure, the_lake

# A refusal shows the values of these settings; of all others it shows only the name.
CODE = "lms_assets"
SHOWN = ("LMS_TIMEZONE", "LMS_FIRST_DAY", "API_CONCURRENCY", CODE)
LAKE_ID = "cluster/id"
DIGITS = 12


def write_agreement(warehouse: Warehouse, settings: Settings) -> None:
    """These settings are in the database; from now on, workers with other settings are refused."""
    key = erasure(settings)
    if not key.known_keys():
        key_made_in(Path(key.key_file))
    lake = the_lake(settings)
    if _lake_id(lake) == "":
        lake.objects.write(LAKE_ID, secrets.token_hex(DIGITS).encode())
    rows = [{"name": name, "value": value} for name, value in agreement_of(settings).items()]
    with warehouse.begin() as connection:
        connection.execute(text("delete from agreed_settings"))
        insert = "insert into agreed_settings (name, value) values (:name, :value)"
        connection.execute(text(insert), rows)


def refuse_difference(warehouse: Warehouse, settings: Settings) -> dict[str, str]:
    """This machine has the settings of `./lms up`; nothing is changed.

    Returns:
        What this machine has, for :func:`refuse_other`.

    Raises:
        PermanentFault: As :func:`refuse_other`. Or ``erasure.key_missing``,
            ``erasure.key_other``: the key of the tombstones is missing.
        TemporaryFault: As :func:`refuse_other`.
    """
    here = agreement_of(settings)
    refuse_other(warehouse, here)
    erasure(settings).tombstones(warehouse)
    return here


def refuse_other(warehouse: Warehouse, here: Mapping[str, str]) -> None:
    """`./lms up` was started last with what ``here`` has.

    Args:
        here: Name → value, as :func:`agreement_of` had it when this process started.

    Raises:
        PermanentFault: ``settings.differ_from_up``, with each difference.
        TemporaryFault: ``settings.up_is_first``: `./lms up` was never started with this database.
    """
    agreed = _agreed(warehouse)
    if not agreed:
        raise TemporaryFault("settings.up_is_first")
    differences = [
        _difference(name, here.get(name, ""), agreed.get(name, ""))
        for name in sorted(here.keys() | agreed.keys())
        if here.get(name) != agreed.get(name)
    ]
    if differences:
        raise PermanentFault("settings.differ_from_up", differences="; ".join(differences))


def _difference(name: str, here: str, there: str) -> str:
    return f"{name}={here} (./lms up: {there})" if name in SHOWN else name


def _agreed(warehouse: Warehouse) -> dict[str, str]:
    with warehouse.begin() as connection:
        if connection.scalar(text("select to_regclass('public.agreed_settings')")) is None:
            return {}
        rows = connection.execute(text("select name, value from public.agreed_settings")).tuples()
        return {str(name): str(value) for name, value in rows}


def agreement_of(settings: Settings) -> dict[str, str]:
    """Name → value of what must be alike; for values that may be private, a hash."""
    return {
        "LMS_TIMEZONE": settings.lms_timezone,
        "LMS_FIRST_DAY": settings.lms_first_day.isoformat(),
        "API_CONCURRENCY": str(settings.api_concurrency),
        "LMS_LAKE": _lake_id(the_lake(settings)),
        "LMS_KEY": _key(erasure(settings)),
        "LMS_STAFF": _hash(settings.lms_staff.read_bytes() if settings.lms_staff else b""),
        "LMS_NAMES": _hash(settings.lms_names.read_bytes() if settings.lms_names else b""),
        "LMS_LANGUAGE": _hash(settings.lms_language.encode()),
        "API_URL": _hash(str(settings.api_url).encode()),
        "API_CLIENT": _hash(str(settings.api_client).encode()),
        "SPREADSHEET_ID": _hash(str(settings.spreadsheet_id).encode()),
        CODE: code_hash("lms_assets")[:DIGITS],
    }


def _lake_id(lake: Lake) -> str:
    return lake.objects.read(LAKE_ID).decode() if lake.objects.exists(LAKE_ID) else ""


def _key(erasures: Erasure) -> str:
    """The check value of the key for new tombstones; empty if there is no key."""
    keys = erasures.known_keys()
    return hash_of(keys[0], "") if keys else ""


def _hash(content: bytes) -> str:
    return sha256(content).hexdigest()[:DIGITS]
