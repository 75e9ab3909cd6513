"""What the commands `cold` print."""

import argparse
from typing import Any

import msgspec
import pytest

from appliance import command_cold
from appliance.config import Config
from appliance.telemetry.cold.model import ColdUsage

GOOD = ColdUsage(True, 2, 20_484, 20_485, 3_000_000, 1, "https://s3/b/", 1, 1, 0, "")


def run(*arguments: str, answers: dict[str, Any]) -> tuple[int, list[str]]:
    """Run a command; its status, and the calls that it made."""
    parser = argparse.ArgumentParser()
    asked = []

    def ask(_: Config, call: str, __: dict[str, Any]) -> Any:
        asked.append(call)
        return answers[call]

    command_cold.add(parser.add_subparsers(), argparse.ArgumentParser(add_help=False), ask)
    options = parser.parse_args(arguments)
    return options.command(options, Config()), asked


def test_the_status_is_told_and_trouble_is_a_status_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("cold", "status", answers={"cold.status": msgspec.to_builtins(GOOD)}) == (0, ["cold.status"])
    assert capsys.readouterr().out == (
        "2 days are there as Parquet, 3.0 MB.\n"
        "The oldest is 2026-01-31, the newest 2026-02-01.\n"
        "1 sealed days are still to be written.\n"
        "1 days are in https://s3/b/, 1 wait; last: 1970-01-01T00:00:00.000Z.\n"
    )
    bad = msgspec.to_builtins(msgspec.structs.replace(GOOD, trouble="no line", uploaded_at=None))
    assert run("cold", "status", answers={"cold.status": bad})[0] == 1
    assert capsys.readouterr().out.endswith("last: never.\nTrouble: no line\n")


def test_a_bucket_in_which_nothing_is_erased_any_more_is_named() -> None:
    told = command_cold.told(msgspec.structs.replace(GOOD, left_behind=("https://old/b/",)))
    assert told[-1] == "https://old/b/ is not set any more and may have days: nothing is erased there."


def test_what_is_off_is_told() -> None:
    assert "cold.parquet is false" in command_cold.told(msgspec.structs.replace(GOOD, is_on=False))[0]


def test_uploading_waits_only_when_it_is_to_be_now(capsys: pytest.CaptureFixture[str]) -> None:
    answers = {"cold.upload": {"day_count": 2, "byte_count": 1_500_000}, "cold.upload-soon": None}
    assert run("cold", "upload", answers=answers) == (0, ["cold.upload-soon"])
    assert run("cold", "upload", "--now", answers=answers) == (0, ["cold.upload"])
    assert capsys.readouterr().out.endswith("2 days were uploaded, 1.5 MB.\n")
