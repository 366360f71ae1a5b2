"""What the code is: the page's edition and the workers' agreement compare it."""

from functools import cache
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable


@cache
def code_hash(*packages: str) -> str:
    """A hash of all files of these packages of ours: code, SQL, templates, texts."""
    contents = [content for package in packages for content in _contents(files(package))]
    return sha256(b"".join(contents)).hexdigest()


def _contents(folder: Traversable) -> list[bytes]:
    """The name and the bytes of each file, in order."""
    contents: list[bytes] = []
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir() and item.name != "__pycache__":
            contents += _contents(item)
        elif item.is_file():
            contents += [item.name.encode(), item.read_bytes()]
    return contents
