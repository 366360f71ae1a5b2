"""The shape of the code: which way imports point, how long modules and functions are."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from statistics import median

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "lms_assets"
# Each room imports from rooms before it; the first of them are one ground floor.
GROUND = (
    *("settings", "days", "files", "code_hash", "last_writing", "locks", "ahead"),
    *("texts", "faults"),
)
ROOMS = (
    "resources",
    "embedded",
    "runs",
    "attempts",
    "statistics",
    "letters",
    "amends",
    "automation",
    "systems",
    "definitions",
    "cluster",
    "commands",
)
FLOOR = dict.fromkeys(GROUND, 0) | {room: 1 + n for n, room in enumerate(ROOMS)}
# Every room with assets calls these two so, as Dagster projects do.
IN_EACH_ROOM = ("assets", "checks")
MAX_MODULE, MAX_BODY, MAX_MEDIAN_BODY = 450, 45, 8
RELEASED = re.compile(r"lms_assets/resources/migrations/versions/000[123]_")


@cache
def sources() -> dict[str, ast.Module]:
    """Module (as ``attempts.merge``) → its parsed source; packages under their own name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def file_of(module: str) -> str:
    path = PACKAGE.joinpath(*module.split("."))
    found = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    return found.relative_to(PROJECT).as_posix()


def named_in(node: ast.Import | ast.ImportFrom) -> list[str]:
    """What an import names in this package, as module names; others are left out."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        names = [f"{node.module}.{alias.name}" for alias in node.names]
    ours = [name.removeprefix("lms_assets.") for name in names if name.startswith("lms_assets.")]
    return [name if name in sources() else name.rpartition(".")[0] for name in ours]


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)


def imports_below(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Every import that is carried out, those inside functions too."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not is_for_types(child):
            yield from imports_below(child)


def imported_by(module: str) -> set[str]:
    found = {name for node in imports_below(sources()[module]) for name in named_in(node)}
    return {name for name in found if name and name != module}


def floor_of(module: str) -> int:
    return FLOOR[module.partition(".")[0]]


Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions() -> Iterator[tuple[str, Function]]:
    for module, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, Function):
                yield f"{module}.{node.name}", node


def body_lines(function: Function) -> int:
    """Lines from the first statement after the docstring to the last."""
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_every_module_stands_in_a_room() -> None:
    assert {module.partition(".")[0] for module in sources() if module} == set(FLOOR)


def test_no_two_modules_have_the_same_name() -> None:
    names = [module.rpartition(".")[2] for module in sources()]
    assert {name for name in names if names.count(name) > 1} == set(IN_EACH_ROOM)


def test_imports_point_from_later_rooms_to_earlier_ones() -> None:
    back = {
        f"{module} → {other}"
        for module in sources()
        if module
        for other in imported_by(module)
        if floor_of(other) > floor_of(module)
    }
    assert back == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {module: imported_by(module) for module in sources() if module}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        pytest.fail(f"a circle: {' ← '.join(circle.args[1])}")


def test_no_resource_knows_its_double() -> None:
    knowing = {
        m
        for m in sources()
        if m.startswith("resources")
        for o in imported_by(m)
        if o.startswith("embedded")
    }
    assert knowing == set()


def test_no_module_is_longer_than_a_reader_keeps_in_mind() -> None:
    lengths = {m: len((PROJECT / file_of(m)).read_text("utf-8").splitlines()) for m in sources()}
    long = {m for m, n in lengths.items() if n > MAX_MODULE and not RELEASED.match(file_of(m))}
    assert long == set()


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        name
        for name, function in functions()
        if body_lines(function) > MAX_BODY and "migrations.versions" not in name
    }
    assert long == set()


def test_the_usual_function_is_a_few_lines() -> None:
    assert median(body_lines(function) for _, function in functions()) <= MAX_MEDIAN_BODY


def late_imports() -> set[tuple[str, str]]:
    """File and package of each import that a function holds."""
    return {
        (file_of(name.rpartition(".")[0]), package)
        for name, function in functions()
        for node in imports_below(function)
        for package in packages_in(node)
    }


def packages_in(node: ast.Import | ast.ImportFrom) -> list[str]:
    """What is imported: a module of ours by its name, else the distribution's first name."""
    names = (
        [node.module or ""] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
    )
    return [name if name.startswith("lms_assets") else name.partition(".")[0] for name in names]


def listed_late_imports() -> set[tuple[str, str]]:
    """The rows of the table in docs/architecture.md: file, packages, reason."""
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"(?m)^\| `(lms_assets/[\w/.]+\.py)` \| (.+?) \| \S", text)
    return {(file, package) for file, cell in rows for package in re.findall(r"`([\w.]+)`", cell)}


def test_an_import_in_a_function_is_listed_with_its_reason() -> None:
    assert late_imports() == listed_late_imports()


def test_the_architecture_names_only_what_is_there() -> None:
    text = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(
        r"`((?:lms_assets|lms_assets_tests|docs|deploy|benchmarks)/[\w/.*-]*)`", text
    )
    assert len(named) > 20
    assert [path for path in named if not list(PROJECT.glob(path.rstrip("/")))] == []
