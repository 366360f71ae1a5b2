"""The key of the hashes that stand for students, in tombstones and in exports.

LMS_KEY gives it, the same on all machines. Where that is not set, a key of 32 random bytes lies in
LMS_HOME and only its owner may read it.
"""

import hmac
import re
import secrets
from pathlib import Path

from lms_assets.files import write_whole

KEY_BYTES = 32
FILE = "erasure.key"

_HEX = re.compile(rf"[0-9A-Fa-f]{{{2 * KEY_BYTES}}}")


def given_key(setting: str) -> bytes:
    """The key that LMS_KEY spells: 64 hexadecimal digits are 32 bytes, any other text is itself.

    So the key of a file can be given to other machines: ``xxd -p -c 64 erasure.key``.
    """
    return bytes.fromhex(setting) if _HEX.fullmatch(setting) else setting.encode()


def key_in(file: Path) -> bytes | None:
    """The key in the file; None where there is no whole one."""
    key = file.read_bytes() if file.is_file() else b""
    # Version 0.1 could be ended while it wrote the file, and then used none of it.
    return key if len(key) >= KEY_BYTES else None


def key_made_in(file: Path) -> bytes:
    """The key in the file, made now if there is none."""
    key = key_in(file)
    if key is None:
        key = secrets.token_bytes(KEY_BYTES)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, key)
    return key


def hash_of(key: bytes, user_id: str) -> str:
    """What stands for the student: HMAC-SHA256 of the user id, as hexadecimal digits."""
    return hmac.new(key, user_id.encode("utf-8", "surrogatepass"), "sha256").hexdigest()
