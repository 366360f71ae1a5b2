"""What must be alike on all machines is compared when a worker starts, before anything begins."""

from pathlib import Path
from typing import Any

import pytest

from lms_assets.cluster.agreement import refuse_difference, refuse_other, write_agreement
from lms_assets.faults import PermanentFault, TemporaryFault
from lms_assets.resources.warehouse import Warehouse
from lms_assets.settings import Settings
from lms_assets_tests.driving import drive

KEY = "0123456789abcdef" * 4


def settings(folder: Path, **given: Any) -> Settings:  # noqa: ANN401
    """A machine's: its own home, the lake that all share."""
    (folder / "home").mkdir(parents=True, exist_ok=True)
    usual: dict[str, Any] = {"lms_home": folder / "home", "lms_lake": str(folder.parent / "lake")}
    return Settings(_env_file=None, is_demo=True, **{**usual, **given})


@pytest.fixture
def up(warehouse: Warehouse, tmp_path: Path) -> Settings:
    """What the machine of the page has set, written to the database."""
    made = settings(tmp_path / "up", lms_key=KEY, api_client="client-of-the-test")
    write_agreement(warehouse, made)
    return made


def test_a_worker_with_the_same_settings_and_a_home_of_its_own_is_let_in(
    warehouse: Warehouse, up: Settings, tmp_path: Path
) -> None:
    here = settings(tmp_path / "worker", lms_key=KEY, api_client="client-of-the-test")
    refuse_difference(warehouse, here)
    assert here.lms_home != up.lms_home


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lms_timezone": "Europe/Moscow"}, "LMS_TIMEZONE=Europe/Moscow (./lms up: UTC)"),
        ({"lms_first_day": "2024-01-01"}, "LMS_FIRST_DAY=2024-01-01 (./lms up: 2023-01-01)"),
        ({"api_concurrency": 8}, "API_CONCURRENCY=8 (./lms up: 4)"),
        ({"lms_key": "f" * 64}, "LMS_KEY."),
        ({"lms_key": None}, "LMS_KEY."),
        ({"api_client": "another-client"}, "API_CLIENT."),
        ({"lms_language": "ru"}, "LMS_LANGUAGE."),
        ({"lms_lake": "/nowhere/lake"}, "LMS_LAKE."),
    ],
)
def test_a_difference_is_named_and_no_secret_is(
    warehouse: Warehouse, up: Settings, tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    usual = {"lms_key": KEY, "api_client": "client-of-the-test"}
    with pytest.raises(PermanentFault) as refused:
        refuse_difference(warehouse, settings(tmp_path / "worker", **{**usual, **given}))
    text = str(refused.value)
    assert said in text
    for value in (KEY, "f" * 64, "client-of-the-test", "another-client"):
        assert value not in text


def test_a_list_of_staff_is_compared_by_what_it_holds(
    warehouse: Warehouse, up: Settings, tmp_path: Path
) -> None:
    staff = tmp_path / "staff.txt"
    staff.write_text("f" * 32, encoding="utf-8")
    here = {"lms_key": KEY, "api_client": "client-of-the-test", "lms_staff": staff}
    with pytest.raises(PermanentFault, match="LMS_STAFF"):
        refuse_difference(warehouse, settings(tmp_path / "worker", **here))
    write_agreement(warehouse, up.model_copy(update={"lms_staff": staff}))
    refuse_difference(warehouse, settings(tmp_path / "worker", **here))


def test_a_lake_is_the_same_under_whatever_name_it_is_mounted(
    warehouse: Warehouse, up: Settings, tmp_path: Path
) -> None:
    (tmp_path / "mounted").symlink_to(tmp_path / "lake")
    usual = {"lms_key": KEY, "api_client": "client-of-the-test"}
    here = settings(tmp_path / "worker", lms_lake=str(tmp_path / "mounted"), **usual)
    refuse_difference(warehouse, here)
    (tmp_path / "mounted").unlink()
    (tmp_path / "mounted").mkdir()
    with pytest.raises(PermanentFault, match="LMS_LAKE"):
        refuse_difference(warehouse, here)


def test_a_key_that_was_made_in_a_home_is_given_to_the_others_as_it_is(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    made = settings(tmp_path / "up")
    write_agreement(warehouse, made)
    key = (made.lms_home / "erasure.key").read_bytes()
    refuse_difference(warehouse, settings(tmp_path / "worker", lms_key=key.hex()))
    write_agreement(warehouse, made)
    assert (made.lms_home / "erasure.key").read_bytes() == key


def test_before_the_first_up_a_worker_is_told_to_come_later(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    with pytest.raises(TemporaryFault, match=r"Start \./lms up first"):
        refuse_difference(warehouse, settings(tmp_path / "worker", lms_key=KEY))


def test_what_a_worker_had_at_its_start_is_refused_once_up_has_other_settings(
    warehouse: Warehouse, up: Settings, tmp_path: Path
) -> None:
    usual = {"lms_key": KEY, "api_client": "client-of-the-test"}
    agreement = refuse_difference(warehouse, settings(tmp_path / "worker", **usual))
    refuse_other(warehouse, agreement)
    write_agreement(warehouse, up.model_copy(update={"api_concurrency": 2}))
    with pytest.raises(PermanentFault, match=r"API_CONCURRENCY=4 \(./lms up: 2\)"):
        refuse_other(warehouse, agreement)


def test_an_empty_database_is_left_empty_by_a_worker(database_url: str, tmp_path: Path) -> None:
    """Migrating is left to the machine of the page."""
    warehouse = Warehouse(url=database_url)
    with pytest.raises(TemporaryFault):
        refuse_difference(warehouse, settings(tmp_path / "worker", lms_key=KEY))
    tables = "select from information_schema.tables where table_schema = 'public'"
    assert warehouse.rows(tables) == []


def test_a_worker_without_a_broker_is_told_which_setting_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("LMS_BROKER_URL", raising=False)
    said = drive("worker")
    assert said.code == 2
