"""The committed locks are true to pyproject.toml, and name no place to download from."""

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).resolve().parents[1]
RUNNING, DEVELOPING = "requirements.lock", "requirements-dev.lock"
LOCKS = (RUNNING, DEVELOPING)


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
    wanted = list(project()["project"]["dependencies"])
    if lock == DEVELOPING:
        wanted += project()["dependency-groups"]["dev"]
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


def test_the_lock_for_developing_holds_all_that_the_one_for_running_does() -> None:
    running, developing = (
        {(one.requirement.name, one.version) for one in locked(lock)} for lock in LOCKS
    )
    assert running - developing == set()


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
