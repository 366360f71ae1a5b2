"""The schema's history, a module per step; applied by the warehouse at start."""

from functools import cache
from importlib.resources import files


@cache
def revisions() -> tuple[str, ...]:
    """Every step's revision, oldest first: what its file's name begins with.

    Alembic says the same, and takes 0.15 s to begin; it is asked where a step is due.
    """
    steps = files(__package__).joinpath("versions").iterdir()
    return tuple(sorted(step.name.split("_")[0] for step in steps if step.name[0].isdigit()))
