"""The key of the hashes that replace user ids in tombstones and exports.

LMS_KEY sets the key, the same on all machines. If LMS_KEY is not set, the key is 32 random bytes
in a file of LMS_HOME that only its owner may read.
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
    """The key in LMS_KEY: 64 hexadecimal digits are 32 bytes, any other text is its own bytes.

    Hexadecimal digits bring the key of a file to other machines: ``xxd -p -c 64 erasure.key``.
    """
    return bytes.fromhex(setting) if _HEX.fullmatch(setting) else setting.encode()


def key_in(file: Path) -> bytes | None:
    """The key in the file; None if the file is missing or too short."""
    key = file.read_bytes() if file.is_file() else b""
    # Version 0.1 could be interrupted while it wrote the file. No tombstone was made by such a key.
    return key if len(key) >= KEY_BYTES else None


def key_made_in(file: Path) -> bytes:
    """The key in the file; if the file has none, a new key is made and written."""
    key = key_in(file)
    if key is None:
        key = secrets.token_bytes(KEY_BYTES)
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, key)
    return key


def hash_of(key: bytes, user_id: str) -> str:
    """The hash that replaces a user id: its HMAC-SHA256, as 64 hexadecimal digits."""
    return hmac.new(key, user_id.encode("utf-8", "surrogatepass"), "sha256").hexdigest()
