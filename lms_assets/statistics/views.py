"""The views and functions of the figures, with the comments on their columns.

Their SQL stands in ``sql/views/``; the file names give the order. When their SQL or comments have
changed, ``resources.replaceable`` makes them again in the database.
"""

import re
from functools import cache
from hashlib import sha256
from importlib.resources import files

from lms_assets.resources.replaceable import Repeatable
from lms_assets.statistics.figures import column_comments, function_comments, relation_comments

_PART = re.compile(r"/\* (\w+\.sql) \*/")
_COMMENT = re.compile(r"--[^\n]*")


@cache
def figure_views() -> Repeatable:
    """All views and functions, for :meth:`Warehouse.migrate`."""
    folder = files(__package__).joinpath("sql/views")
    names = sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))
    return Repeatable(
        scripts=tuple(script(f"views/{name}") for name in names),
        comments={
            relation: {"": meaning, **column_comments(relation)}
            for relation, meaning in relation_comments().items()
        },
        function_comments=function_comments(),
    )


@cache
def script(name: str) -> str:
    """The text of a file in ``sql/``; ``/* part.sql */`` is replaced by the file of that name."""
    text = files(__package__).joinpath(f"sql/{name}").read_text(encoding="utf-8")
    return _PART.sub(lambda part: script(part[1]), text)


@cache
def definition_of_figures() -> str:
    """A hash of all SQL of the figures; when it changes, all figures are computed again.

    Comments and line breaks are left out, so better words cost no recomputation.
    """
    steps = files(__package__).joinpath("sql").iterdir()
    names = sorted(file.name for file in steps if file.name.endswith(".sql"))
    sql = "\n".join([*map(script, names), *figure_views().scripts])
    return sha256(" ".join(_COMMENT.sub("", sql).split()).encode()).hexdigest()
