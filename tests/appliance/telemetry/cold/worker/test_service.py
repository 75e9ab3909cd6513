"""Programs beside the gateway are started, asked and ended; none is left behind."""

import asyncio
import sys
from pathlib import Path

import pytest

from appliance.telemetry.cold.model import ColdError, HinderedError
from appliance.telemetry.cold.worker.model import Describe
from appliance.telemetry.cold.worker.service import Workers, has_pyarrow
from tests.appliance.telemetry.cold.rig import HAS_PYARROW, needs_pyarrow, until

MEMORY_MB = 1_024


def test_whether_pyarrow_is_there_is_known_without_loading_it() -> None:
    assert has_pyarrow() is HAS_PYARROW


async def test_a_program_that_cannot_begin_is_told(tmp_path: Path) -> None:
    # So little memory is not enough to begin with.
    with pytest.raises(ColdError, match="program"):
        await Workers(1).written(Describe(str(tmp_path)))


async def test_a_program_that_the_machine_does_not_start_says_nothing_about_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with pytest.raises(HinderedError, match="could not be started"):
        await Workers(MEMORY_MB).written(Describe(str(tmp_path)))
    with pytest.raises(HinderedError, match="could not be started"):
        await Workers(MEMORY_MB).read(str(tmp_path), (1, "a"), 0, 1)


@needs_pyarrow
async def test_what_the_disk_says_is_told_from_what_is_damaged(tmp_path: Path) -> None:
    with pytest.raises(HinderedError):
        await Workers(MEMORY_MB).written(Describe(str(tmp_path / "missing")))
    (tmp_path / "none").write_bytes(b"PAR1 nothing PAR1")
    with pytest.raises(ColdError) as caught:
        await Workers(MEMORY_MB).written(Describe(str(tmp_path / "none")))
    assert not isinstance(caught.value, HinderedError)


@needs_pyarrow
async def test_nobody_waits_for_ever_to_hear_what_a_file_holds(tmp_path: Path) -> None:
    with pytest.raises(HinderedError, match="took too long"):
        await Workers(MEMORY_MB, describe_patience_s=0.001).written(Describe(str(tmp_path)))


@needs_pyarrow
async def test_a_question_that_comes_while_the_program_is_let_go_is_answered_by_another(tmp_path: Path) -> None:
    workers = Workers(MEMORY_MB)
    async with workers.running():
        for name in ("first", "second"):
            with pytest.raises(ColdError, match=name):
                await workers.read(str(tmp_path / name), (1, "a"), 0, 1)
            workers._let_go()


@needs_pyarrow
async def test_what_the_program_says_is_told(tmp_path: Path) -> None:
    with pytest.raises(ColdError, match="missing"):
        await Workers(MEMORY_MB).written(Describe(str(tmp_path / "missing")))


@needs_pyarrow
async def test_the_program_that_reads_stays_for_a_while_and_then_goes(tmp_path: Path) -> None:
    workers = Workers(MEMORY_MB, idle_s=0.0)
    async with workers.running():
        with pytest.raises(ColdError):
            await workers.read(str(tmp_path / "missing"), (1, "a"), 0, 1)
        await until(lambda: not workers.is_reading)
        with pytest.raises(ColdError):
            await workers.read(str(tmp_path / "missing"), (1, "a"), 0, 1)


@needs_pyarrow
async def test_a_question_that_is_given_up_does_not_answer_the_next_one(tmp_path: Path) -> None:
    workers = Workers(MEMORY_MB)
    async with workers.running():
        asking = asyncio.create_task(workers.read(str(tmp_path / "first"), (1, "a"), 0, 1))
        await until(lambda: workers.is_reading)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        with pytest.raises(ColdError, match="second"):
            await workers.read(str(tmp_path / "second"), (1, "a"), 0, 1)
    assert not workers.is_reading
