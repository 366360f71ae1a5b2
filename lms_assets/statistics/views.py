"""The views and functions of the figures, with the comments that say what each column means.

Their text stands in ``sql/views/``, in the order in which they are made. ``resources.schema``
makes them anew in the database when the text has changed.
"""

from functools import cache
from hashlib import sha256
from importlib.resources import files

from lms_assets.resources.schema import Repeatable
from lms_assets.statistics.figures import column_comments, function_comments, relation_comments

FIGURES_OF_PAIRS = "figures_of_pairs.sql"


@cache
def figure_views() -> Repeatable:
    """All of them, for :meth:`Warehouse.migrate`."""
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
    """A file of ``sql/``; a comment that names the figures of pairs stands for their text."""
    text = files(__package__).joinpath(f"sql/{name}").read_text(encoding="utf-8")
    marker = f"/* {FIGURES_OF_PAIRS} */"
    return text.replace(marker, script(FIGURES_OF_PAIRS)) if marker in text else text


@cache
def definition_of_figures() -> str:
    """The hash of all SQL that figures are made by: another one, and all are computed anew."""
    steps = files(__package__).joinpath("sql").iterdir()
    names = sorted(file.name for file in steps if file.name.endswith(".sql"))
    return sha256("".join([*map(script, names), *figure_views().scripts]).encode()).hexdigest()
