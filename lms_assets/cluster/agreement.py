"""What must be set alike on all machines of a cluster: `./lms up` writes it, workers compare.

Two workers with other zones would cut days differently, with other lists of staff they would
compute the figures over and over. The lake is known by an object in it: one folder may be mounted
under several names, and an unmounted one looks like an empty lake.
"""

import secrets
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from sqlalchemy import text

from lms_assets.attempts.keys import hash_of, key_made_in
from lms_assets.attempts.tombstones import Erasure
from lms_assets.faults import PermanentFault, TemporaryFault
from lms_assets.resources.lake import Lake
from lms_assets.resources.warehouse import Warehouse
from lms_assets.settings import Settings
from lms_assets.systems import erasure, the_lake

# Whose values anybody may read; of the others a refusal tells the name alone.
CODE = "lms_assets"
SHOWN = ("LMS_TIMEZONE", "LMS_FIRST_DAY", "API_CONCURRENCY", CODE)
LAKE_ID = "cluster/id"
DIGITS = 12


def write_agreement(warehouse: Warehouse, settings: Settings) -> None:
    """Workers have to agree with these settings from now on."""
    key = erasure(settings)
    if not key.known_keys():
        key_made_in(Path(key.key_file))
    lake = the_lake(settings)
    if _lake_id(lake) == "":
        lake.objects.write(LAKE_ID, secrets.token_hex(DIGITS).encode())
    rows = [{"name": name, "value": value} for name, value in _agreement(settings).items()]
    with warehouse.begin() as connection:
        connection.execute(text("delete from agreed_settings"))
        insert = "insert into agreed_settings (name, value) values (:name, :value)"
        connection.execute(text(insert), rows)


def refuse_difference(warehouse: Warehouse, settings: Settings) -> None:
    """This machine's settings are those that `./lms up` has; nothing is changed.

    Raises:
        PermanentFault: They are not, with each difference; or a key is missing by which erased
            students are known.
        TemporaryFault: No `./lms up` was started with this database yet.
    """
    agreed = _agreed(warehouse)
    if not agreed:
        raise TemporaryFault("settings.up_is_first")
    here = _agreement(settings)
    differences = [
        _said(name, here.get(name, ""), agreed.get(name, ""))
        for name in sorted(here.keys() | agreed.keys())
        if here.get(name) != agreed.get(name)
    ]
    if differences:
        raise PermanentFault("settings.differ_from_up", differences="; ".join(differences))
    erasure(settings).tombstones(warehouse)


def _said(name: str, here: str, there: str) -> str:
    return f"{name}={here} (./lms up: {there})" if name in SHOWN else name


def _agreed(warehouse: Warehouse) -> dict[str, str]:
    with warehouse.begin() as connection:
        if connection.scalar(text("select to_regclass('public.agreed_settings')")) is None:
            return {}
        rows = connection.execute(text("select name, value from public.agreed_settings")).tuples()
        return {str(name): str(value) for name, value in rows}


def _agreement(settings: Settings) -> dict[str, str]:
    """Name → value, or a hash of it where nobody should read it."""
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
        CODE: _hash(b"".join(_contents(files("lms_assets")))),
    }


def _lake_id(lake: Lake) -> str:
    return lake.objects.read(LAKE_ID).decode() if lake.objects.exists(LAKE_ID) else ""


def _key(known: Erasure) -> str:
    """What tells the key for new tombstones from another one, as the tombstones themselves do."""
    keys = known.known_keys()
    return hash_of(keys[0], "") if keys else ""


def _hash(content: bytes) -> str:
    return sha256(content).hexdigest()[:DIGITS]


def _contents(folder: Traversable) -> list[bytes]:
    """Each file's name and bytes, in order."""
    found: list[bytes] = []
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir() and item.name != "__pycache__":
            found += _contents(item)
        elif item.is_file():
            found += [item.name.encode(), item.read_bytes()]
    return found
