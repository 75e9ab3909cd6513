import asyncio
import json
from pathlib import Path

import pytest

from bench.packet_sequences import FOLDER
from bench.suites import main
from tests.bench.scripted import CLOSE, HOST, PONG, scripted


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    tests = [
        {"name": "refused", "msgs": [{"type": "send", "payload": "00 r0"}]},
        {"name": "kept", "expect_disconnect": False, "msgs": []},
        {"name": "wrong", "msgs": [{"type": "send", "payload": "00 r0"}, {"type": "recv", "payload": "E0 r0"}]},
    ]
    (tmp_path / FOLDER).mkdir(parents=True)
    (tmp_path / FOLDER / "A.json").write_text(json.dumps([{"group": "g", "tests": tests}]), encoding="utf-8")
    return tmp_path


async def run(checkout: Path, *words: str) -> int:
    async with scripted({b"\0\0": CLOSE, **PONG}) as port:
        told = ["--at", f"{HOST}:{port}", "--mosquitto", str(checkout), "--folder", str(checkout / "var"), *words]
        return await asyncio.to_thread(main, told)


async def test_totals_and_what_went_another_way_are_told(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(checkout, "--version", "3.1.1") == 1
    told = capsys.readouterr().out
    assert "| A.json | 3.1.1 | 2      | 3  | 66.7 % |" in told
    assert "| all    | 3.1.1 | 2      | 3  | 66.7 % |" in told
    [_, failure] = told.split("A.json  ")
    assert failure.split("\n")[:3] == [
        "g: wrong",
        "    expected e0 00",
        "    came     nothing then the connection was closed",
    ]


async def test_all_that_was_chosen_passes_and_nothing_is_left(checkout: Path) -> None:
    assert await run(checkout, "--only", "refused") == 0
    assert list((checkout / "var").iterdir()) == []


async def test_what_is_no_checkout_is_told(checkout: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert await run(checkout / "var") == 1
    assert "is it a checkout" in capsys.readouterr().err


def test_without_a_checkout_there_is_nothing_to_run(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([])
    assert "name a checkout" in capsys.readouterr().err
