"""Deaths and a full disk under load lose no reading. In short: `./headworks bench faults` is the long form."""

import os
from pathlib import Path

import pytest

from bench.faults_death import Deaths, cut_off, killed, made_card, mounted
from bench.faults_full import filled
from tests.flows.powerless import not_done

pytestmark = pytest.mark.timeout(240)

LARGEST_ROUND = 1_500


@pytest.fixture
def needs_loop_device(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        not_done("only root may mount")
    try:
        with mounted(made_card(tmp_path / "probe.img", 1 << 23), tmp_path / "probe"):
            pass
    except OSError as error:
        not_done(f"no file system can be mounted here: {error}")


def require_good(deaths: Deaths) -> None:
    assert not deaths.bad_rounds
    assert deaths.verdict.is_good, deaths.verdict
    # Everybody came back: in the end nothing is owed.
    assert deaths.verdict.acknowledged == deaths.verdict.sent == deaths.verdict.stored


async def test_kill_9_under_load_loses_and_doubles_no_acknowledged_reading(tmp_path: Path) -> None:
    require_good(await killed(tmp_path, 2, LARGEST_ROUND))


@pytest.mark.usefixtures("needs_loop_device")
async def test_power_cuts_under_load_lose_and_double_no_acknowledged_reading(tmp_path: Path) -> None:
    require_good(await cut_off(tmp_path, 2, LARGEST_ROUND))


@pytest.mark.usefixtures("needs_loop_device")
async def test_a_full_disk_under_load_loses_nothing_and_pages_answer_meanwhile(tmp_path: Path) -> None:
    full = await filled(tmp_path, LARGEST_ROUND)
    assert full.verdict.is_good, full.verdict
    assert full.verdict.acknowledged == full.verdict.sent
    assert full.acknowledged_while_full == 0
    assert full.is_said
    assert full.unanswered == ()
