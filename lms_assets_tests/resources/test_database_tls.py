"""`DB_SSLMODE=verify-full`: a PostgreSQL with a wrong certificate hears no password."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from lms_assets.faults import PermanentFault
from lms_assets.resources.warehouse import Warehouse
from lms_assets.settings import load_settings, running_as_root
from lms_assets.systems import warehouse as configured
from lms_assets_tests.driving import (
    DB_PASSWORD,
    Server,
    connected,
    debian_postgres,
    server_programs,
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    programs = server_programs()
    assert programs, "Debian's PostgreSQL is not installed: apt-get install postgresql"
    with debian_postgres(programs) as made:
        yield made


@pytest.fixture(scope="module")
def authority(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the authority that signed the server's certificate, which is for 127.0.0.1."""
    ca, folder = trustme.CA(), tmp_path_factory.mktemp("ca")
    certificate = ca.issue_cert("127.0.0.1")
    with connected(server.url("postgres")) as cursor:
        cursor.execute("show data_directory")
        data = Path(cursor.fetchone()[0])
        certificate.cert_chain_pems[0].write_to_path(data / "server.crt")
        certificate.private_key_pem.write_to_path(data / "server.key")
        (data / "server.key").chmod(0o600)
        if running_as_root():
            for name in ("server.crt", "server.key"):
                shutil.chown(data / name, "postgres", "postgres")
        cursor.execute("alter system set ssl = on")
        cursor.execute("select pg_reload_conf()")
    ca.cert_pem.write_to_path(folder / "authority.pem")
    trustme.CA().cert_pem.write_to_path(folder / "another.pem")
    return folder / "authority.pem"


def warehouse(server: Server, authority: Path | None, host: str, mode: str) -> Warehouse:
    given = server.settings("postgres") | {"DB_HOST": host, "DB_SSLMODE": mode}
    named = {"db_sslrootcert": authority} if authority else {}
    lower = {name.lower(): value for name, value in given.items()}
    return configured(
        load_settings(
            api_url="http://127.0.0.1:9/attempts",
            api_client="c",
            api_client_key="k",
            **lower,
            **named,
        )
    )


def test_a_server_without_tls_is_a_fault_of_its_own(server: Server) -> None:
    """R60: it was told as a server that cannot be reached."""
    with pytest.raises(PermanentFault) as found:
        warehouse(server, None, "127.0.0.1", "require").check()
    assert found.value.code == "database.tls_missing"


def test_the_right_certificate_is_let_in(server: Server, authority: Path) -> None:
    verified = warehouse(server, authority, "127.0.0.1", "verify-full")
    assert verified.rows("select ssl from pg_stat_ssl where pid = pg_backend_pid()") == [
        {"ssl": True}
    ]


@pytest.mark.parametrize(
    ("name", "host"), [("another.pem", "127.0.0.1"), ("authority.pem", "localhost")]
)
def test_a_wrong_authority_or_name_is_refused(
    server: Server, authority: Path, name: str, host: str
) -> None:
    with pytest.raises(PermanentFault) as found:
        warehouse(server, authority.with_name(name), host, "verify-full").check()
    assert found.value.code == "database.tls_failed"
    assert DB_PASSWORD not in str(found.value)
