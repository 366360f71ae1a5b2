"""Kills at random moments of a history: the same call again ends in what one call gives (C2)."""

import random
from collections.abc import Iterator
from datetime import timedelta

import pytest

from lms_assets_tests.reliability.world import FIRST, World, settled, world

QUICK_KILLS, QUICK_DAYS = 6, 5
KILLS, DAYS, SEED = 200, 30, 20251128
LONGEST_S = 6.5


@pytest.fixture(scope="module")
def undisturbed() -> Iterator[World]:
    """A history that nothing disturbed."""
    with world(QUICK_DAYS) as calm:
        done = calm.backfilled()
        assert done.returncode == 0, done.stderr
        yield calm


def disturb(torn: World, dice: random.Random, kills: int) -> None:
    """So many commands are killed, each at its moment; those that end before do not count."""
    for _ in range(10 * kills):
        day = FIRST + timedelta(days=dice.randrange(torn.days))
        command = dice.choice(
            [
                ("backfill", str(FIRST), str(torn.last)),
                ("backfill", str(FIRST), str(torn.last)),
                ("backfill", str(FIRST), str(torn.last), "--again"),
                ("reclean", str(FIRST), str(torn.last)),
                ("run", str(day)),
            ]
        )
        kills -= torn.killed(*command, after_s=dice.uniform(1, LONGEST_S)) is None
        if not kills:
            return
    raise AssertionError("too many commands ended before they could be killed")


def assert_as_undisturbed(torn: World, calm: World) -> None:
    """Nothing is lost, nothing twice, nothing left behind."""
    settled(torn)
    assert torn.tables() == calm.tables()
    assert torn.books() == calm.books()
    assert torn.sheet() == calm.sheet()
    assert {name: left for name, left in torn.leftovers().items() if left} == {}
    repeated = "select message_id from letters group by message_id having count(*) > 1"
    assert torn.place.rows(repeated) == []


@pytest.mark.parametrize("seed", [1, 2])
def test_a_history_whose_commands_are_killed_at_random_ends_as_an_undisturbed_one(
    undisturbed: World, seed: int
) -> None:
    with world(QUICK_DAYS) as torn:
        disturb(torn, random.Random(seed), QUICK_KILLS)
        done = torn.backfilled()
        assert done.returncode == 0, done.stderr
        assert_as_undisturbed(torn, undisturbed)


@pytest.mark.slow
def test_two_hundred_kills_over_thirty_days_lose_nothing_and_double_nothing() -> None:
    with world(DAYS) as calm, world(DAYS) as torn:
        assert calm.backfilled().returncode == 0
        disturb(torn, random.Random(SEED), KILLS)
        done = torn.backfilled()
        assert done.returncode == 0, done.stderr
        assert_as_undisturbed(torn, calm)
