"""The program that writes Parquet is started, handed what it writes, and ended with whoever takes it."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from appliance.errors import UnavailableError
from appliance.telemetry.exporting.program import service
from appliance.telemetry.exporting.program.service import NoPyarrowError, parquet, parquet_beside
from appliance.telemetry.tables import handed
from appliance.telemetry.tables.handed import END, OfReadings
from tests.appliance.telemetry.cold.rig import needs_pyarrow
from tests.appliance.telemetry.exporting.programs import programs, read, without_pyarrow
from tests.appliance.telemetry.reports import NOON, report

MEMORY_MB = 1_024
TEXTS = (
    handed.heading(OfReadings(is_detailed=True)),
    handed.reports([report("a", NOON), report("b", NOON)], {}, is_detailed=True),
    END,
)


async def each(*texts: str) -> AsyncIterator[str]:
    for text in texts:
        yield text


@needs_pyarrow
async def test_what_is_handed_over_becomes_a_file() -> None:
    grown = b"".join([more async for more in parquet(each(*TEXTS), MEMORY_MB)])
    assert read(grown)["device_id"].to_pylist() == ["a", "a", "b", "b"]
    assert programs() == []


@needs_pyarrow
def test_a_command_makes_the_same_file_without_a_loop() -> None:
    found = list(parquet_beside(iter(TEXTS), MEMORY_MB))
    assert found[0] == b"PAR1"
    assert found[-1].endswith(b"PAR1")
    begun = parquet_beside(iter(TEXTS), MEMORY_MB)
    next(begun)
    assert len(programs()) == 1
    assert isinstance(begun, Iterator)
    begun.close()  # type: ignore[attr-defined]
    assert programs() == []


@needs_pyarrow
async def test_the_program_ends_with_whoever_takes_what_it_makes() -> None:
    begun = parquet(each(*TEXTS), MEMORY_MB)
    assert await anext(begun) == b"PAR1"
    [number] = programs()
    await begun.aclose()
    assert programs() == []
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


@needs_pyarrow
async def test_a_program_that_ends_too_early_is_told() -> None:
    begun = parquet(each(*TEXTS), MEMORY_MB)
    await anext(begun)
    os.kill(programs()[0], signal.SIGKILL)
    with pytest.raises(UnavailableError, match="ended with status -9"):
        await anext(begun)
    with pytest.raises(UnavailableError, match="ended with status 1"):
        await anext(parquet(each(END), MEMORY_MB))


@needs_pyarrow
async def test_a_program_that_says_nothing_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = parquet(each(*TEXTS), MEMORY_MB)
    await anext(begun)
    os.kill(programs()[0], signal.SIGSTOP)
    monkeypatch.setattr(service, "PATIENCE_S", 0.01)
    with pytest.raises(UnavailableError, match="too long"):
        await anext(begun)
    assert programs() == []


@needs_pyarrow
async def test_who_is_cancelled_leaves_no_program() -> None:
    async def take(begun: asyncio.Event) -> None:
        async with contextlib.aclosing(parquet(each(*TEXTS[:1]), MEMORY_MB)) as grown:
            await anext(grown)
            begun.set()
            await asyncio.Event().wait()

    begun = asyncio.Event()
    taking = asyncio.create_task(take(begun))
    await begun.wait()
    taking.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await taking
    assert programs() == []


async def test_a_program_that_cannot_be_started_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))
    with pytest.raises(UnavailableError, match="could not be started"):
        await anext(parquet(each(*TEXTS), MEMORY_MB))


def test_without_pyarrow_a_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    without_pyarrow(monkeypatch)
    with pytest.raises(NoPyarrowError, match=r"pip install 'headworks\[cold\]'"):
        next(parquet_beside(iter(TEXTS), MEMORY_MB))
