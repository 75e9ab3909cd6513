"""`replay`: what it asks of the gateway, when it prints, and what."""

import argparse
import io
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from appliance import command_replay
from appliance.config import Config
from tests.appliance.telemetry.reports import NOON


class Fake:
    """A gateway with two pages, and a clock that only rests move on."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.now = NOON
        self.rests: list[float] = []
        self.pages = [
            {"source": "log", "lines": [[NOON + 1_000, "one"], [NOON + 1_000, "two"]], "lacks": []},
            {"source": "chunks", "lines": [], "lacks": ["2026-01-22: no answer"]},
            {"source": "chunks", "lines": [[NOON + 5_000, "three"]], "lacks": []},
            {"source": "", "lines": [], "lacks": []},
        ]

    def ask(self, _: Config, call: str, arguments: dict[str, Any]) -> Any:
        self.asked.append((call, arguments))
        if call == "replay.open":
            return {"number": 7, "start": NOON}
        return self.pages.pop(0) if call == "replay.next" else None

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.now += int(seconds * 1_000)

    def run(self, *words: str) -> int:
        parser = argparse.ArgumentParser()
        common = argparse.ArgumentParser(add_help=False)
        command_replay.add(parser.add_subparsers(), common, self.ask, lambda: self.now, self.rest)
        options = parser.parse_args(["replay", *words])
        status: int = options.command(options, Config())
        return status


def test_every_line_is_printed_and_the_source_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    fake = Fake()
    assert fake.run("--from", "2026-01-31", "--device", "a", "--device", "b", "--topic", "x/#", "--messages") == 0
    printed = capsys.readouterr()
    assert printed.out == "one\ntwo\nthree\n"
    assert printed.err.count("replayed out of") == 2
    assert "headworks: something may be missing of 2026-01-22: no answer\n" in printed.err
    assert fake.asked[0] == (
        "replay.open",
        {"start": "2026-01-31", "until": "", "devices": ["a", "b"], "topics": ["x/#"], "messages": True},
    )
    assert fake.asked[-1] == ("replay.close", {"number": 7})
    assert fake.rests == []


def test_lines_come_in_their_time_times_the_speed() -> None:
    fake = Fake()
    fake.run("--from", "0", "--speed", "2")
    assert fake.rests == [0.5, 2.0]


@pytest.mark.parametrize("speed", ["0", "101", "fast"])
def test_no_other_speed_is_taken(speed: str) -> None:
    with pytest.raises(SystemExit):
        Fake().run("--from", "0", "--speed", speed)


def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path: Path) -> None:
    fake = Fake()
    with (tmp_path / "out").open("w") as out, redirect_stdout(Broken(out)):
        assert fake.run("--from", "0") == 0
        out.write("goes nowhere")
    assert (tmp_path / "out").read_text() == ""
    assert fake.asked[-1][0] == "replay.close"


class Broken(io.TextIOBase):
    """Where nobody reads any more."""

    def __init__(self, out: io.TextIOWrapper) -> None:
        self._out = out

    def write(self, _: str) -> int:
        raise BrokenPipeError

    def fileno(self) -> int:
        return self._out.fileno()
