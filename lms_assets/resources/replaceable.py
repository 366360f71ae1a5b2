"""Views, functions and comments of the schema, which are replaced instead of migrated.

Migrations make tables. Views and functions are only text: when the text has changed, all of them
are dropped, due migrations run, and the present ones are made, in one transaction. So a migration
that changes a table under a view needs a change of the view too. Grants survive. If a foreign
object depends on one of ours, the fault names it and nothing is changed.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from sqlalchemy import Connection, text

from lms_assets.faults import PermanentFault
from lms_assets.resources.migrations.before_0004 import BEFORE_0004

_CREATED = re.compile(r"^create (view|function) (\w+)", re.MULTILINE)

# Foreign objects that depend on ours, each in PostgreSQL's description.
DEPENDENTS = """
with ours as (
    select 'pg_class'::regclass as class, oid, relkind = 'r' as is_table from pg_class
    where relnamespace = 'public'::regnamespace and relname = any(:names)
    union all
    select 'pg_type'::regclass, reltype, false from pg_class
    where relnamespace = 'public'::regnamespace and relname = any(:names)
    union all
    select 'pg_proc'::regclass, oid, false from pg_proc
    where pronamespace = 'public'::regnamespace and proname = any(:names)
), dependents as (
    select case rulename when '_RETURN' then 'pg_class'::regclass else d.classid end as class,
        case rulename when '_RETURN' then r.ev_class else d.objid end as oid
    from ours o
    -- What depends automatically goes without a word: a trigger or a rule of somebody else on a
    -- view, before PostgreSQL 15 also a column that a function generates. Of a table (before 0004
    -- figures were tables) these are its own constraints and defaults.
    join pg_depend d on (d.refclassid, d.refobjid) = (o.class, o.oid)
        and (d.deptype = 'n' or d.deptype = 'a' and not o.is_table)
    left join pg_rewrite r on d.classid = 'pg_rewrite'::regclass and r.oid = d.objid
)
select distinct pg_describe_object(class, oid, 0) from dependents
where (class, oid) not in (select class, oid from ours)
"""

# The statements that restore each right of roles other than the owner.
GRANTS = """
with relations as (
    select c.oid, c.relname, c.relowner from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relname = any(:names)
), functions as (
    select p.oid, p.proname, p.proowner, p.proacl, oidvectortypes(p.proargtypes) as arguments
    from pg_proc p
    where p.pronamespace = 'public'::regnamespace and p.proname = any(:names)
        and p.proacl is not null
), given as (
    select c.relname as name, format('grant %s on public.%I', a.privilege_type, c.relname) as right,
        a.grantee, a.is_grantable
    from relations c join pg_class using (oid, relname)
    cross join lateral aclexplode(relacl) as a where a.grantee <> c.relowner
    union all
    select c.relname, format('grant %s (%I) on public.%I', a.privilege_type, attname, c.relname),
        a.grantee, a.is_grantable
    from relations c join pg_attribute t on t.attrelid = c.oid
    cross join lateral aclexplode(t.attacl) as a where a.grantee <> c.relowner
    union all
    select f.proname, format('grant %s on function public.%I(%s)',
        a.privilege_type, f.proname, f.arguments), a.grantee, a.is_grantable
    from functions f cross join lateral aclexplode(f.proacl) as a where a.grantee <> f.proowner
)
select name, concat("right", ' to ',
    case when grantee = 0 then 'public' else quote_ident(pg_get_userbyid(grantee)) end,
    case when is_grantable then ' with grant option' end) as again
from given
union all
select proname, format('revoke all on function public.%I(%s) from public', proname, arguments)
from functions
order by again desc
"""

COLUMNS = """
select c.relname, case c.relkind when 'v' then 'view' else 'table' end as kind, a.attname
from pg_class c join pg_attribute a on a.attrelid = c.oid
where c.relnamespace = 'public'::regnamespace and c.relname = any(:names)
    and c.relkind in ('r', 'v') and a.attnum > 0 and not a.attisdropped
order by c.relname, a.attnum
"""


@dataclass(frozen=True)
class Repeatable:
    """Views, functions and comments.

    Attributes:
        scripts: The SQL that makes them, in order. Each object's ``create view`` or ``create
            function`` stands at the beginning of a line.
        comments: Relation → column → comment; the relation's own comment is under ''.
        function_comments: Function → comment.
    """

    scripts: tuple[str, ...] = ()
    comments: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    function_comments: Mapping[str, str] = field(default_factory=dict)

    @property
    def objects(self) -> dict[str, list[str]]:
        """``view`` and ``function`` → the names of these objects."""
        names_by_kind: dict[str, list[str]] = {"view": [], "function": []}
        for kind, name in _CREATED.findall("\n".join(self.scripts)):
            names_by_kind[kind].append(name)
        return names_by_kind

    @property
    def hash(self) -> str:
        """A hash of all scripts and comments."""
        words = [
            f"{relation}.{column}: {meaning}"
            for relation, columns in {**self.comments, "()": self.function_comments}.items()
            for column, meaning in columns.items()
        ]
        return sha256("\n".join([*self.scripts, *words]).encode()).hexdigest()


def bring_up_to_date(
    connection: Connection,
    repeatable: Repeatable,
    *,
    upgrade: Callable[[], None],
    is_migrated: bool,
) -> None:
    """Tables, views, functions and comments are those of the code, once the caller commits.

    Args:
        connection: In a transaction that holds the schema's lock.
        repeatable: The present views. If it is empty, existing views stay as they are.
        upgrade: Runs the due migrations.
        is_migrated: Whether no migration is due.

    Raises:
        PermanentFault: A foreign object depends on one of ours.
    """
    stored = _stored_objects(connection)
    if stored.hash and (not repeatable.scripts or stored.hash == repeatable.hash):
        return None if is_migrated else upgrade()
    return _replace_objects(connection, repeatable, stored, upgrade)


def _replace_objects(
    connection: Connection,
    repeatable: Repeatable,
    stored: "_StoredObjects",
    upgrade: Callable[[], None],
) -> None:
    names = [name for kind in stored.objects.values() for name in kind]
    _refuse_dependents(connection, names)
    grants = connection.execute(text(GRANTS), {"names": names}).tuples().all()
    _drop(connection, stored.objects)
    upgrade()
    for script in repeatable.scripts:
        _execute(connection, script)
    _comment(connection, repeatable)
    present = _names(connection)
    _execute_all(connection, [again for name, again in grants if name in present])
    _remember(connection, repeatable)


@dataclass(frozen=True)
class _StoredObjects:
    objects: Mapping[str, list[str]]
    hash: str


def _stored_objects(connection: Connection) -> _StoredObjects:
    """Our views and functions in the database, and the hash of the text that made them."""
    if connection.scalar(text("select to_regclass('public.repeatable_objects')")):
        rows = connection.execute(text("select kind, name, hash from repeatable_objects")).all()
        objects: dict[str, list[str]] = {"view": [], "function": []}
        for row in rows:
            objects[row.kind].append(row.name)
        hashes = {row.hash for row in rows}
        return _StoredObjects(objects, hashes.pop() if len(hashes) == 1 else "")
    if connection.scalar(text("select to_regclass('public.figure_settings')")):
        return _StoredObjects(BEFORE_0004, "")
    return _StoredObjects({}, "")


def _refuse_dependents(connection: Connection, names: list[str]) -> None:
    dependents = connection.scalars(text(DEPENDENTS), {"names": names}).all()
    if dependents:
        objects = ", ".join(sorted(dependents))
        raise PermanentFault("database.foreign_dependents", objects=objects)


def _drop(connection: Connection, objects: Mapping[str, list[str]]) -> None:
    """The views and functions are dropped; tables stay."""
    for kind in ("view", "function"):
        if names := objects.get(kind):
            _execute(connection, f"drop {kind} " + ", ".join(f"public.{name}" for name in names))


def _comment(connection: Connection, repeatable: Repeatable) -> None:
    columns = connection.execute(text(COLUMNS), {"names": list(repeatable.comments)}).all()
    statements = [
        f"comment on column public.{c.relname}.{c.attname} is "
        + _quoted(repeatable.comments[c.relname][c.attname])
        for c in columns
        if c.attname in repeatable.comments[c.relname]
    ]
    statements += [
        f"comment on {kind} public.{name} is {_quoted(repeatable.comments[name][''])}"
        for name, kind in sorted({(c.relname, c.kind) for c in columns})
    ]
    statements += [
        f"comment on function public.{name} is {_quoted(meaning)}"
        for name, meaning in repeatable.function_comments.items()
    ]
    _execute_all(connection, statements)


def _names(connection: Connection) -> set[str]:
    names = """
        select relname from pg_class where relnamespace = 'public'::regnamespace
        union select proname from pg_proc where pronamespace = 'public'::regnamespace
    """
    return set(connection.scalars(text(names)))


def _remember(connection: Connection, repeatable: Repeatable) -> None:
    connection.execute(text("delete from repeatable_objects"))
    rows = [
        {"kind": kind, "name": name, "hash": repeatable.hash}
        for kind, names in repeatable.objects.items()
        for name in names
    ]
    if rows:
        insert = "insert into repeatable_objects (kind, name, hash) values (:kind, :name, :hash)"
        connection.execute(text(insert), rows)


def _execute_all(connection: Connection, statements: Iterable[str]) -> None:
    _execute(connection, ";\n".join(statements))


def _execute(connection: Connection, script: str) -> None:
    """The script is executed unchanged: colons and percent signs are no parameters."""
    if script:
        connection.exec_driver_sql(script, execution_options={"no_parameters": True})


def _quoted(words: str) -> str:
    return "'" + words.replace("'", "''") + "'"
