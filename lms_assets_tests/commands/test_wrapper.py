"""The wrapper `./lms`: it makes the environment from the locks, whoever calls it and however."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FILES = ("lms", "pyproject.toml", "README.md", "LICENSE", "dagster.yaml", "workspace.yaml")


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A fresh checkout with what the wrapper needs; its folder has a blank in its name."""
    folder = tmp_path / "a checkout"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "lms_assets", folder / "lms_assets", ignore=ignored)
    for file in (*FILES, *(lock.name for lock in PROJECT.glob("requirements*.lock"))):
        shutil.copy(PROJECT / file, folder)
    yield folder
    shutil.rmtree(folder)


def called(
    command: Path | str, *arguments: str, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """The call, with this machine's variables and those that are given."""
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    return subprocess.run(
        [command, *arguments],
        env={**environment, **variables},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_two_first_calls_at_once_by_a_symlink_and_with_foreign_options_both_work(
    checkout: Path, tmp_path: Path
) -> None:  # R38, R62
    link = tmp_path / "bin" / "lms"
    link.parent.mkdir()
    link.symlink_to("../a checkout/lms")
    foreign = {"PIP_USER": "1", "PIP_TARGET": str(tmp_path / "elsewhere"), "UV_SYSTEM_PYTHON": "1"}
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(called, link, "--version", **foreign) for _ in range(2)]
        told = [one.result() for one in both]
    assert [one.returncode for one in told] == [0, 0], told[0].stderr + told[1].stderr
    assert all(one.stdout.startswith("lms_assets ") for one in told)
    assert (checkout / ".venv" / "bin" / "lms").exists()
    assert not (link.parent / ".venv").exists()
    assert not (tmp_path / "elsewhere").exists()
    # What uv does by itself goes past the locks: it is kept from it.
    uv = Path(sys.executable).with_name("uv")
    run = called(uv, "run", "--offline", "--directory", str(checkout), "lms", "--version")
    assert (run.returncode, run.stdout) == (0, told[0].stdout), run.stderr
    assert not (checkout / "uv.lock").exists()


@pytest.mark.slow
def test_what_the_settings_need_is_installed_beside_the_rest(checkout: Path) -> None:
    (checkout / ".env").write_bytes(b"\xef\xbb\xbfLMS_LAKE='s3://bucket/prefix'\r\nAPI_URL=x\r\n")
    assert called(checkout / "lms", "--version").returncode == 0
    python = checkout / ".venv" / "bin" / "python"
    assert called(python, "-c", "import s3fs").returncode == 0
    assert called(python, "-c", "import dagster_celery").returncode == 1
    assert called(checkout / "lms", "--version", LMS_BROKER_URL="redis://x").returncode == 0
    assert called(python, "-c", "import s3fs, dagster_celery").returncode == 0
    # A worker needs its packages also where its broker is still to be set.
    mark = checkout / ".venv" / ".lms-cluster"
    mark.unlink()
    assert called(checkout / "lms", "worker").returncode == 2
    assert mark.exists()
