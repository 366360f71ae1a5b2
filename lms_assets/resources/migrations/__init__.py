"""The migrations of the schema, one module each; the warehouse runs them."""

from functools import cache
from importlib.resources import files


@cache
def revisions() -> tuple[str, ...]:
    """The revisions of all migrations, oldest first, read from the names of their files.

    Alembic knows them too, but its import takes 0.15 s, so it is used only if a migration is due.
    """
    steps = files(__package__).joinpath("versions").iterdir()
    return tuple(sorted(step.name.split("_")[0] for step in steps if step.name[0].isdigit()))
