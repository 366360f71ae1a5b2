"""The embedded PostgreSQL is shared by whoever needs it, and is gone with the last of them."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from lms_assets.embedded.postgres import EmbeddedPostgres
from lms_assets.faults import PermanentFault
from lms_assets.settings import running_as_root
from lms_assets_tests.driving import PROJECT, connected, until

USER = """
import sys
from pathlib import Path
from lms_assets.embedded.postgres import EmbeddedPostgres
print(EmbeddedPostgres(Path(sys.argv[1])).start(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A home's folder for it; what was left running is stopped."""
    # Not under pytest's own folder: that is closed to the user that PostgreSQL runs as for root.
    with tempfile.TemporaryDirectory(prefix="lms-postgres-") as name:
        home = Path(name).resolve()
        yield home / "postgres"
        for data in home.rglob("postmaster.pid"):
            EmbeddedPostgres(data.parent).stop()


@contextmanager
def user(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that uses the server until its input ends; its first line is the URL."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
    )
    try:
        yield process
    finally:
        process.communicate(timeout=60)


def url_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def pid_of(folder: Path) -> int | None:
    """The server's process, while it runs."""
    file = folder / "postmaster.pid"
    if not file.exists():
        return None
    pid = int(file.read_text().split()[0])
    return pid if psutil.pid_exists(pid) else None


def drafts(folder: Path) -> list[Path]:
    """Clusters that are being made, or were when their maker was killed."""
    return list(folder.parent.glob("postgres-made-aside-*"))


@pytest.mark.parametrize("killed", ["all of it", "the command alone"])
def test_a_cluster_whose_making_was_killed_is_made_again_by_the_next_command(
    folder: Path, killed: str
) -> None:
    with user(folder) as maker:
        until(lambda: any((draft / "PG_VERSION").exists() for draft in drafts(folder)))
        initdb = psutil.Process(maker.pid).children(recursive=True)
        maker.kill()
        for process in initdb if killed == "all of it" else []:
            with suppress(psutil.NoSuchProcess):
                process.kill()
    assert not (folder / "PG_VERSION").exists()

    server = EmbeddedPostgres(folder)
    with connected(server.start()) as cursor:
        cursor.execute("select datname from pg_database order by 1")
        assert ("lms",) in cursor.fetchall()

    psutil.wait_procs(initdb, timeout=60)
    server.stop()
    server.start()
    assert drafts(folder) == []


def test_the_server_starts_on_an_empty_folder_and_keeps_its_data(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    with connected(server.start()) as cursor:
        cursor.execute("create table kept (n int); insert into kept values (7)")
    server.leave(os.getpid())
    assert pid_of(folder) is None
    with connected(EmbeddedPostgres(folder).start()) as cursor:
        cursor.execute("select n from kept")
        assert cursor.fetchall() == [(7,)]


def test_the_server_runs_until_its_last_user_has_left(folder: Path) -> None:
    with user(folder) as first:
        assert url_of(first)
        with user(folder) as second:
            assert url_of(second)
            running = pid_of(folder)
        assert pid_of(folder) == running is not None
    assert pid_of(folder) is None


def test_two_processes_that_start_the_server_at_once_share_it(folder: Path) -> None:
    with user(folder) as first, user(folder) as second:
        assert url_of(first) == url_of(second) != ""


def test_a_user_that_was_killed_does_not_keep_it_running(folder: Path) -> None:
    with user(folder) as killed:
        assert url_of(killed)
        killed.kill()
        killed.wait()
        assert pid_of(folder) is not None
        with user(folder) as last:
            assert url_of(last)
    assert pid_of(folder) is None


def test_a_server_that_was_killed_comes_back_with_what_was_committed(folder: Path) -> None:
    first = EmbeddedPostgres(folder)
    with connected(first.start()) as cursor:
        cursor.execute("create table kept (n int); insert into kept values (7)")
    pid = pid_of(folder)
    assert pid is not None
    processes = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for process in processes:
        process.kill()
    psutil.wait_procs(processes, timeout=20)
    with connected(EmbeddedPostgres(folder).start()) as cursor:
        cursor.execute("select n from kept")
        assert cursor.fetchall() == [(7,)]


def test_the_server_can_be_kept_running_and_then_stopped(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    server.keep_running()
    server.leave(os.getpid())
    assert pid_of(folder) is not None
    server.stop()
    assert pid_of(folder) is None


def test_a_forked_child_that_ends_takes_nothing_with_it(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    server.start()
    server.leave(os.getpid() + 1)
    assert pid_of(folder) is not None


def test_a_folder_may_have_spaces_and_letters_of_any_alphabet(folder: Path) -> None:
    place = folder.parent / "Мои данные %20 'x'" / "postgres"
    place.parent.mkdir()
    with connected(EmbeddedPostgres(place).start()) as cursor:
        cursor.execute("select current_database()")
        assert cursor.fetchone() == ("lms",)


def test_a_folder_may_lie_deep(folder: Path) -> None:
    """A socket's path has at most some hundred characters; a home's has none such limit."""
    place = folder.parent / "/".join(["a-rather-long-name-of-a-folder"] * 5) / "postgres"
    place.parent.mkdir(parents=True)
    with connected(EmbeddedPostgres(place).start()) as cursor:
        cursor.execute("select 1")


def test_the_servers_data_are_private_and_no_port_is_open(folder: Path) -> None:
    server = EmbeddedPostgres(folder)
    with connected(server.start()) as cursor:
        cursor.execute("show listen_addresses")
        assert cursor.fetchone() == ("",)
    assert folder.stat().st_mode & 0o077 == 0
    if running_as_root():
        assert psutil.Process(pid_of(folder)).username() != "root"


# ------------------------------------------------------------------ what a fall leaves behind


@contextmanager
def program_of(user: str | None) -> Iterator["subprocess.Popen[bytes]"]:
    """A program that has nothing to do with PostgreSQL, of the user that the server runs as."""
    program = subprocess.Popen(["sleep", "600"], user=user)
    try:
        yield program
    finally:
        program.kill()
        program.wait()


@pytest.mark.parametrize("told", ["{pid}\n", "{pid}\n{folder}\n1\n5432\n{folder}\n\n1 2\nready\n"])
def test_a_program_that_has_a_dead_servers_number_is_left_alone(folder: Path, told: str) -> None:
    """R26."""
    EmbeddedPostgres(folder).start()
    EmbeddedPostgres(folder).stop()
    with program_of("pgserver" if running_as_root() else None) as bystander:
        file = folder / "postmaster.pid"
        file.write_text(told.format(pid=bystander.pid, folder=folder))
        if running_as_root():
            shutil.chown(file, "pgserver")
        server = EmbeddedPostgres(folder)
        with connected(server.start()) as cursor:
            cursor.execute("select 1")
        assert pid_of(folder) != bystander.pid
        server.stop()
        assert bystander.poll() is None


@pytest.mark.parametrize("left", ["", "\n", "99999999", "4194\n/some"])
def test_an_empty_or_cut_pid_file_keeps_nobody_out(folder: Path, left: str) -> None:
    """R27."""
    EmbeddedPostgres(folder).start()
    EmbeddedPostgres(folder).stop()
    (folder / "postmaster.pid").write_text(left)
    with connected(EmbeddedPostgres(folder).start()) as cursor:
        cursor.execute("select 1")


@contextmanager
def mounted(disk: Path, size_mb: int) -> Iterator[None]:
    """An empty disk of that size is mounted at the folder."""
    disk.parent.chmod(0o755)
    disk.mkdir()
    options = f"size={size_mb}m,mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.skipif(not running_as_root(), reason="Only root can mount a disk")
@pytest.mark.parametrize("disk_mb", [1, 20], ids=["before initdb", "in initdb"])
def test_a_disk_that_is_too_small_for_it_is_told_as_such(folder: Path, disk_mb: int) -> None:
    """R47."""
    disk = folder.parent / "disk"
    with mounted(disk, disk_mb), pytest.raises(PermanentFault) as told:
        EmbeddedPostgres(disk / "postgres").start()
    assert told.value.code == "database.embedded_failed"
    assert "No space left on device" in str(told.value)


@pytest.mark.skipif(not running_as_root(), reason="Only root can mount a disk")
def test_a_mount_point_in_the_place_of_the_data_is_refused_and_left_empty(folder: Path) -> None:
    disk = folder.parent / "disk"
    with mounted(disk, 200):
        with pytest.raises(PermanentFault) as told:
            EmbeddedPostgres(disk).start()
        assert list(disk.iterdir()) == []
    assert told.value.code == "database.mount_point"
    assert str(disk) in str(told.value)


@pytest.mark.skipif(not running_as_root(), reason="Only for root the server is another user")
def test_folders_above_a_home_show_their_content_to_nobody(folder: Path) -> None:
    """R31: the server's user may pass through them, and no more."""
    home = folder.parent / "closed" / "home"
    home.mkdir(parents=True)
    for closed in (home, home.parent, folder.parent):
        closed.chmod(0o700)
    with connected(EmbeddedPostgres(home / "postgres").start()) as cursor:
        cursor.execute("select 1")
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (home, home.parent, folder.parent)}
    assert modes == {0o701}


HOSTILE = {
    "LC_ALL": "xx_XX.UTF-8",
    "LANG": "ru_RU.CP1251",
    "TZ": "Nowhere/AtAll",
    "PGDATA": "/nowhere",
    "PGPORT": "1",
    "PGTZ": "Asia/Tokyo",
    "PGOPTIONS": "-c search_path=nowhere",
    "PGCLIENTENCODING": "WIN1251",
}


def test_the_cluster_is_made_and_found_whatever_the_environment_holds(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R33."""
    stated = "select current_setting('server_encoding'), datcollate, datlocprovider::text, "
    stated += "lower('Ж'), current_setting('lc_messages') from pg_database where datname = 'lms'"
    for name, value in HOSTILE.items():
        monkeypatch.setenv(name, value)
    EmbeddedPostgres(folder).start()
    EmbeddedPostgres(folder).stop()
    for name in HOSTILE:
        monkeypatch.delenv(name, raising=False)
    with connected(EmbeddedPostgres(folder).start()) as cursor:
        cursor.execute(stated)
        assert cursor.fetchone() == ("UTF8", "C", "b", "ж", "C")


@pytest.mark.parametrize("name", ["a [b] {c}", 'a "b" $HOME `id`', "а,б;в", "x" * 120])
def test_a_folder_may_have_any_name(folder: Path, name: str) -> None:
    place = folder.parent / name / "postgres"
    place.parent.mkdir()
    server = EmbeddedPostgres(place)
    with connected(server.start()) as cursor:
        cursor.execute("select 1")
    server.stop()
